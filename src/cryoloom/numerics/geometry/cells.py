"""Cells of equal area on the sphere, in rings about the z axis (after Beckers & Beckers 2012, doi:10.1016/j.comgeo.2012.01.011)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """A division of the sphere, the same above and below the equator.

    Attributes
    ----------
    rings
        Cells in each ring, from the north pole to the south pole. Cells are numbered ring by ring, in a ring by rot from 0.
    """

    rings: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Return the number of cells; each has ``4π / count`` of the sphere."""
        return int(self.rings.sum())

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Return the number of the first cell of each ring and, last, that of all cells."""
        return np.concatenate([[0], np.cumsum(self.rings)])

    @cached_property
    def edges(self) -> Array:
        """Return cos tilt between the rings, from 1 down to -1: a ring's height is its share of the cells."""
        return 1.0 - 2.0 * self.starts / self.count

    def of(self, directions: Array) -> NDArray[np.int64]:
        """Return the cell of each unit vector ``(..., 3)``."""
        ring = np.searchsorted(-self.edges[1:-1], -directions[..., 2], side="right")
        rot = np.arctan2(directions[..., 1], directions[..., 0]) / (2 * np.pi) % 1.0
        parts = self.rings[ring]
        return self.starts[ring] + np.minimum((rot * parts).astype(np.int64), parts - 1)

    @cached_property
    def centres(self) -> Array:
        """Return the unit vector in the middle of each cell, by area, ``(count, 3)``."""
        ring = np.repeat(np.arange(len(self.rings)), self.rings)
        rot = 2 * np.pi * (np.arange(self.count) - self.starts[ring] + 0.5) / self.rings[ring]
        z = (self.edges[ring] + self.edges[ring + 1]) / 2
        radius = np.sqrt(1 - z * z)
        return np.stack([radius * np.cos(rot), radius * np.sin(rot), z], axis=1)


def equal_cells(side: float) -> Cells:
    """Return cells about `side` degrees wide and high, at most 45."""
    half = max(1, round(90.0 / side))
    tilt = (np.arange(half) + 0.5) * (np.pi / 2 / half)
    upper = np.maximum(3, np.rint(4 * half * np.sin(tilt))).astype(np.int64)
    return Cells(np.concatenate([upper, upper[::-1]]))
