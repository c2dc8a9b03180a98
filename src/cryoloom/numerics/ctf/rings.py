"""Thon rings as least squares see them: a spectrum gathered into polar cells, and the CTF's phase on them.

Of the four parameters ``(mean, a, b, plate)`` the phase is a linear function: the defocus at azimuth θ is
``mean + a cos 2θ + b sin 2θ`` with ``a = ½(U-V) cos 2α`` and ``b = ½(U-V) sin 2α``. All defoci in Å, plate in radians.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from cryoloom.numerics.ctf.electron import amplitude_phase, electron_wavelength
from cryoloom.numerics.ctf.spectrum import Array, Spectrum, Taper

SECTORS = 36
"""Sectors of the half plane: 5° each, over which the defocus of any tolerable astigmatism is constant."""

COARSE = 1024
"""Rows of a spectrum up to which cells are half a pixel deep, so that averaging over them does not blur rings near the aliasing bound."""


@dataclass(frozen=True)
class Optics:
    """Acceleration voltage in kV, spherical aberration in mm, amplitude contrast as a fraction 0-1."""

    voltage: float
    cs: float
    amplitude_contrast: float

    @property
    def wavelength(self) -> float:
        """Return the electron wavelength in Å."""
        return electron_wavelength(self.voltage)

    def phase_per_defocus(self, squared: Array) -> Array:
        """Return ∂χ/∂Δf in rad/Å at squared frequencies in 1/Å²."""
        return math.pi * self.wavelength * squared

    def phase_in_focus(self, squared: Array) -> Array:
        """Return χ in radians at zero defocus: spherical aberration and amplitude contrast."""
        aberration = 0.5 * math.pi * self.wavelength**3 * self.cs * 1e7
        return amplitude_phase(self.amplitude_contrast) - aberration * squared * squared

    def phase(self, squared: Array, defocus: Array | float, plate: float) -> Array:
        """Return χ in radians."""
        return self.phase_per_defocus(squared) * defocus + self.phase_in_focus(squared) + plate


@dataclass(frozen=True)
class Astigmatic:
    """A fitted CTF: the linear parameters, defoci in Å and the plate in radians."""

    mean: float
    a: float
    b: float
    plate: float = 0.0

    @property
    def astigmatism(self) -> float:
        """Return ``U - V`` in Å."""
        return 2 * math.hypot(self.a, self.b)

    @property
    def angle(self) -> float:
        """Return the azimuth of U from +x towards +y in degrees, in (-90, 90]."""
        angle = 0.5 * math.degrees(math.atan2(self.b, self.a))
        return angle if angle > -90 else 90.0

    def along(self, azimuth: Array) -> Array:
        """Return the defocus in Å at azimuths in radians."""
        return self.mean + self.a * np.cos(2 * azimuth) + self.b * np.sin(2 * azimuth)

    def vector(self) -> Array:
        """Return ``(mean, a, b, plate)``."""
        return np.array([self.mean, self.a, self.b, self.plate])


def astigmatism_loss(astigmatism: float, tolerance: float) -> float:
    """Return the log-likelihood lost by an astigmatism ``U - V`` in Å when about `tolerance` is expected; none without a tolerance.

    The prior has long tails (Cauchy's in the plane of a and b): where the rings are clear even a large astigmatism costs next to nothing,
    where they are faint noise cannot feign one.
    """
    return 1.5 * math.log1p((astigmatism / tolerance) ** 2) if tolerance > 0 else 0.0


@dataclass(frozen=True)
class Cells:
    """Mean power of polar cells of one half plane, whitened by a smooth radial background.

    Attributes
    ----------
    radius, azimuth
        Of the pixels of the cell on average: 1/Å, radians.
    excess
        ``power / background - 1``: zero where there are no rings.
    pixels
        Pixels in the cell; the variance of its excess is inverse to it.
    sector, ring
        Integer coordinates of the cell.
    rings
        Mean radius of every ring, 1/Å.
    background
        Of every ring: the smooth power by which `excess` was whitened.
    noise
        Variance of the excess of a single pixel, from its scatter within cells.
    taper
        Of the tiles behind the spectrum; None for none.
    """

    radius: Array
    azimuth: Array
    excess: Array
    pixels: Array
    sector: NDArray[np.intp]
    ring: NDArray[np.intp]
    rings: Array
    background: Array
    noise: float
    taper: Taper | None

    @property
    def correlated(self) -> float:
        """Return how many pixels carry the information of one."""
        return self.taper.correlated if self.taper else 1.0


def spline_basis(values: Array, low: float, high: float, count: int, degree: int = 3) -> Array:
    """Return `count` uniform B-splines between `low` and `high` at `values`: ``(n, count)``, each row sums to 1."""
    degree = min(degree, count - 1)
    inner = np.linspace(low, high, count - degree + 1)
    knots = np.concatenate([np.full(degree, low), inner, np.full(degree, high)])
    return BSpline.design_matrix(np.clip(values, low, high), knots, degree).toarray()


def band_pixels(spectrum: Spectrum, low: float, high: float, cross: int) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return which pixels lie between `low` and `high` (1/Å) and off the axes by `cross` px; their radii (1/Å) and azimuths."""
    fy, fx = spectrum.frequencies()
    radius = np.hypot(fy, fx)
    rows = np.abs(np.rint(fy / spectrum.step))
    chosen = (radius >= low) & (radius <= high) & (rows >= cross) & (np.arange(radius.shape[1]) >= cross)
    return chosen, radius[chosen], np.arctan2(*np.broadcast_arrays(fy, fx))[chosen]


def gather(spectrum: Spectrum, low: float, high: float, *, cross: int, smoothness: int) -> Cells:
    """Average the power ``amplitude²`` over polar cells between the frequencies `low` and `high` (1/Å), and whiten it.

    Parameters
    ----------
    cross
        Half width in px of the cross along the axes that is left out: lines of detector and readout lie there.
    smoothness
        How many splines describe the logarithm of the background.

    Raises
    ------
    ValueError
        When the band holds too few rings of pixels to fit anything.
    """
    chosen, radii, azimuth = band_pixels(spectrum, low, high, cross)
    power = np.square(spectrum.amplitude[chosen])
    depth = spectrum.step / (2 if spectrum.window <= COARSE else 1)
    ring = (np.floor(radii / depth) - np.floor(low / depth)).astype(np.intp)
    sector = np.minimum(((azimuth / math.pi + 0.5) * SECTORS).astype(np.intp), SECTORS - 1)
    cell = ring * SECTORS + sector
    size = (int(ring.max(initial=-1)) + 1) * SECTORS
    if size < 16 * SECTORS:
        raise ValueError(f"the band {1 / low:.1f}-{1 / high:.1f} Å holds only {size // SECTORS} rings of a {spectrum.window} px spectrum")
    pixels = np.bincount(cell, minlength=size).astype(np.float64)
    kept = np.flatnonzero(pixels)
    mean = [np.bincount(cell, value, minlength=size)[kept] / pixels[kept] for value in (radii, azimuth, power)]
    count = np.bincount(ring)
    present = np.flatnonzero(count)
    rings = np.bincount(ring, radii)[present] / count[present]
    profile = np.bincount(ring, power)[present] / count[present]
    smooth = _smooth(rings, profile, count[present], low, high, smoothness)
    background = np.interp(mean[0], rings, smooth)
    spread = np.bincount(cell, power * power, minlength=size)[kept] - pixels[kept] * np.square(mean[2])
    # Neighbours in a cell share some of their variance through the taper (a quarter by a sine), which their scatter therefore lacks.
    shared = 0.4 * (spectrum.taper.correlated - 1) if spectrum.taper else 0.0
    freedom = (pixels[kept] - 1) * (1 - np.minimum(shared / pixels[kept], 0.9))
    return Cells(
        radius=mean[0],
        azimuth=mean[1],
        excess=mean[2] / background - 1,
        pixels=pixels[kept],
        sector=kept % SECTORS,
        ring=np.searchsorted(present, kept // SECTORS),
        rings=rings,
        background=smooth,
        noise=max(float((spread / np.square(background)).sum() / max(freedom.sum(), 1.0)), 1e-12),
        taper=spectrum.taper,
    )


def _smooth(radius: Array, power: Array, weight: Array, low: float, high: float, count: int) -> Array:
    basis = spline_basis(radius, low, high, count)
    weighted = basis * weight[:, None]
    logarithm = np.log(np.maximum(power, power.max() * 1e-12))
    return np.exp(basis @ np.linalg.lstsq(weighted.T @ basis, weighted.T @ logarithm, rcond=None)[0])
