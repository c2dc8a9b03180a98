"""From posteriors to sums on the grid: every image inserted at the points that stand for its posterior."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import phase_table
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.parallel import Stage, Threads, Workplace
from cryoloom.numerics.reconstruct.grids import with_mates
from cryoloom.numerics.reconstruct.kernels import empty_grid, scatter
from cryoloom.numerics.reconstruct.sums import Packed, Sums
from cryoloom.numerics.reconstruct.symmetry import symmetrise

BLOCK = 64


@dataclass(frozen=True)
class Insertion:
    """Images to be summed at the points of their posteriors, lane by lane.

    Attributes
    ----------
    images, rows
        The set, and which of it.
    points
        Where to insert; `points.image` counts within `rows`.
    plane
        The coefficients inserted.
    noise
        ``E|N|²``, ``(groups, shells)``.
    lanes
        Lane of each row, ``(len(rows),)`` from 0; each is summed by itself and in the order of `rows`, wherever that is done.
    group
        Symmetry imposed on the sums.
    """

    images: ImageSet
    rows: NDArray[np.int64]
    points: Points
    plane: HalfPlane
    noise: NDArray[np.float64]
    lanes: NDArray[np.int64]
    group: PointGroup = C1

    def packed(self, place: Workplace, at_once: int) -> Iterator[Packed]:
        """Yield the sums of lane 0, 1, …, Hermitian and symmetry mates added, no more than `at_once` of them being made in one memory."""
        sizes = np.bincount(self.lanes).tolist()
        stage = Stage(self.lane, _Lane.summed, [[slice(0, size)] for size in sizes])
        return (one for (one,) in place.results(stage, at_once))

    def lane(self, number: int) -> "_Lane":
        """Return one lane."""
        return _Lane(self, np.flatnonzero(self.lanes == number))


@dataclass(frozen=True)
class _Lane:
    """A lane and its `members`, places in the insertion's rows. It is one block, for its order is its sum."""

    insertion: Insertion
    members: NDArray[np.int64]

    def summed(self, part: slice) -> Packed:
        """Return the sums of some members."""
        points, plane, rows = self.insertion.points, self.insertion.plane, self.insertion.rows
        first, members = np.searchsorted(points.image, np.arange(len(rows) + 1)), self.members[part]
        sums = empty_grid(plane.radius, 4)
        for start in range(0, len(members), BLOCK):
            block = members[start : start + BLOCK]
            data, weight = self.insertion.images.prepare(rows[block], plane, self.insertion.noise, whole=True)
            entries = np.concatenate([np.arange(first[b], first[b + 1]) for b in block])
            local = np.repeat(np.arange(len(block)), first[block + 1] - first[block])
            insert(
                sums, plane.kx, plane.ky, plane.box, data, weight, local,
                points.rotations[entries], points.shifts[entries], points.weights[entries], points.spreads[entries],
            )  # fmt: skip
        return Packed.of(symmetrise(with_mates(sums), self.insertion.group))


def accumulate(
    images: ImageSet,
    rows: NDArray[np.int64],
    points: Points,
    plane: HalfPlane,
    noise: NDArray[np.float64],
    lanes: NDArray[np.int64],
    *,
    group: PointGroup = C1,
    place: Workplace | None = None,
    at_once: int = 1,
) -> Iterator[Sums]:
    """Yield the grid of each lane of an `Insertion`, at most `at_once` being made at a time in one memory; here, or at another `place`."""
    insertion = Insertion(images, rows, points, plane, noise, lanes, group)
    return (one.grid() for one in insertion.packed(place or Threads(at_once), at_once))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def insert(sums, kx, ky, box, data, weight, image, rotations, shifts, weights, spreads):
    """Scatter the prepared images ``(B, K)`` at entries of rotation, shift, weight and shift spread (xx, xy, yy in px²)."""
    count = len(kx)
    reach = int(np.hypot(kx[count - 1], ky[count - 1]) + 1.5)
    turn = 2 * np.pi / box
    values, masses = np.empty((count, 2), np.float32), np.empty(count, np.float32)
    for e in range(len(image)):
        b, mass = image[e], np.float32(weights[e])
        across, along = phase_table(reach, turn * shifts[e, 0]), phase_table(reach, turn * shifts[e, 1])
        half = -0.5 * turn * turn
        xx, xy, yy = np.float32(half * spreads[e, 0]), np.float32(half * spreads[e, 1]), np.float32(half * spreads[e, 2])
        for p in range(count):
            u, v = kx[p], ky[p]
            m, q = int(u) + reach, int(v) + reach
            er = across[m, 0] * along[q, 0] - across[m, 1] * along[q, 1]
            ei = across[m, 0] * along[q, 1] + across[m, 1] * along[q, 0]
            envelope = mass * np.exp(xx * u * u + np.float32(2) * xy * u * v + yy * v * v)
            values[p, 0] = envelope * (data[b, p].real * er + data[b, p].imag * ei)
            values[p, 1] = envelope * (data[b, p].imag * er - data[b, p].real * ei)
            masses[p] = mass * weight[b, p]
        scatter(sums, kx, ky, count, rotations[e], values, masses)
