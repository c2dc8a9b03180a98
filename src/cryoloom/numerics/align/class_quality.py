"""Which class averages show particles (a quality from 0 to 1) and why others do not, and how little of its average a particle may show."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GOOD = 0.5
"""Quality from which a class is kept."""

FAULTS = {
    "match": "members have little in common",
    "contrast": "much fainter or stronger than most",
    "compact": "spread out: several particles, an edge or noise",
    "reach": "mass beside the particle: neighbours or an edge",
    "centre": "off centre",
    "signal": "members show little signal together: noise",
    "resolution": "halves agree less far than those of most",
    "size": "few members",
}
"""What a low score of each name says of a class, the gravest first where scores are equal."""

FLAW = 0.8
"""Score below which a class has a fault of that name."""


@dataclass(frozen=True)
class Quality:
    """Scores from 0 (bad) to 1 of each class ``(K,)``; `total` is the product of the others."""

    resolution: Array
    size: Array
    signal: Array
    centre: Array
    compact: Array
    reach: Array
    contrast: Array
    match: Array

    @property
    def scores(self) -> dict[str, Array]:
        """Return the scores by their names."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def total(self) -> Array:
        """Return the quality."""
        return np.prod([*self.scores.values()], axis=0)


def reasons(total: Array, scores: Mapping[str, Array], least: float = GOOD) -> list[str]:
    """Return in words, for each class, why it is kept at a quality of `least` or left out: what speaks against it, the gravest first."""
    words = []
    for number, quality in enumerate(total):
        low = {name: float(scores[name][number]) for name in FAULTS if name in scores and scores[name][number] < FLAW}
        found = [f"{FAULTS[name]} ({name} {low[name]:.2f})" for name in sorted(low, key=lambda name: low[name])]
        if quality >= least:
            words.append("; ".join(["kept", *found]))
        else:
            words.append("; ".join(found) or f"quality {quality:.2f}: nothing in it that its images have")
    return words


def class_quality(
    averages: NDArray[np.float32],
    counts: NDArray[np.integer],
    rings: Array,
    diameter: float,
    *,
    frc: Array | None = None,
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
    frc
        Correlation of the half sets of each class at rings 1, 2, …, ``(K, R)``; None: the signal of the members is not judged.
    match
        Median over the members of each class of how much of the average of the others they show, ``(K,)``; None: not judged.
    evidence
        Median over the members of the log-likelihood gained over an empty image, ``(K,)``; None: unknown.

    Notes
    -----
    Every score compares a class with what most images of the set belong to, so that no absolute number has to be known: noise classes
    resolve less, ice and edges have another contrast, pairs and edges reach out of the circle or lie beside the centre, and pairs, heaps and
    noise have their mass farther from the middle (radius of gyration; the widest view of a ring has 1.4 times that of its side). Only `match`
    is absolute: things that have nothing in common show little of each other's average, and much of it only while it holds themselves.
    Rare views have few images and resolve less than the others. Noise gains up to about 20 by being in the average it is compared
    with; where members gain far more, half the resolution is enough.
    """
    box = averages.shape[-1]
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    weight = counts.astype(np.float64)
    share = weight / max(weight.sum(), 1.0)
    typical_ring = weighted_quantile(rings, weight, 0.6)
    inside = radius <= diameter / 2
    mass = averages[:, inside].mean(axis=1).astype(np.float64)
    middle = weighted_quantile(mass, weight, 0.5)
    positive = np.clip(averages, 0.0, None).astype(np.float64)
    total = positive.sum(axis=(1, 2)) + 1e-12
    beside = np.hypot((positive * axis[None, :, None]).sum(axis=(1, 2)) / total, (positive * axis[None, None, :]).sum(axis=(1, 2)) / total)
    out = positive[:, radius > 0.55 * diameter].sum(axis=1) / total
    expected = weighted_quantile(out, weight, 0.5)
    near = positive * (radius <= 0.6 * diameter)
    gyration = np.sqrt((near * radius**2).sum(axis=(1, 2)) / (near.sum(axis=(1, 2)) + 1e-12))
    wide = gyration / max(weighted_quantile(gyration, weight, 0.5), 1e-12)
    ratio = np.where(middle > 0, mass / max(middle, 1e-12), 0.0)
    sure = np.zeros(len(counts)) if evidence is None else _rise(evidence, 20.0, 35.0)
    return Quality(
        resolution=_rise(rings / max(typical_ring, 1.0), 0.45 - 0.2 * sure, 0.75 - 0.3 * sure),
        size=_rise(share * len(counts), 0.05, 0.2),
        signal=np.ones(len(counts)) if frc is None else _rise(_signal(frc, weight, typical_ring), 0.15, 0.35),
        centre=1.0 - _rise(beside / diameter, 0.08, 0.2),
        compact=1.0 - _rise(wide, 1.3, 1.5),
        reach=1.0 - _rise(out, expected + 0.1, expected + 0.3),
        contrast=_rise(ratio, 0.25, 0.6) * (1.0 - _rise(ratio, 1.7, 2.5)),
        match=np.ones(len(counts)) if match is None else _rise(match, 0.4, 0.8),
    )


def _signal(frc: Array, weight: Array, ring: float) -> Array:
    """Return the signal-to-noise ratio of one image of each class, up to `ring`, relative to that of most images, ``(K,)``."""
    half = np.clip(frc[:, : max(1, int(ring))], 0.0, 0.99)
    of_one = (2.0 * half / (1.0 - half)).mean(axis=1) / np.maximum(weight, 1.0)
    return of_one / max(weighted_quantile(of_one, weight, 0.5), 1e-12)


def least_match(match: Array, wanted: float) -> float:
    """Return the `wanted` least amplitude of its class average in a particle, or less where noise and differing views alone spread it wide.

    Parameters
    ----------
    match
        Of the particles of good classes, ``(n,)``.

    Notes
    -----
    What is no particle shows too little of an average, so the upper half of the values says how widely particles spread: the lower
    limit lies at least 2.05 such standard deviations below the median, which 2 % of a single normal population fall below.
    """
    if not len(match):
        return wanted
    middle, upper = np.quantile(match, (0.5, 0.8413))
    return float(min(wanted, middle - 2.05 * (upper - middle)))


def _rise(values: Array, low: float | Array, high: float | Array) -> Array:
    """Return 0 up to `low`, 1 from `high` on, smooth in between."""
    part = np.clip((values - low) / (high - low), 0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


def weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], level: float) -> float:
    """Return the value ``(n,)`` up to which a share `level` of the `weights` lies."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, level * total[-1])])
