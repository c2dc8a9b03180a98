"""How the spectrum of a micrograph changes from place to place: ice that thickens, a tilted specimen.

Every tile is seen by its powers along lines of equal phase of the whole micrograph's CTF, over a smooth background of its own, so that a
tile's defocus shows in where its rings lie and its thickness hardly at all.
"""

import math
from dataclasses import dataclass
from itertools import chain

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
    spectra = tile_spectra(image, pixel_size, window=window, spectral_pixel=spectral_pixel)
    first = next(spectra, None)
    if first is None:
        return TileProfiles(math.nan, math.nan, math.nan)
    chosen, radius, azimuth = band_pixels(first, low, min(high, 0.43 / first.pixel_size), max(2, first.window // 50))
    level = np.rint(equivalent_radius(radius, azimuth, ctf, optics) / first.step).astype(np.intp)
    level = np.unique(level, return_inverse=True)[1]
    counted = np.bincount(level)
    basis = np.linalg.qr(spline_basis(np.linspace(0, 1, len(counted)), 0, 1, SPLINES))[0]
    profiles, powers = [], []
    for spectrum in chain([first], spectra):
        power = np.square(spectrum.amplitude[chosen])
        profile = np.log(np.maximum(np.bincount(level, power) / counted, 1e-30))
        profiles.append(profile - basis @ (basis.T @ profile))
        powers.append(power)
    if len(profiles) < 2:
        return TileProfiles(math.nan, math.nan, math.nan)
    whole = np.array(powers)
    spread = float(np.mean(whole.std(axis=0) / np.maximum(whole.mean(axis=0), 1e-30)))
    table = np.array(profiles) - np.mean(profiles, axis=0)
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
