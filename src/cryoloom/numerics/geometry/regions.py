"""The sphere of viewing directions, or its asymmetric unit, cut into regions of one size about even centres."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.sphere import healpix_directions
from cryoloom.numerics.geometry.symmetry import PointGroup

Array = NDArray[np.float64]

DENSE = 4
"""HEALPix order of the directions by which regions are weighed: 3.7 degrees."""
PACKED = 0.955
"""Area of a region in squares of the spacing of their centres: 30 degrees make 48 of the sphere, as in Jiménez-Moreno et al. 2021."""
SETTLED = 60
"""Times that centres move to the middle of their region; they stand still before."""


@dataclass(frozen=True)
class Regions:
    """Regions of directions, each of those nearer to its centre, or to a mate of it, than to any other.

    Attributes
    ----------
    centres
        Unit vectors ``(n, 3)`` in the asymmetric unit.
    group
        Mates of a direction are one.
    """

    centres: Array
    group: PointGroup

    @classmethod
    def of(cls, spacing: float, group: PointGroup) -> "Regions":
        """Return regions whose centres are about `spacing` degrees apart: even points (Lloyd 1982), begun by the farthest from all before."""
        dense = dense_directions(group)
        count = max(1, round(4 * np.pi / (group.order * PACKED * np.deg2rad(spacing) ** 2)))
        chosen = [0]
        nearness = cls(dense[:1], group).cosines(dense)[:, 0]
        while len(chosen) < min(count, len(dense)):
            chosen.append(int(np.argmin(nearness)))
            nearness = np.maximum(nearness, cls(dense[chosen[-1:]], group).cosines(dense)[:, 0])
        regions = cls(dense[chosen], group)
        for _ in range(SETTLED):
            regions = cls(regions._middles(dense), group)
        return regions

    def __len__(self) -> int:
        return len(self.centres)

    @cached_property
    def _mates(self) -> Array:
        """Return the centres' mates, ``(order, n, 3)``."""
        return np.einsum("nj,gjk->gnk", self.centres, self.group.operators)

    def cosines(self, directions: Array) -> Array:
        """Return the cosines of `directions` ``(m, 3)`` with the centres, the nearest mates taken, ``(m, n)``."""
        return np.einsum("mi,gni->gmn", directions, self._mates, optimize=True).max(axis=0)

    def nearest(self, directions: Array) -> NDArray[np.int64]:
        """Return the region of each of `directions` ``(m, 3)``."""
        return np.argmax(self.cosines(directions), axis=1)

    @cached_property
    def adjacent(self) -> NDArray[np.bool_]:
        """Return which regions border on each other, ``(n, n)``; each one on itself."""
        order = np.argsort(-self.cosines(dense_directions(self.group)), axis=1, kind="stable")
        border = np.eye(len(self), dtype=bool)
        if len(self) > 1:
            border[order[:, 0], order[:, 1]] = border[order[:, 1], order[:, 0]] = True
        return border

    def soft(self, directions: Array, concentration: float) -> NDArray[np.float32]:
        """Return how much each of `directions` ``(m, 3)`` belongs to each region, ``(m, n)``, rows of sum one.

        The label is smoothed by a von Mises-Fisher density of the `concentration` about the direction.
        """
        exponent = concentration * self.cosines(directions)
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)

    def rotations(self, number: int, reach: float, order: int) -> Array:
        """Return a grid of poses that look from within `reach` degrees of a region's centre, ``(directions, angles, 3, 3)``.

        `order` is HEALPix's; in-plane steps are as wide as those between directions.
        """
        rot, tilt = healpix_directions(order)
        near = euler_to_matrix(rot, tilt, np.zeros(len(rot)))[:, 2] @ self.centres[number] >= np.cos(np.deg2rad(reach))
        psi = np.arange(6 * 2**order) * (60.0 / 2**order)
        return euler_to_matrix(*np.broadcast_arrays(rot[near, None], tilt[near, None], psi[None, :]))

    def _middles(self, dense: Array) -> Array:
        """Return the mean direction of each region's part of `dense`, mates laid about its centre."""
        region = self.nearest(dense)
        mates = np.einsum("mj,gjk->mgk", dense, self.group.operators)
        nearest = np.argmax(np.einsum("mgk,mk->mg", mates, self.centres[region]), axis=1)
        sums = np.zeros_like(self.centres)
        np.add.at(sums, region, mates[np.arange(len(dense)), nearest])
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def dense_directions(group: PointGroup) -> Array:
    """Return even directions of the asymmetric unit of a group, ``(m, 3)``."""
    rot, tilt = np.deg2rad(healpix_directions(DENSE))
    directions = np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)
    return directions[group.in_unit(directions)]
