"""How the spectrum of a micrograph changes from place to place: ice that thickens, a tilted specimen.

Every tile is seen by its powers along lines of equal phase of the whole micrograph's CTF, over a smooth background of its own, so that a
tile's defocus shows in where its rings lie and its thickness hardly at all.
"""

import math
from dataclasses import dataclass

import numpy as np

from cryoloom.numerics.ctf.resolution import equivalent_radius
from cryoloom.numerics.ctf.rings import Astigmatic, Optics, band_pixels, spline_basis
from cryoloom.numerics.ctf.spectrum import Array, tile_spectra

SPLINES = 6
"""Of the background of a tile's profile."""

FEWEST = 9
"""Tiles from which a statement about their order is made."""


@dataclass(frozen=True)
class TileProfiles:
    """What the tiles of a micrograph tell.

    Attributes
    ----------
    spread
        Deviation over mean of the tiles' powers, on average over frequencies.
    component
        Deviation of the tiles along the principal component of their profiles.
    runs
        By how many standard deviations the sign along it changes less often, in the order of rows, than by chance: above 3 the specimen is
        tilted or bent. NaN for too few tiles.
    """

    spread: float
    component: float
    runs: float


def tile_profiles(
    image: Array, pixel_size: float, ctf: Astigmatic, optics: Optics, low: float, high: float, *, window: int, spectral_pixel: float
) -> TileProfiles:
    """Compare the tiles of `image`, side by side in rows, between the frequencies `low` and `high` (1/Å)."""
    profiles, spreads = [], []
    basis = level = counted = None
    for spectrum in tile_spectra(image, pixel_size, window=window, spectral_pixel=spectral_pixel):
        if level is None:
            chosen, radius, azimuth = band_pixels(spectrum, low, min(high, 0.43 / spectrum.pixel_size), max(2, spectrum.window // 50))
            level = np.rint(equivalent_radius(radius, azimuth, ctf, optics) / spectrum.step).astype(np.intp)
            level -= level.min()
            counted = np.bincount(level)
            place = np.linspace(0, 1, len(counted))
            basis = np.linalg.qr(spline_basis(place, 0, 1, SPLINES))[0]
        power = np.square(spectrum.amplitude[chosen])
        profile = np.log(np.bincount(level, power, len(counted)) / np.maximum(counted, 1) + 1e-30 * power.mean())
        profiles.append(profile - basis @ (basis.T @ profile))
        spreads.append(power)
    if len(profiles) < 2:
        return TileProfiles(math.nan, math.nan, math.nan)
    powers = np.array(spreads)
    spread = float(np.mean(powers.std(axis=0) / np.maximum(powers.mean(axis=0), 1e-30)))
    table = np.array(profiles)[:, counted > 0]
    table -= table.mean(axis=0)
    values, vectors = np.linalg.eigh(table @ table.T)
    along = vectors[:, -1] * math.sqrt(max(float(values[-1]), 0.0))
    return TileProfiles(spread, float(along.std()), _runs(along - np.median(along)))


def _runs(values: Array) -> float:
    """Return the z-score of the runs test (Wald & Wolfowitz), positive for fewer changes of sign than by chance."""
    above = values > 0
    more, fewer = int(above.sum()), int((~above).sum())
    total = more + fewer
    if total < FEWEST or 0 in (more, fewer):
        return math.nan
    runs = 1 + int(np.count_nonzero(above[1:] != above[:-1]))
    expected = 1 + 2 * more * fewer / total
    variance = (expected - 1) * (expected - 2) / (total - 1)
    return (expected - runs) / math.sqrt(max(variance, 1e-12))
