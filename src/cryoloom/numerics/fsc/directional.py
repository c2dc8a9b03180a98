"""How far two half maps agree in each direction of Fourier space: correlation within cones (Tan et al. 2017, doi:10.1038/nmeth.4347)."""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.spatial import ConvexHull

from cryoloom.numerics.fourier.transforms import centred_rfft3
from cryoloom.numerics.fsc.shells import resolution_at
from cryoloom.numerics.geometry.coverage import fibonacci_directions

Map = NDArray[np.float32]
Array = NDArray[np.float64]

HALF_ANGLE = 20.0
"""Degrees between a cone's axis and its side."""
DIRECTIONS = 200
"""Cones, over a hemisphere: the other one holds the same coefficients."""
THRESHOLD = 0.5
"""Of the correlation: a cone holds a seventeenth of a shell, of which 0.143 could not be told from 0."""
AROUND, FEW = 5, 4
"""Shells taken together, the cones' own being noisy; and first ones that hold too few coefficients for any cone."""


def directional_fsc(first: Map, second: Map) -> tuple[Array, Array]:
    """Return the axes of cones, unit vectors ``(n, 3)`` as x, y, z, and the correlation of two half maps in each, ``(n, box // 2 + 1)``."""
    box = first.shape[0]
    one, two = (centred_rfft3(torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32))).numpy() for each in (first, second))
    axes = fibonacci_directions(2 * DIRECTIONS)[:DIRECTIONS]
    sums = np.zeros((len(axes), box // 2 + 1, 3))
    cone_sums(one, two, axes, np.cos(np.deg2rad(HALF_ANGLE)), sums)
    sums = uniform_filter1d(sums, AROUND, axis=1, mode="nearest")
    scale = np.sqrt(sums[..., 1] * sums[..., 2])
    curves = np.divide(sums[..., 0], scale, out=np.zeros_like(scale), where=scale > 0)
    curves[:, :FEW] = 1.0
    return axes, curves


def directional_resolutions(curves: Array, box: int, pixel_size: float, *, interpolated: bool = False) -> Array:
    """Return the resolution in Å of each cone's curve at `THRESHOLD`, see `resolution_at`."""
    return np.array([resolution_at(curve, THRESHOLD, box, pixel_size, interpolated=interpolated) for curve in curves])


def sphericity(axes: Array, resolutions: Array) -> float:
    """Return how round the body is that reaches to one over the resolution (Å) along each axis ``(n, 3)`` and its opposite: 1 for a ball.

    The area of the ball of its volume over its own area, both of bodies of as many faces.
    """
    ends = np.concatenate([axes, -axes])
    faces = ConvexHull(ends).simplices
    own, round_one = (_roundness(ends * reach, faces) for reach in (1.0 / np.tile(resolutions, 2)[:, None], 1.0))
    return float(own / round_one)


def _roundness(corners: Array, faces: NDArray[np.int32]) -> float:
    """Return ``π^⅓ (6 V)^⅔ / A`` of a body of triangles that sees all of itself from its centre."""
    one, two, three = (corners[faces[:, n]] for n in range(3))
    volume = np.abs(np.einsum("ni,ni->n", one, np.cross(two, three))).sum() / 6.0
    area = np.linalg.norm(np.cross(two - one, three - one), axis=1).sum() / 2.0
    return float(np.cbrt(np.pi) * np.cbrt(6.0 * volume) ** 2 / area)


@njit(nogil=True, cache=True, error_model="numpy")
def cone_sums(one, two, axes, least, sums):
    """Add ``Re F₁F₂*``, ``|F₁|²`` and ``|F₂|²`` of every coefficient to its shell in every cone that it lies in."""
    box, last = one.shape[0], sums.shape[1] - 1
    for k in range(box):
        z = k if k <= box // 2 else k - box
        for j in range(box):
            y = j if j <= box // 2 else j - box
            for x in range(one.shape[2]):
                radius = np.sqrt(x * x + y * y + z * z)
                shell = int(np.rint(radius))
                if shell == 0 or shell > last:
                    continue
                a, b = one[k, j, x], two[k, j, x]
                weight = 1.0 if x == 0 or 2 * x == box else 2.0
                cross = weight * (a.real * b.real + a.imag * b.imag)
                first = weight * (a.real * a.real + a.imag * a.imag)
                second = weight * (b.real * b.real + b.imag * b.imag)
                for n in range(len(axes)):
                    if abs(axes[n, 0] * x + axes[n, 1] * y + axes[n, 2] * z) >= least * radius:
                        sums[n, shell, 0] += cross
                        sums[n, shell, 1] += first
                        sums[n, shell, 2] += second
