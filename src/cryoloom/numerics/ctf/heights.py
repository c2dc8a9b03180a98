"""Defocus of single particles from what each of them says of it and from where it lies: the specimen is a plane, on either side of which particles lie.

An image of a particle says little of its defocus, and at times something wrong: a wave of its CTF further on fits as well. The offsets ``d`` of
the particles of a micrograph at places ``(x, y)`` are therefore taken to be ``a + b x + c y + h``, h normal with a spread that is one for the
set. Slopes of micrographs come from a normal distribution too, whose mean and spread are the set's: a tilted stage tilts them all. Everything is
learned from the particles' own evidence, curves of log-likelihood over offsets, of any shape (empirical Bayes; curves are replaced by normal ones
of the same posterior mean and variance where planes are fitted, as in expectation propagation).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUNDS, COOLING = 14, 0.65
"""Rounds, and the part of the spread that a round may go on with: faster, and a plane that began wrong stays out of sight of its particles."""
THIN = 10.0
"""Å, the least spread of heights: no layer of ice is thinner. Offsets are tried in steps of that."""
LEAST_SLOPE, STEEPEST = 0.01, 1.0
"""Least spread of slopes over micrographs, and that taken before anything is known (Å/Å)."""
NOTHING = 30.0
"""Log-likelihood below the best at which an offset counts for nothing."""


@dataclass(frozen=True)
class Heights:
    """Offsets of the defocus, Å.

    Attributes
    ----------
    offset, error
        Posterior mean and standard deviation of each particle's, ``(n,)``.
    trend
        What the plane of its micrograph has at its place, ``(n,)``.
    planes
        Offset (Å) and slopes along x and y (Å/Å) of every micrograph's plane, ``(M, 3)``.
    spread
        Standard deviation of the heights about the planes.
    """

    offset: Array
    error: Array
    trend: Array
    planes: Array
    spread: float


def heights(evidence: NDArray[np.float32], grid: Array, places: Array | None, micrograph: NDArray[np.int64]) -> Heights:
    """Return the offsets of particles.

    Parameters
    ----------
    evidence
        Log-likelihood of every particle ``(n, G)`` at the offsets `grid` ``(G,)``, in steps of `THIN` Å.
    places
        x, y in Å, ``(n, 2)``; None where they are not known: the planes are then level.
    micrograph
        Of every particle, ``(n,)`` from 0.
    """
    reach = float(np.abs(grid).max())
    count = int(micrograph.max()) + 1
    members = np.maximum(np.bincount(micrograph, minlength=count), 1)
    design = np.ones((len(micrograph), 1))
    if places is not None:
        centre = np.stack([np.bincount(micrograph, axis, count) / members for axis in places.T], axis=1)
        design = np.concatenate([design, places - centre[micrograph]], axis=1)
    terms = design.shape[1]
    middle, around = np.zeros(terms), np.diag([reach**2] + [STEEPEST**2] * (terms - 1))
    planes, spread = np.zeros((count, terms)), reach / 2
    mean, variance, own = np.empty(len(design)), np.empty(len(design)), np.zeros(len(design))
    covariance = np.tile(around, (count, 1, 1))

    def precision(weight: Array) -> Array:
        """Return the inverse covariance of the planes ``(M, T, T)`` that particles of some weight tell."""
        normal = np.zeros((count, terms, terms))
        np.add.at(normal, micrograph, weight[:, None, None] * design[:, :, None] * design[:, None, :])
        return normal + np.linalg.inv(around)

    for number in range(ROUNDS):
        trend = np.clip(np.einsum("nt,nt->n", design, planes[micrograph]), grid[0], grid[-1])
        if number:
            tried = np.clip(spread * np.array([COOLING, 0.8, 1.0, 1.25, 1.6]), THIN, reach)
            # Planes follow the heights of their particles: what that takes off the spread is given back.
            freedom = [0.5 * np.linalg.slogdet(precision(own / (1.0 + own * each**2)))[1].sum() for each in tried]
            likely = [moments(evidence, grid, trend, each, mean, variance) for each in tried]
            spread = float(tried[int(np.argmax(np.subtract(likely, freedom)))])
        moments(evidence, grid, trend, spread, mean, variance)
        if number == ROUNDS - 1:
            break
        # What a particle says by itself: its posterior without the prior. A spread no smaller than the prior's says nothing.
        own = np.maximum(1.0 / variance - 1.0 / spread**2, 1e-12)
        said = (mean / variance - trend / spread**2) / own
        weight = own / (1.0 + own * spread**2)
        right = np.zeros((count, terms))
        np.add.at(right, micrograph, (weight * said)[:, None] * design)
        covariance = np.linalg.inv(precision(weight))
        planes = np.einsum("mij,mj->mi", covariance, right + np.linalg.inv(around) @ middle)
        if terms > 1 and number > 1:
            middle = np.concatenate([[0.0], planes[:, 1:].mean(axis=0)])
            scatter = ((planes - middle) ** 2 + np.einsum("mii->mi", covariance)).mean(axis=0)[1:]
            around = np.diag([reach**2, *np.clip(scatter, LEAST_SLOPE**2, STEEPEST**2)])
    doubt = np.einsum("ni,nij,nj->n", design, covariance[micrograph], design) * (variance / spread**2) ** 2
    whole = np.zeros((count, 3))
    whole[:, :terms] = planes
    return Heights(mean, np.sqrt(variance + doubt), trend, whole, spread)


@njit(nogil=True, cache=True, error_model="numpy")
def moments(evidence, grid, trend, spread, mean, variance):
    """Write the `mean` and `variance` of each particle's offset under the prior ``N(trend, spread²)``; return the summed log-evidence of that prior."""
    total, count = 0.0, len(grid)
    step = grid[1] - grid[0]
    weight = np.empty(count)
    for n in range(len(evidence)):
        top = -np.inf
        for g in range(count):
            away = (grid[g] - trend[n]) / spread
            weight[g] = evidence[n, g] - 0.5 * away * away
            top = max(top, weight[g])
        mass = first = second = 0.0
        for g in range(count):
            if weight[g] < top - NOTHING:
                continue
            w = np.exp(weight[g] - top)
            mass += w
            first += w * grid[g]
            second += w * grid[g] * grid[g]
        mean[n] = first / mass
        # Less than that part of a step is no error that a grid could tell.
        variance[n] = max(second / mass - mean[n] * mean[n], 0.08 * step * step)
        total += top + np.log(mass * step / spread)
    return total
