"""How resolution grows with the number of particles, whether more than by noise, and where it would go.

``1 / d² = a + (2 / B) ln n`` (Rosenthal & Henderson 2003, doi:10.1016/j.jmb.2003.07.013): every B-factor of contrast lost asks for more particles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OWN = 0.75
"""Part of all images up to which repeats are drawn independently enough for their spread to be corrected; beyond, it is carried on."""
ABOVE, MOSTLY = 2.0, 0.8
"""Combined standard deviations by which data must be above noise, and at which part of the numbers."""
LEAST_SPREAD = 0.1
"""Shells that a measurement is uncertain by at the least."""
FEWEST, DECADE = 3, 10.0
"""Numbers of particles that a line is put through at the least, and how many times fewer than the largest they may be: the curve of few bends."""
CONFIDENCE = 1.96
"""Standard deviations of a band that holds 95 %."""


@dataclass(frozen=True)
class Measured:
    """Repeated measurements at several numbers of particles.

    Attributes
    ----------
    counts
        Particles of each of the two maps, ``(m,)``, rising.
    mean, spread
        Of ``1 / d²`` (1/Å²), the standard deviation being that of independent sets of particles.
    saturated
        Where the curve has reached the finest detail that it could: more is not seen.
    """

    counts: Array
    mean: Array
    spread: Array
    saturated: NDArray[np.bool_]

    @classmethod
    def of(cls, counts: Array, resolutions: Array, available: int, finest: float, extent: float) -> "Measured":
        """Take the resolutions in Å of repeats ``(repeats, m)`` that drew from `available` images a half.

        `finest` Å is the limit of the maps, `extent` the side of their box in Å.

        Repeats that draw n of N images share some of them, and so their variance is short of that of independent sets by ``1 - n / N``.
        """
        counts = np.asarray(counts, np.float64)
        values = 1.0 / resolutions**2
        mean = values.mean(axis=0)
        part = counts / available
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(counts))
        spread = spread / np.sqrt(np.maximum(1.0 - part, 1.0 - OWN))
        own = np.flatnonzero(part <= OWN)
        if len(own):
            spread[part > OWN] = np.maximum(spread[part > OWN], spread[own[-1]])
        # The square of a shell s moves by 2 s ds.
        least = 2.0 * LEAST_SPREAD * np.sqrt(mean) / extent
        return cls(counts, mean, np.maximum(spread, least), mean > 0.97 / finest**2)


@dataclass(frozen=True)
class Line:
    """``1 / d² = intercept + slope ln n`` through measurements.

    Attributes
    ----------
    intercept, slope
        1/Å².
    covariance
        Of both, ``(2, 2)``.
    """

    intercept: float
    slope: float
    covariance: Array

    @property
    def b_factor(self) -> float:
        """Return B in Å², infinite where resolution does not grow."""
        return 2.0 / self.slope if self.slope > 0 else np.inf

    def at(self, counts: Array) -> tuple[Array, Array]:
        """Return ``1 / d²`` for numbers of particles and half the width of its confidence band."""
        terms = np.stack([np.ones(len(counts)), np.log(counts)], axis=1)
        band = np.sqrt(np.einsum("ni,ij,nj->n", terms, self.covariance, terms))
        return terms @ np.array([self.intercept, self.slope]), CONFIDENCE * band

    def needed(self, resolution: float) -> float:
        """Return the particles of each map that reach `resolution` Å; infinite where resolution does not grow."""
        return float(np.exp(min((1.0 / resolution**2 - self.intercept) / self.slope, 700.0))) if self.slope > 0 else np.inf


def fitted(measured: Measured) -> Line | None:
    """Return the line through the largest measurements that are not saturated, weighted by their spreads; None for fewer than `FEWEST`."""
    used = ~measured.saturated
    if used.any():
        used &= measured.counts >= measured.counts[used][-1] / DECADE
    if np.count_nonzero(used) < FEWEST:
        return None
    terms = np.stack([np.ones(np.count_nonzero(used)), np.log(measured.counts[used])], axis=1)
    weights = 1.0 / measured.spread[used]
    covariance = np.linalg.inv((terms * weights[:, None]).T @ (terms * weights[:, None]))
    found = covariance @ (terms * weights[:, None] ** 2).T @ measured.mean[used]
    left = (((measured.mean[used] - terms @ found) * weights) ** 2).sum() / (len(terms) - 2)
    return Line(float(found[0]), float(found[1]), covariance * max(left, 1.0))


def level_for(times: float, level: float = 0.5) -> float:
    """Return to what a shell correlation has fallen where, with `times` as many particles in the same poses, it will fall to `level`.

    Signal over noise grows as the number of particles: ``f / (1 - f)`` becomes so many times as much.
    """
    ratio = level / (1.0 - level) / times
    return ratio / (1.0 + ratio)


def separation(data: Measured, noise: Measured) -> Array:
    """Return by how many combined standard deviations ``1 / d²`` of data is above that of noise, ``(m,)``."""
    return (data.mean - noise.mean) / np.hypot(data.spread, noise.spread)


def verdict(data: Measured, noise: Measured) -> str:
    """Return ``above noise``, ``not distinguishable`` or, where both reach the limit, ``saturated``."""
    told = ~(data.saturated & noise.saturated)
    if not told.any():
        return "saturated"
    return "above noise" if np.mean(separation(data, noise)[told] > ABOVE) >= MOSTLY else "not distinguishable"
