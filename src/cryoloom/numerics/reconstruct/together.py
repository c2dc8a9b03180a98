"""Several maps at once: each as its difference from a common one, the differences filtered together.

With the data d and weights w of K maps at a coefficient, a common map m and a Gaussian prior of covariance C for the differences from it, the likeliest
differences solve ``(1 + w C) y = d - w m``, ``x = C y``. What the maps have in common in their differences, and what they have not, is thus filtered
by itself: two maps that differ from the rest but not from each other stay alike.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.reconstruct.kernels import PAD
from cryoloom.numerics.reconstruct.sums import Sums, Transform


def drawn_together(sums: Sums, common: Transform, covariance: NDArray[np.float64]) -> Transform:
    """Return the transforms ``(K, …)`` of maps of `sums` ``(K, …, 4)``, given the `covariance` ``(shells, K, K)`` of their differences from `common`."""
    out = np.empty((len(sums), *common.shape), np.complex64)
    _solve(sums, common, covariance, out)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _solve(sums, common, covariance, out):
    classes, c = len(sums), common.shape[0] // 2
    matrix, right = np.empty((classes, classes)), np.empty((classes, 2))
    for k in range(common.shape[0]):
        for j in range(common.shape[1]):
            for i in range(common.shape[2]):
                shell = int(np.rint(np.sqrt((k - c) ** 2 + (j - c) ** 2 + i * i) / PAD))
                middle = common[k, j, i]
                for a in range(classes):
                    out[a, k, j, i] = middle
                if shell >= len(covariance):
                    continue
                prior = covariance[shell]
                for a in range(classes):
                    weight = sums[a, k, j, i, 2]
                    for b in range(classes):
                        matrix[a, b] = weight * prior[a, b] + (1.0 if a == b else 0.0)
                    right[a, 0] = sums[a, k, j, i, 0] - weight * middle.real
                    right[a, 1] = sums[a, k, j, i, 1] - weight * middle.imag
                eliminate(matrix, right)
                for a in range(classes):
                    re, im = 0.0, 0.0
                    for b in range(classes):
                        re += prior[a, b] * right[b, 0]
                        im += prior[a, b] * right[b, 1]
                    out[a, k, j, i] += complex(re, im)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def eliminate(matrix, right):
    """Solve ``matrix · x = right`` for right sides ``(n, 2)`` by Gauss with pivots, in place: `right` becomes x."""
    n = len(matrix)
    for p in range(n):
        best = p
        for row in range(p + 1, n):
            if abs(matrix[row, p]) > abs(matrix[best, p]):
                best = row
        if best != p:
            for column in range(n):
                matrix[p, column], matrix[best, column] = matrix[best, column], matrix[p, column]
            for side in range(2):
                right[p, side], right[best, side] = right[best, side], right[p, side]
        for row in range(p + 1, n):
            factor = matrix[row, p] / matrix[p, p]
            for column in range(p, n):
                matrix[row, column] -= factor * matrix[p, column]
            for side in range(2):
                right[row, side] -= factor * right[p, side]
    for p in range(n - 1, -1, -1):
        for side in range(2):
            for column in range(p + 1, n):
                right[p, side] -= matrix[p, column] * right[column, side]
            right[p, side] /= matrix[p, p]
