"""How far a fit explains the rings: equi-phase averages and their running correlation with the model.

After Rohou & Grigorieff, J. Struct. Biol. 192:216 (2015): pixels of equal phase are averaged, which undoes astigmatism exactly; where
the average no longer follows the model, the fit ends.
"""

from dataclasses import dataclass

import numpy as np

from cryoloom.numerics.ctf.rings import Astigmatic, Optics, band_pixels
from cryoloom.numerics.ctf.spectrum import Array, Spectrum

FOLLOWED, LOST = 0.66, 0.5
"""Quality that a fit must reach once, over more than three bins, and below which it then ends."""

FAINT = 0.1
"""Quality that rings which are only faint keep, so that the fit goes on where they are strong again."""


@dataclass(frozen=True)
class Curves:
    """One-dimensional curves of a spectrum and its fit; one value a spectrum pixel of radius.

    Attributes
    ----------
    frequency
        1/Å.
    rotational, equiphase
        Mean power over circles, and over lines of equal phase; in each neighbourhood scaled to the fit's mean and range.
    fit
        ``CTF²`` at the mean defocus.
    quality
        Correlation of `equiphase` and `fit` in the neighbourhood.
    resolution
        In Å; the coarse end of the curves where nothing was followed.
    aliased
        In Å: beyond it rings are narrower than four bins; 0 if nowhere.
    """

    frequency: Array
    rotational: Array
    equiphase: Array
    fit: Array
    quality: Array
    resolution: float
    aliased: float


def fit_curves(spectrum: Spectrum, ctf: Astigmatic, optics: Optics, coarse: float, *, cross: int) -> Curves:
    """Average the spectrum over equal phase and tell to which resolution the fit holds.

    Parameters
    ----------
    coarse
        Resolution in Å at which the curves begin.
    cross
        Half width in px of the cross along the axes that is left out.
    """
    nyquist = 0.5 / spectrum.pixel_size
    chosen, radius, azimuth = band_pixels(spectrum, 0.9 / coarse, nyquist, cross)
    power = np.square(spectrum.amplitude[chosen])
    count = int(nyquist / spectrum.step) + 1
    circles = _binned(radius / spectrum.step, power, count)
    level = _binned(equivalent_radius(radius, azimuth, ctf, optics) / spectrum.step, power, count)
    bins = np.arange(count)
    kept = (bins * spectrum.step >= 1 / coarse) & np.isfinite(level) & np.isfinite(circles) & (bins * spectrum.step <= nyquist)
    frequency = bins[kept] * spectrum.step
    phase = optics.phase(frequency**2, ctf.mean, ctf.plate)
    fit = np.square(np.sin(phase))
    rotational, equiphase, quality = _compare(circles[kept], level[kept], fit, phase)
    lobe = _lobe(phase)
    end = _end(quality, lobe)
    narrow = np.flatnonzero(lobe < 4)
    return Curves(
        frequency=frequency,
        rotational=rotational,
        equiphase=equiphase,
        fit=fit,
        quality=quality,
        resolution=float(1 / frequency[end]),
        aliased=float(1 / frequency[narrow[0]]) if len(narrow) else 0.0,
    )


def _binned(position: Array, values: Array, count: int) -> Array:
    index = np.rint(position).astype(np.intp)
    good = (index >= 0) & (index < count)
    total, number = (np.bincount(index[good], weight, minlength=count) for weight in (values[good], None))
    return np.where(number > 0, total, np.nan) / np.maximum(number, 1)


def equivalent_radius(radius: Array, azimuth: Array, ctf: Astigmatic, optics: Optics) -> Array:
    """Return where χ of the mean defocus equals that of every pixel; its own radius where there is no such place."""
    squared = radius**2
    linear = optics.phase_per_defocus(1.0) * ctf.mean
    quadratic = optics.phase_in_focus(0.0) - optics.phase_in_focus(1.0)
    phase = optics.phase_per_defocus(squared) * ctf.along(azimuth) - quadratic * squared**2
    root = linear**2 - 4 * quadratic * phase
    turning = linear / (2 * quadratic) if quadratic > 0 else np.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        solved = 2 * phase / (linear + np.copysign(np.sqrt(root), linear))
    falls = linear < 0
    usable = (root > 0) & (solved > 0) & (falls | (squared < 0.9 * turning))
    return np.sqrt(np.where(usable, solved, squared))


