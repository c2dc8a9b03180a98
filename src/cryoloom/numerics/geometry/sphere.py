"""Even grids of directions and rotations: HEALPix centres (Górski et al. 2005, doi:10.1086/427976) and in-plane steps."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.euler import euler_to_matrix

Array = NDArray[np.float64]


def healpix_directions(order: int) -> tuple[Array, Array]:
    """Return ``rot, tilt`` in degrees of the ``12 · 4^order`` pixel centres, ring by ring from the north pole.

    Neighbours are ``58.6° / 2^order`` apart.
    """
    side = 2**order
    rot, tilt = [], []
    for ring in range(1, 4 * side):
        if ring < side:
            count, height, offset = 4 * ring, 1 - ring**2 / (3 * side**2), 0.5
        elif ring <= 3 * side:
            count, height, offset = 4 * side, 4 / 3 - 2 * ring / (3 * side), 0.5 * ((ring - side + 1) % 2)
        else:
            below = 4 * side - ring
            count, height, offset = 4 * below, below**2 / (3 * side**2) - 1, 0.5
        rot.append(360.0 * (np.arange(count) + offset) / count)
        tilt.append(np.full(count, np.rad2deg(np.arccos(height))))
    return np.concatenate(rot), np.concatenate(tilt)


def rotation_grid(order: int, psi_count: int) -> Array:
    """Return every direction with every in-plane angle, shape ``(directions, psi_count, 3, 3)``.

    Even over SO(3) when ``360 / psi_count`` is near the spacing of the directions: ``6 · 2^order`` angles.
    """
    rot, tilt = healpix_directions(order)
    psi = np.arange(psi_count) * (360.0 / psi_count)
    return euler_to_matrix(*np.broadcast_arrays(rot[:, None], tilt[:, None], psi[None, :]))


def disc_lattice(radius: float, step: float) -> Array:
    """Return the points ``(n, 2)`` of a square lattice of `step` within `radius` of the origin, nearest first, the origin leading."""
    reach = int(np.floor(radius / step + 1e-9))
    axis = np.arange(-reach, reach + 1)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    squared = (points**2).sum(axis=1)
    kept = squared * step**2 <= radius**2 * (1 + 1e-9)
    order = np.lexsort((points[kept, 0], points[kept, 1], squared[kept]))
    return np.asarray(points[kept][order] * float(step), dtype=np.float64)
