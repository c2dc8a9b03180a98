"""Trilinear gathering and scattering of central slices, compiled.

A *grid* is the padded transform of a map on the half space x ≥ 0, phase origin at the map's centre: ``(2c + 1, 2c + 1, c + 1, n)`` float32
in the order z, y, x with frequency 0 at ``[c, c, 0]``; the last axis is (re, im) for a reference, (re, im, weight, unused) for sums.
Coefficients of images are listed by integer frequency ``kx ≥ 0, ky`` (cycles per box); the coefficient ``k`` of an image lies at
``pad · Aᵀ · (kx, ky, 0)`` of the grid, and at the negated place, conjugated, when that has x < 0.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

PAD = 2
"""Oversampling of the grid. Two is what the sinc² correction and the memory bound are made for."""


def grid_centre(radius: float) -> int:
    """Return the index c of frequency 0 of a grid that holds slices out to `radius` cycles per box, neighbours included."""
    return int(np.ceil(PAD * radius)) + 1


def empty_grid(radius: float, channels: int) -> NDArray[np.float32]:
    """Return a grid of zeros for slices out to `radius` with 2 channels (reference) or 4 (sums)."""
    c = grid_centre(radius)
    return np.zeros((2 * c + 1, 2 * c + 1, c + 1, channels), np.float32)


def grid_bytes(radius: float) -> int:
    """Return the memory of a grid of sums for slices out to `radius`."""
    c = grid_centre(radius)
    return (2 * c + 1) ** 2 * (c + 1) * 16


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", forceinline=True)
def gather(grid, kx, ky, rotations, out):
    """Write the slices of `grid` ``(…, 2)`` at `rotations` ``(n, 3, 3)`` float32 into `out` ``(n, K, 2)`` float32."""
    centre = np.float32(grid.shape[0] // 2)
    for n in range(rotations.shape[0]):
        a = rotations[n]
        for p in range(kx.shape[0]):
            u, v = np.float32(PAD) * kx[p], np.float32(PAD) * ky[p]
            x, y, z = a[0, 0] * u + a[1, 0] * v, a[0, 1] * u + a[1, 1] * v, a[0, 2] * u + a[1, 2] * v
            sign = np.float32(1.0)
            if x < 0:
                x, y, z, sign = -x, -y, -z, np.float32(-1.0)
            y += centre
            z += centre
            i, j, k = int(x), int(y), int(z)
            fx, fy, fz = x - i, y - j, z - k
            gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
            w00, w01, w10, w11 = gz * gy, gz * fy, fz * gy, fz * fy
            for c in range(2):
                low = w00 * grid[k, j, i, c] + w01 * grid[k, j + 1, i, c] + w10 * grid[k + 1, j, i, c] + w11 * grid[k + 1, j + 1, i, c]
                high = (
                    w00 * grid[k, j, i + 1, c]
                    + w01 * grid[k, j + 1, i + 1, c]
                    + w10 * grid[k + 1, j, i + 1, c]
                    + w11 * grid[k + 1, j + 1, i + 1, c]
                )
                out[n, p, c] = gx * low + fx * high
            out[n, p, 1] *= sign


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", forceinline=True)
def scatter(grid, kx, ky, count, rotation, values, weights):
    """Add a slice's first `count` coefficients to `grid` ``(…, 4)``: the exact adjoint of `gather`.

    Parameters are the `rotation` ``(3, 3)`` float32, `values` ``(K, 2)`` float32 and `weights` ``(K,)`` float32.
    """
    centre = np.float32(grid.shape[0] // 2)
    a = rotation
    for p in range(count):
        u, v = np.float32(PAD) * kx[p], np.float32(PAD) * ky[p]
        x, y, z = a[0, 0] * u + a[1, 0] * v, a[0, 1] * u + a[1, 1] * v, a[0, 2] * u + a[1, 2] * v
        re, im, weight = values[p, 0], values[p, 1], weights[p]
        if x < 0:
            x, y, z, im = -x, -y, -z, -im
        y += centre
        z += centre
        i, j, k = int(x), int(y), int(z)
        fx, fy, fz = x - i, y - j, z - k
        for dz in range(2):
            wz = fz if dz else np.float32(1) - fz
            for dy in range(2):
                wy = wz * (fy if dy else np.float32(1) - fy)
                for dx in range(2):
                    w = wy * (fx if dx else np.float32(1) - fx)
                    cell = grid[k + dz, j + dy, i + dx]
                    cell[0] += w * re
                    cell[1] += w * im
                    cell[2] += w * weight