def _lobe(phase: Array) -> Array:
    """Return the bins from one zero of the CTF to the next, everywhere."""
    return np.pi / np.maximum(np.abs(np.gradient(phase)), 1e-6)


def _compare(circles: Array, level: Array, fit: Array, phase: Array) -> tuple[Array, Array, Array]:
    """Return both averages with every ring brought to the height of the fit's, and how well `level` then follows the fit."""
    lobe = _lobe(phase)
    shortest = max(len(fit) / 40, 3)
    near = _Neighbourhood(np.maximum(lobe, shortest))
    background = near.mean(level)
    circles, level = circles / background, level / background
    height = near.deviation(fit) / near.deviation(level)
    middle = near.mean(fit)
    circles, level = (middle + near.detrended(values) * height for values in (circles, level))
    rings = np.abs(phase - phase[0]) / np.pi
    wide = _Neighbourhood(np.maximum((1 + 0.1 * rings) * lobe, shortest))
    return circles, level, np.clip(wide.covariance(level, fit) / (wide.deviation(level) * wide.deviation(fit)), -1, 1)


class _Neighbourhood:
    """Means, and moments about a straight line, within windows of given half widths in bins, at most a third of the curve."""

    def __init__(self, half_width: Array) -> None:
        count = len(half_width)
        half = np.clip(np.ceil(half_width), 1, count / 3).astype(np.intp)
        at = np.arange(count)
        self.first, self.last = np.maximum(at - half, 0), np.minimum(at + half + 1, count)
        self.place = at - 0.5 * (count - 1)

    def mean(self, values: Array) -> Array:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return (total[self.last] - total[self.first]) / (self.last - self.first)

    def _shared(self, one: Array, two: Array) -> Array:
        return self.mean(one * two) - self.mean(one) * self.mean(two)

    def detrended(self, values: Array) -> Array:
        """Subtract from each value the straight line of its own window."""
        slope = self._shared(values, self.place) / self._shared(self.place, self.place)
        return values - self.mean(values) - slope * (self.place - self.mean(self.place))

    def covariance(self, one: Array, two: Array) -> Array:
        along = self._shared(one, self.place) * self._shared(two, self.place) / self._shared(self.place, self.place)
        return self._shared(one, two) - along

    def deviation(self, values: Array) -> Array:
        return np.sqrt(np.maximum(self.covariance(values, values), 1e-30))


def _end(quality: Array, lobe: Array) -> int:
    """Return the bin at which the fit ends: quality is lost after it was good, stays lost for a ring's width on the whole, and for good.

    Where rings are faint between the form factor of particles and the ring of ice, quality sinks and comes back. It would not without the
    right count of rings in between, nor with phases that go astray there, which turn it negative.
    """
    good = np.cumsum(quality > FOLLOWED)
    if good[-1] <= 3:
        return 0
    at = int(np.searchsorted(good, 4))
    while at < len(quality):
        ring = max(4, round(2 * float(lobe[at])))
        if quality[at] < LOST and np.median(quality[at : at + ring]) < LOST:
            back = _regained(quality, at, ring)
            if back is None:
                return at
            at = back
        at += 1
    return len(quality) - 1


def _regained(quality: Array, lost: int, ring: int) -> int | None:
    """Return where quality is good again for two rings on the whole, having been but faint from `lost` on; None where it is not."""
    for at in lost + np.flatnonzero(quality[lost : len(quality) - 2 * ring] >= FOLLOWED):
        if np.median(quality[at : at + 2 * ring]) >= FOLLOWED:
            return int(at) if np.quantile(quality[lost:at], 0.1) >= FAINT else None
    return None
