"""Particles of several sizes in one run: one family after the other, the clearest first.

Blobs are listed at several diameters. At each, the mixture model finds one family; the one that stands out most from its decoys is taken, all blobs
of any diameter that overlap its members go, and what is left is sorted again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryoloom.numerics.picking.selection import particle_probability

Array = NDArray[np.float64]
Index = NDArray[np.int64]

STEP = 1.4
"""Largest ratio of two neighbouring diameters."""

CLEAR, LEAST = 1.5, 10
"""Standard deviations by which the median member of a family exceeds the decoys, and how many members it has, at the least."""


def diameters_between(smallest: float, largest: float) -> Array:
    """Return diameters from the one to the other, in equal ratios of at most `STEP`."""
    steps = int(np.ceil(np.log(largest / smallest) / np.log(STEP) - 1e-9))
    return smallest * (largest / smallest) ** (np.arange(steps + 1) / max(steps, 1))


@dataclass(frozen=True)
class Sized:
    """Candidates of all diameters.

    Attributes
    ----------
    x, y
        ``(n,)`` centres in px.
    features
        ``(n, k)``.
    micrograph
        ``(n,)`` from 0.
    size
        ``(n,)`` which of the diameters.
    diameter
        ``(n,)`` in px.
    decoys
        Features of the decoys of each diameter, ``(m, k)``.
    """

    x: Array
    y: Array
    features: Array
    micrograph: Index
    size: Index
    diameter: Array
    decoys: list[Array]


def family_probability(data: Sized, least: float) -> Array:
    """Return the probability ``(n,)`` that each candidate is a particle, 0 for those that overlap one of a clearer family.

    `least` is the probability from which a candidate counts as found.
    """
    clear = np.zeros(len(data.x))
    for size, decoys in enumerate(data.decoys):
        of_size = data.size == size
        clear[of_size] = _significance(data.features[of_size, 0], decoys[:, 0])
    free = np.ones(len(data.x), dtype=bool)
    probability = np.zeros(len(data.x))
    for _ in data.decoys:
        families = []
        for size, decoys in enumerate(data.decoys):
            mine = np.flatnonzero(free & (data.size == size))
            own = particle_probability(data.features[mine], data.micrograph[mine], decoys) if len(mine) else np.zeros(0)
            members = mine[own >= max(least, 0.5)]
            if len(members) >= LEAST and (height := float(np.median(clear[members]))) >= CLEAR:
                families.append((height, members, mine, own))
        if not families:
            break
        _, members, mine, own = max(families, key=lambda family: family[0])
        found = own >= least
        probability[mine[found]] = own[found]
        free[mine[found]] = False
        free &= ~_overlapping(data, members)
    return probability


def _significance(strength: Array, decoys: Array) -> Array:
    """Return by how many standard deviations log strengths ``(n,)`` exceed those of decoys ``(m,)``."""
    if len(decoys) < 2:
        return strength
    low, middle = np.quantile(decoys, (0.25, 0.5))
    return (strength - middle) / max((middle - low) / 0.6745, 1e-6)


def _overlapping(data: Sized, members: Index) -> NDArray[np.bool_]:
    """Return which candidates ``(n,)`` lie nearer to one of `members` than the mean of the two diameters."""
    out = np.zeros(len(data.x), dtype=bool)
    reach = float(data.diameter.max())
    for micrograph in np.unique(data.micrograph[members]):
        here, theirs = np.flatnonzero(data.micrograph == micrograph), members[data.micrograph[members] == micrograph]
        points = np.stack([data.x, data.y], axis=1)
        for member, near in zip(theirs, cKDTree(points[here]).query_ball_point(points[theirs], reach), strict=True):
            others = here[near]
            apart = np.linalg.norm(points[others] - points[member], axis=1)
            out[others[apart < 0.5 * (data.diameter[others] + data.diameter[member])]] = True
    return out
