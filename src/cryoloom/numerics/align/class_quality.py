"""Which class averages show particles (a quality from 0 to 1), and how little of its average a particle may show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GOOD = 0.5
"""Quality from which a class is kept."""


@dataclass(frozen=True)
class Quality:
    """Scores from 0 (bad) to 1 of each class ``(K,)``; `total` is the product of the others."""

    resolution: Array
    size: Array
    centre: Array
    reach: Array
    contrast: Array
    match: Array

    @property
    def total(self) -> Array:
        """Return the quality."""
        return self.resolution * self.size * self.centre * self.reach * self.contrast * self.match


def class_quality(
    averages: NDArray[np.float32],
    counts: NDArray[np.integer],
    rings: Array,
    diameter: float,
    *,
    match: Array | None = None,
    evidence: Array | None = None,
) -> Quality:
    """Judge class averages.

    Parameters
    ----------
    averages
        ``(K, box, box)``, bright, background 0.
    counts
        Images of each class.
    rings
        Ring at which the correlation of half sets falls below 0.5, ``(K,)``; a higher one is a finer resolution.
    diameter
        Of the particle, px.
    match
        Median over the members of each class of how much of the average of the others they show, ``(K,)``; None: not judged.
    evidence
        Median over the members of the log-likelihood gained over an empty image, ``(K,)``; None: unknown.

    Notes
    -----
    Every score compares a class with what most images of the set belong to, so that no absolute number has to be known: noise classes
    resolve less, ice and edges have another contrast, pairs and edges reach out of the circle or lie beside the centre. Only `match`
    is absolute: things that have nothing in common show little of each other's average, and much of it only while it holds themselves.
    Rare views have few images and resolve less than the others. Noise gains up to about 20 by being in the average it is compared
    with; where members gain far more, half the resolution is enough.
    """
    box = averages.shape[-1]
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    weight = counts.astype(np.float64)
    share = weight / max(weight.sum(), 1.0)
    typical_ring = _weighted_quantile(rings, weight, 0.6)
    inside = radius <= diameter / 2
    mass = averages[:, inside].mean(axis=1).astype(np.float64)
    middle = _weighted_quantile(mass, weight, 0.5)
    positive = np.clip(averages, 0.0, None).astype(np.float64)
    total = positive.sum(axis=(1, 2)) + 1e-12
    beside = np.hypot((positive * axis[None, :, None]).sum(axis=(1, 2)) / total, (positive * axis[None, None, :]).sum(axis=(1, 2)) / total)
    out = positive[:, radius > 0.55 * diameter].sum(axis=1) / total
    expected = _weighted_quantile(out, weight, 0.5)
    ratio = np.where(middle > 0, mass / max(middle, 1e-12), 0.0)
    sure = np.zeros(len(counts)) if evidence is None else _rise(evidence, 25.0, 50.0)
    return Quality(
        resolution=_rise(rings / max(typical_ring, 1.0), 0.45 - 0.2 * sure, 0.75 - 0.3 * sure),
        size=_rise(share * len(counts), 0.05, 0.2),
        centre=1.0 - _rise(beside / diameter, 0.08, 0.2),
        reach=1.0 - _rise(out, expected + 0.1, expected + 0.3),
        contrast=_rise(ratio, 0.25, 0.6) * (1.0 - _rise(ratio, 1.7, 2.5)),
        match=np.ones(len(counts)) if match is None else _rise(match, 0.4, 0.8),
    )


def least_match(match: Array, wanted: float) -> float:
    """Return the `wanted` least amplitude of its class average in a particle, or less where noise and differing views alone spread it wide.

    Parameters
    ----------
    match
        Of the particles of good classes, ``(n,)``.

    Notes
    -----
    What is no particle shows too little of an average, so the upper half of the values says how widely particles spread: the lower
    limit lies at most 1.75 such standard deviations below the median, which 4 % of a single normal population fall below.
    """
    if not len(match):
        return wanted
    middle, upper = np.quantile(match, (0.5, 0.8413))
    return float(min(wanted, middle - 1.75 * (upper - middle)))


def _rise(values: Array, low: float | Array, high: float | Array) -> Array:
    """Return 0 up to `low`, 1 from `high` on, smooth in between."""
    part = np.clip((values - low) / (high - low), 0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


def _weighted_quantile(values: Array, weights: Array, level: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, level * total[-1])])
