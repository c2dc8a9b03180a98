"""Polynomial expansion of images, and the equations of the displacement between two of them (Farnebäck 2003, doi:10.1007/3-540-45103-X_50).

Around every pixel an image is fitted by ``uᵀA u + bᵀu + c`` under Gaussian weights. Content that moves by ``d`` turns ``b`` into ``b - 2 A d``,
so the expansions of two images give two equations a pixel, whose normal equations are summed over cells of a grid.
"""

import math
from functools import cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.float32]

REACH = 5
"""Px on each side of a pixel that its polynomial is fitted to."""
SIGMA = 1.1
"""Standard deviation of the weights of that fit, px."""


@cache
def kernels() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the taps ``g, g·u, g·u²`` (3, 2 REACH + 1), and the factors that make ``b``, the diagonal of ``A`` (two) and ``A₁₂`` of moments."""
    u = np.arange(-REACH, REACH + 1, dtype=np.float64)
    weight = np.exp(-0.5 * (u / SIGMA) ** 2)
    weight /= weight.sum()
    second, fourth = (weight * u**2).sum(), (weight * u**4).sum()
    # Under the basis 1, u, v, u², v², uv only the even squares are not orthogonal.
    gram = np.array([[1, second, second], [second, fourth, second**2], [second, second**2, fourth]])
    inverse = np.linalg.inv(gram)
    factors = np.array([1 / second, inverse[1, 1], inverse[0, 1], 0.5 / second**2])
    return np.stack([weight, weight * u, weight * u**2]).astype(np.float32), factors


def responses(frequency: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``b`` and ``A`` show of a plane wave of `frequency` (cycles/px) along an axis, as parts of its slope and half its bend."""
    taps, factors = kernels()
    even, odd, square = (torch.from_numpy(row.astype(np.float64)) for row in taps)
    u = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    turn = 2 * math.pi * frequency.to(torch.float64).clamp_min(1e-6)
    cosines, sines = torch.cos(turn[..., None] * u), torch.sin(turn[..., None] * u)
    slope = factors[0] * (sines @ odd) / turn
    bend = factors[1] * (cosines @ square) + factors[2] * (cosines @ even)
    return slope, -bend / (0.5 * turn.square())


def expand(image: Image) -> NDArray[np.float32]:
    """Return ``b₁, b₂, A₁₁, A₂₂, A₁₂`` of every pixel, ``(5, h, w)``; beyond its edges the image is mirrored."""
    taps, factors = kernels()
    out = np.empty((5, *image.shape), np.float32)
    _expand(image, taps, factors.astype(np.float32), out)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _expand(image, taps, factors, out):  # pragma: no cover (compiled)
    height, width = image.shape
    reach = taps.shape[1] // 2
    line = np.zeros((3, width + 2 * reach), np.float32)
    for y in range(height):
        line[:] = 0
        for t in range(-reach, reach + 1):
            row = abs(y + t)
            row = min(row, 2 * (height - 1) - row)
            g0, g1, g2 = taps[0, t + reach], taps[1, t + reach], taps[2, t + reach]
            source = image[row]
            for x in range(width):
                value = source[x]
                line[0, reach + x] += g0 * value
                line[1, reach + x] += g1 * value
                line[2, reach + x] += g2 * value
        for i in range(1, reach + 1):
            for m in range(3):
                line[m, reach - i] = line[m, reach + i]
                line[m, reach + width - 1 + i] = line[m, reach + width - 1 - i]
        for x in range(width):
            m00, m10, m20 = np.float32(0), np.float32(0), np.float32(0)
            m01, m11, m02 = np.float32(0), np.float32(0), np.float32(0)
            for t in range(2 * reach + 1):
                value = line[0, x + t]
                m00 += taps[0, t] * value
                m10 += taps[1, t] * value
                m20 += taps[2, t] * value
                m01 += taps[0, t] * line[1, x + t]
                m11 += taps[1, t] * line[1, x + t]
                m02 += taps[0, t] * line[2, x + t]
            out[0, y, x] = factors[0] * m10
            out[1, y, x] = factors[0] * m01
            out[2, y, x] = factors[1] * m20 + factors[2] * m00
            out[3, y, x] = factors[1] * m02 + factors[2] * m00
            out[4, y, x] = factors[3] * m11


def normal_equations(
    total: NDArray[np.float32], one: NDArray[np.float32], cells: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the normal equations of the displacement of one image relative to the others over a grid of `cells` (rows, columns).

    The polynomials of the others, ``A_R``, stand for both images on the left of each product: their noise is not that of the image,
    so noise adds nothing on average. With ``A`` of the image itself it would, and shrink every displacement towards zero.

    Parameters
    ----------
    total, one
        Expansions of the sum of all images, this one included, and of this one, ``(5, h, w)``.

    Returns
    -------
    left
        Half the trace of ``A_Rᵀ A`` in each cell, ``(rows, columns)``.
    right
        ``-½ A_Rᵀ b`` in each cell, (x, y) last, ``(rows, columns, 2)``: where images lie on each other its mean is zero, for slopes and bends
        of one image do not correlate.
    """
    left, right = np.zeros(cells), np.zeros((*cells, 2))
    _normal_equations(total, one, left, right)
    return left, right


@numba.njit(cache=True, nogil=True, fastmath=True)
def _normal_equations(total, one, left, right):  # pragma: no cover (compiled)
    _, height, width = one.shape
    rows, columns = left.shape
    for y in range(height):
        row = y * rows // height
        for column in range(columns):
            start = (column * width + columns - 1) // columns
            stop = ((column + 1) * width + columns - 1) // columns
            sum_left, sum_x, sum_y = np.float32(0), np.float32(0), np.float32(0)
            for x in range(start, stop):
                a11, a22, a12 = one[2, y, x], one[3, y, x], one[4, y, x]
                r11, r22, r12 = total[2, y, x] - a11, total[3, y, x] - a22, total[4, y, x] - a12
                bx, by = one[0, y, x], one[1, y, x]
                sum_left += np.float32(0.5) * (r11 * a11 + r22 * a22) + r12 * a12
                sum_x += r11 * bx + r12 * by
                sum_y += r12 * bx + r22 * by
            left[row, column] += sum_left
            right[row, column, 0] -= np.float32(0.5) * sum_x
            right[row, column, 1] -= np.float32(0.5) * sum_y
