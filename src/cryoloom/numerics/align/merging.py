"""Cells of compared classifications gathered into groups: a tree by likeness, what each merge costs, and where the cost begins to rise.

Average linkage; the number of groups may be read off the curve of costs by four criteria, of which the profile likelihood is that of
Zhu & Ghodsi 2006 (doi:10.1016/j.csda.2005.09.010).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Metric = Literal["cosine", "euclidean", "cityblock", "correlation"]


@dataclass(frozen=True)
class Tree:
    """`links`, ``(n - 1, 4)`` as SciPy has them: the two that are merged, the cost, and how many cells are then together."""

    links: Array

    @classmethod
    def of(cls, vectors: Array, metric: Metric) -> "Tree":
        """Return the tree of cells by their vectors ``(n, d)``."""
        from scipy.cluster.hierarchy import linkage

        return cls(linkage(vectors, "average", metric) if len(vectors) > 1 else np.zeros((0, 4)))

    @property
    def costs(self) -> Array:
        """Return what the last merge costs that leads to 1, 2, … groups, ``(n,)``; 0 for as many as there are cells."""
        return np.append(self.links[::-1, 2], 0.0)

    def groups(self, count: int) -> Integers:
        """Return the group of each cell, from 0 by the first cell, when there are `count` of them."""
        cells = len(self.links) + 1
        parent = list(range(cells + max(0, cells - count)))
        for number, (one, two) in enumerate(self.links[: cells - count, :2].astype(int).tolist(), cells):
            parent[one] = parent[two] = number
        roots = np.arange(cells)
        for place in range(cells):
            while parent[roots[place]] != roots[place]:
                roots[place] = parent[roots[place]]
        _, first, group = np.unique(roots, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[group].astype(np.int64)


def elbows(costs: Array) -> dict[str, int]:
    """Return how many groups four criteria would leave of the costs ``(n,)`` of 1, 2, … groups."""
    count = len(costs)
    if count < 3 or costs[0] <= 0:
        return {}
    x, y = (np.arange(count) + 1.0) / count, costs / costs[0]
    chord = y[0] + (y[-1] - y[0]) * (x - x[0]) / (x[-1] - x[0])
    return {
        "two Gaussians": _split(costs) + 1,
        "distance to the origin": int(np.argmin(np.hypot(x, y))) + 1,
        "distance to the chord": int(np.argmax(chord - y)) + 1,
        "slope": int(np.argmax(costs[:-1] - costs[1:])) + 2,
    }


def _split(costs: Array) -> int:
    """Return how many costs are high when they are two Gaussians of one variance, by likelihood."""
    count, best = len(costs), (-np.inf, 1)
    for high in range(1, count):
        parts = costs[:high], costs[high:]
        variance = sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / max(count - 2, 1)
        best = max(best, (-0.5 * count * np.log(max(variance, 1e-12)), high), key=lambda each: each[0])
    return best[1]
