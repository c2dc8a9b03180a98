"""Which picks are which true particles, one to one, and how good a list of picks is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def match_points(found: Array, true: Array, within: float) -> tuple[Index, Index]:
    """Return the rows of `found` ``(n, 2)`` and `true` ``(m, 2)`` that belong together: as many pairs as can be, then the nearest.

    This is the assignment of Kuhn and Munkres, solved for each cluster of points that reach each other; no pair is farther apart than `within`.
    """
    none = np.zeros(0, np.int64)
    if not len(found) or not len(true):
        return none, none
    near = cKDTree(found).sparse_distance_matrix(cKDTree(true), within, output_type="coo_matrix")
    rows, columns, apart = near.row.astype(np.int64), near.col.astype(np.int64), near.data
    size = len(found) + len(true)
    _, cluster = connected_components(coo_array((np.ones(len(rows)), (rows, columns + len(found))), shape=(size, size)), directed=False)
    order = np.argsort(cluster[rows], kind="stable")
    edges = np.flatnonzero(np.diff(cluster[rows[order]])) + 1
    pairs = [_assigned(rows[part], columns[part], apart[part]) for part in np.split(order, edges)]
    matched = np.concatenate(pairs, axis=1)
    return matched[0], matched[1]


def _assigned(rows: Index, columns: Index, apart: Array) -> Index:
    """Return ``(2, k)`` rows and columns of the best pairs among those listed, all of one cluster."""
    if len(rows) < 2:
        return np.stack([rows, columns])
    mine, row = np.unique(rows, return_inverse=True)
    theirs, column = np.unique(columns, return_inverse=True)
    # A pair gains more than all distances together can cost.
    gain = np.zeros((len(mine), len(theirs)))
    gain[row, column] = len(rows) * (apart.max() + 1.0) + 1.0 - apart
    best = linear_sum_assignment(gain, maximize=True)
    kept = gain[best] > 0.0
    return np.stack([mine[best[0][kept]], theirs[best[1][kept]]])


@dataclass(frozen=True)
class Agreement:
    """Picks beside truth.

    Attributes
    ----------
    true, picked, hits
        How many particles there are, how many were picked, and how many of the picks are particles.
    auprc
        Area under precision against recall as the least score falls from the highest to the lowest of the picks.
    centring
        Root mean square of the distance of hits from the true centre, in diameters.
    """

    true: int
    picked: int
    hits: int
    auprc: float
    centring: float

    @property
    def recall(self) -> float:
        """Share of the particles that were picked."""
        return self.hits / max(self.true, 1)

    @property
    def precision(self) -> float:
        """Share of the picks that are particles."""
        return self.hits / max(self.picked, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision."""
        return 2.0 * self.hits / max(self.true + self.picked, 1)


def agreement(found: list[tuple[Array, Array]], true: list[Array], diameter: float, *, within: float = 0.2) -> Agreement:
    """Compare picks with truth, micrograph by micrograph.

    Parameters
    ----------
    found
        Centres ``(n, 2)`` and scores ``(n,)`` for each micrograph, higher is better.
    true
        Centres ``(m, 2)`` for each micrograph.
    diameter
        Of the particle, in the unit of the centres.
    within
        Farthest a pick may lie from the centre of its particle, in diameters.
    """
    scores, hits, apart = [np.zeros(0)], [np.zeros(0, dtype=bool)], [np.zeros(0)]
    for (centres, score), truth in zip(found, true, strict=True):
        rows, columns = match_points(centres, truth, within * diameter)
        hit = np.zeros(len(centres), dtype=bool)
        hit[rows] = True
        scores.append(score)
        hits.append(hit)
        apart.append(np.linalg.norm(centres[rows] - truth[columns], axis=1) / diameter)
    hit, away, count = np.concatenate(hits), np.concatenate(apart), sum(map(len, true))
    ranked = hit[np.argsort(-np.concatenate(scores), kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return Agreement(
        true=count,
        picked=len(hit),
        hits=int(hit.sum()),
        auprc=float(precision[ranked].sum() / max(count, 1)),
        centring=float(np.sqrt(np.mean(away**2))) if len(away) else float("nan"),
    )
