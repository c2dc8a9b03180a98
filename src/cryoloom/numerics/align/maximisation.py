"""From posteriors to sums on the grid: every image inserted at the points that stand for its posterior."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import phase_table
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import with_mates
from cryoloom.numerics.reconstruct.kernels import empty_grid, scatter
from cryoloom.numerics.reconstruct.sums import Sums

BLOCK = 64
LANES = 2
"""Parts of a half set that are summed by themselves, whatever the number of threads; each holds a grid while it is at work."""


def accumulate(
    images: ImageSet, rows: NDArray[np.int64], points: Points, plane: HalfPlane, noise: NDArray[np.float64], *, threads: int = 1
) -> Sums:
    """Sum the images `rows` at `points` (whose `image` counts within `rows`) out to the band of `plane`; Hermitian mates are added."""
    first = np.searchsorted(points.image, np.arange(len(rows) + 1))

    def lane(part: slice) -> Sums:
        sums = empty_grid(plane.radius, 4)
        for start in range(part.start, part.stop, BLOCK):
            stop = min(start + BLOCK, part.stop)
            data, weight = images.prepare(rows[start:stop], plane, noise, whole=True)
            here = slice(first[start], first[stop])
            insert(
                sums, plane.kx, plane.ky, plane.box, data, weight, points.image[here] - start,
                points.rotations[here], points.shifts[here], points.weights[here], points.spreads[here],
            )  # fmt: skip
        return sums

    total: Sums | None = None
    for sums in ordered(lane, blocks(len(rows), -(-len(rows) // LANES)), threads):
        total = sums if total is None else np.add(total, sums, out=total)
    return with_mates(empty_grid(plane.radius, 4) if total is None else total)


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
