"""How much each particle counts in a reconstruction: the weights of HighRes, each between 0 and 1, their product kept.

Sorzano et al. 2018 (doi:10.1016/j.jsb.2018.08.002). Correlations fall with the defocus whatever the particle is worth, so that they are ranked within
groups of like defocus.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GROUPS, LEAST_MEMBERS = 50, 20
"""Most groups of like defocus, and the members that each has at least where there are enough images."""


@dataclass(frozen=True)
class Weighing:
    """Which weights are multiplied.

    Attributes
    ----------
    correlation
        Least weight of the rank of an image's correlation within its defocus group; None for no such weight.
    ssnr
        The signal that an image shows over noise, beside most.
    continuous
        The correlation itself, beside the best.
    jumper
        How little a pose has moved since the last iteration.
    """

    correlation: float | None = 0.1
    ssnr: bool = False
    continuous: bool = False
    jumper: bool = False


def defocus_groups(defocus: Array | None, count: int) -> NDArray[np.int64]:
    """Return the group of like defocus that each of `count` images is in, equally many in each."""
    groups = max(1, min(GROUPS, count // LEAST_MEMBERS))
    order = np.arange(count) if defocus is None else np.argsort(np.argsort(defocus, kind="stable"), kind="stable")
    return np.zeros(count, np.int64) if defocus is None else order * groups // count


def percentiles(values: Array, group: NDArray[np.int64]) -> Array:
    """Return the part of its group that each value is not below, between 0 and 1."""
    out = np.zeros(len(values))
    for number in range(group.max() + 1):
        rows = np.flatnonzero(group == number)
        out[rows] = np.argsort(np.argsort(values[rows], kind="stable"), kind="stable") / max(len(rows) - 1, 1)
    return out


def jumped(change: Array) -> Array:
    """Return ``exp(-d² / 2σ²)`` of changes d, σ being what most of them are: the median that a normal distribution of that width would have."""
    width = max(float(np.median(change)) / 0.6745, 1e-6)
    return np.exp(-0.5 * (change / width) ** 2)


def particle_weights(weighing: Weighing, cost: Array, signal: Array, change: Array, moved: Array, group: NDArray[np.int64]) -> Array:
    """Return the weight of every image, ``(n,)``; none where an image does not correlate with the reference at all.

    Parameters
    ----------
    cost, signal
        Correlation with the reference, and power of the fitted signal over noise, ``(n,)``.
    change, moved
        Of the pose since the last iteration, in degrees and Å.
    group
        Of like defocus.
    """
    weights = (cost > 0).astype(np.float64)
    if weighing.correlation is not None:
        weights *= weighing.correlation + (1.0 - weighing.correlation) * percentiles(cost, group)
    if weighing.ssnr:
        weights *= np.clip(signal / max(float(np.percentile(signal, 95)), 1e-12), 0.0, 1.0)
    if weighing.continuous:
        weights *= np.clip(cost, 0.0, None) / max(float(cost.max()), 1e-12)
    if weighing.jumper:
        weights *= jumped(change) * jumped(moved)
    return weights
