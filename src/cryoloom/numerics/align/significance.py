"""Which directions are significantly like an image, and how much the image counts there.

Of all directions those are kept at which an image's correlation is among the highest, by rank, and not significantly below its own best, by
Fisher's transform. An image counts at a direction by how extreme both its correlation and its distance are among all directions, and by how
extreme its correlation is among those of all images at that direction and near it (Sorzano et al. 2015, doi:10.1016/j.jsb.2015.01.009).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.projection_matching import Matches
from cryoloom.numerics.geometry.symmetry import PointGroup

Array = NDArray[np.float64]

FISHER = 2.96
"""Standard errors of Fisher's z by which a correlation may stay below what the best one allows."""


@dataclass(frozen=True)
class Criteria:
    """What makes a direction significant.

    Attributes
    ----------
    distance
        Weigh by the distance too.
    fisher
        Leave out directions whose correlation is significantly below the best.
    strict
        The direction must find the image significant as well.
    neighbourhood
        Degrees within which directions share their images' correlations; 0 for each by itself.
    """

    distance: bool = True
    fisher: bool = True
    strict: bool = False
    neighbourhood: float = 10.0


def weights(found: Matches, directions: Array, part: float, pixels: float, group: PointGroup, criteria: Criteria) -> Array:
    """Return how much each image counts at each direction, ``(n, R)``; 0 where it is not significant.

    Parameters
    ----------
    found
        Of `match`.
    directions
        Unit vectors ``(R, 3)``.
    part
        Of the directions that an image may be significant at; its best one is, however small.
    pixels
        Inside the circle: how many numbers a correlation is of.
    group
        Mates of a direction are near to it.
    """
    correlation, distance = found.correlation.astype(np.float64), found.distance.astype(np.float64)
    best = np.maximum(correlation.max(axis=1, keepdims=True), 1e-9)
    rank = ranks(correlation)
    kept = rank >= 1.0 - max(part, 0.5 / correlation.shape[1])
    if criteria.fisher:
        allowed = np.arctanh(np.clip((1.0 - part) * best, 0.0, 0.999999)) - FISHER / np.sqrt(pixels)
        kept &= correlation >= np.tanh(allowed)
    share = np.where(kept, rank * np.maximum(correlation, 0.0) / best, 0.0)
    if criteria.distance:
        nearest = distance.min(axis=1, keepdims=True)
        share *= (1.0 - ranks(distance) + 1.0 / distance.shape[1]) * (nearest + 1e-9) / (distance + 1e-9)
    near = _near(directions, group, criteria.neighbourhood)
    for view in np.flatnonzero(share.any(axis=0)):
        pool = np.sort(correlation[:, near[view]], axis=None)
        above = np.searchsorted(pool, correlation[:, view], side="right") / len(pool)
        share[:, view] *= np.maximum(correlation[:, view], 0.0) / max(pool[-1], 1e-9) * above
        if criteria.strict:
            share[above < 1.0 - part, view] = 0.0
    return share


def ranks(values: NDArray[Any]) -> Array:
    """Return for each value of a row which part of the row it is not below, from 1 / R to 1; equal ones by their place."""
    order = np.argsort(values, axis=1, kind="stable")
    out = np.empty(values.shape)
    np.put_along_axis(out, order, np.broadcast_to(np.arange(1, values.shape[1] + 1) / values.shape[1], values.shape), axis=1)
    return out


def _near(directions: Array, group: PointGroup, degrees: float) -> NDArray[np.bool_]:
    """Return which directions, or mates of them, are within some degrees of which, ``(R, R)``; each of itself."""
    least = np.cos(np.deg2rad(degrees))
    near = np.eye(len(directions), dtype=bool)
    for operator in group.operators:
        near |= directions @ (directions @ operator.T).T > least
    return near
