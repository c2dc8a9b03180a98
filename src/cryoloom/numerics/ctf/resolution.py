"""How far a fit explains the rings: equi-phase averages and their running correlation with the model.

After Rohou & Grigorieff, J. Struct. Biol. 192:216 (2015): pixels of equal phase are averaged, which undoes astigmatism exactly; where
the average no longer follows the model, the fit ends. That is told by the spectrum that was fitted, in steps of phase; the curves to be looked at
are of the spectrum over small tiles, in steps of frequency.
"""

import math
from dataclasses import dataclass

import numpy as np

from cryoloom.numerics.ctf.rings import Astigmatic, Cells, Optics, band_pixels
from cryoloom.numerics.ctf.spectrum import Array, Spectrum

CLEAR, FAINT = 6.0, 1.0
"""Standard errors by which rings stand out as far as a fit holds, and those that are only faint before they are strong again."""

CHANCE = 3.0
"""Standard errors by which rings must be clearer without what lies beyond them than with it, if they are to have stopped at once."""

STEPS = 8
"""Steps of phase in which powers are averaged, from one zero of the CTF to the next."""

AROUND = 0.12
"""Part of a frequency to either side over which the height of its rings is measured, or over `LEAST_RINGS` if that is more."""

LEAST_RINGS = 1.5


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
    aliased
        In Å: beyond it rings are narrower than four bins; 0 if nowhere.
    """

    frequency: Array
    rotational: Array
    equiphase: Array
    fit: Array
    quality: Array
    aliased: float


def fit_curves(spectrum: Spectrum, ctf: Astigmatic, optics: Optics, coarse: float, *, cross: int) -> Curves:
    """Average the spectrum over equal phase and lay the fit beside it.

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
    narrow = np.flatnonzero(lobe < 4)
    return Curves(
        frequency=frequency,
        rotational=rotational,
        equiphase=equiphase,
        fit=fit,
        quality=quality,
        aliased=float(1 / frequency[narrow[0]]) if len(narrow) else 0.0,
    )


def rings_end(cells: Cells, ctf: Astigmatic, optics: Optics) -> float:
    """Return in Å where the rings of `ctf` are lost for good; the coarse end of the cells where there are none.

    Powers are averaged in steps of phase. Around every step the height of the rings is fitted beside a curved background, and held against its
    standard error. The fit ends where they stand out by less than `CLEAR`, but goes on where they do again and have been but faint in between.
    That would not be so without the right count of rings there, nor with phases that go astray, which turn the height negative.

    The result is repeatable where a running correlation is not: its window is as wide as may be for a resolution to some per cent, and powers
    scatter by a known amount.
    """
    turns = np.abs(np.diff(optics.phase(cells.rings**2, ctf.mean, ctf.plate))) * (STEPS / math.pi)
    radius = equivalent_radius(cells.radius, cells.azimuth, ctf, optics)
    inside = (radius >= cells.rings[0]) & (radius <= cells.rings[-1])
    step = np.interp(radius[inside], cells.rings, np.append(0.0, np.cumsum(turns))).astype(np.intp)
    pixels = np.bincount(step, cells.pixels[inside])
    held = np.flatnonzero(pixels)
    place, power = (np.bincount(step, (cells.pixels * each)[inside])[held] / pixels[held] for each in (radius, 1 + cells.excess))
    fit = np.square(np.sin(optics.phase(place**2, ctf.mean, ctf.plate)))
    end = _end(place, power, fit, pixels[held] / (cells.noise * cells.correlated))
    return float(1 / (cells.rings[0] if end is None else place[end]))


def _end(place: Array, power: Array, fit: Array, certainty: Array) -> int | None:
    """Return the last step to which the rings of `fit` are clear in `power`, with no less than faint ones before; None where they are nowhere.

    The variance of `power`, relative to its square, is the inverse of `certainty`.
    """
    half, steps = round(LEAST_RINGS * STEPS), np.arange(len(place))
    first = np.maximum(np.minimum(np.searchsorted(place, place * (1 - AROUND)), steps - half), 0)
    last = np.minimum(np.maximum(np.searchsorted(place, place * (1 + AROUND)), steps + half), len(place))

    def shares(at: int) -> tuple[Array, Array]:
        """Return what every step around adds to the height of the rings, in standard errors of the whole, and to its certainty, 1 in all."""
        near = slice(first[at], last[at])
        along, weight = (steps[near] - at) / (last[at] - first[at]), np.sqrt(certainty[near])
        # The last direction is what the background leaves of the rings.
        directions, triangle = np.linalg.qr(np.stack([np.ones_like(along), along, along**2, fit[near]], axis=1) * weight[:, None])
        rings, seen = directions[:, 3] * np.sign(triangle[3, 3]), power[near] * weight / np.average(power[near], weights=certainty[near])
        return rings * (seen - directions[:, :3] @ (directions[:, :3].T @ seen)), np.square(rings)

    clearness = np.array([shares(at)[0].sum() if last[at] - first[at] >= half else 0.0 for at in steps])
    clear = np.flatnonzero(clearness >= CLEAR)
    if not len(clear):
        return None
    lost = np.flatnonzero(clearness[clear[0] :] < FAINT)
    end = int(clear[clear < clear[0] + lost[0]][-1] if len(lost) else clear[-1])
    # Strong rings that stop at once are still clear some way beyond, by those before: they end where they alone are clearest, beyond chance.
    height, known = (np.cumsum(share) for share in shares(end))
    alone = np.where(known > 0.1, height / np.sqrt(np.maximum(known, 0.1)), 0.0)
    return min(end, int(first[end] + np.argmax(alone))) if alone.max() ** 2 > clearness[end] ** 2 + CHANCE**2 else end


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
