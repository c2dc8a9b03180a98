"""From posteriors to sums on the grid: every image inserted at the points that stand for its posterior."""

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import phase_table
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import with_mates
from cryoloom.numerics.reconstruct.kernels import empty_grid, scatter
from cryoloom.numerics.reconstruct.sums import Sums
from cryoloom.numerics.reconstruct.symmetry import symmetrise

BLOCK = 64


def accumulate(
    images: ImageSet,
    rows: NDArray[np.int64],
    points: Points,
    plane: HalfPlane,
    noise: NDArray[np.float64],
    lanes: NDArray[np.int64],
    *,
    threads: int = 1,
    group: PointGroup = C1,
) -> Iterator[Sums]:
    """Sum images at the points of their posteriors, lane by lane.

    Parameters
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
        Lane of each row, ``(len(rows),)`` from 0; each is summed by itself and in the order of `rows`, whatever the number of threads.
    threads
        Lanes at work at once.
    group
        Symmetry imposed on the sums.

    Yields
    ------
    ndarray
        The grid of lane 0, 1, …, Hermitian and symmetry mates added. No more than about `threads` are held at once, twice that with symmetry.
    """
    first = np.searchsorted(points.image, np.arange(len(rows) + 1))

    def lane(part: slice) -> Sums:
        sums = empty_grid(plane.radius, 4)
        members = np.flatnonzero(lanes == part.start)
        for start in range(0, len(members), BLOCK):
            block = members[start : start + BLOCK]
            data, weight = images.prepare(rows[block], plane, noise, whole=True)
            entries = np.concatenate([np.arange(first[b], first[b + 1]) for b in block])
            local = np.repeat(np.arange(len(block)), first[block + 1] - first[block])
            insert(
                sums, plane.kx, plane.ky, plane.box, data, weight, local,
                points.rotations[entries], points.shifts[entries], points.weights[entries], points.spreads[entries],
            )  # fmt: skip
        return symmetrise(with_mates(sums), group)

    yield from ordered(lane, blocks(int(lanes.max()) + 1, 1), threads)


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
