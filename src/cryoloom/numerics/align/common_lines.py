"""How well images agree where their poses say that they must: along common lines.

The transforms of two projections of one map are equal along the line in which their planes cut each other (Crowther et al. 1970,
doi:10.1098/rspb.1970.0030; van Heel 1987, doi:10.1016/0304-3991(87)90078-7). Poses that a map gives to images say which line of each image that
is; whether the two lines are alike only the images decide. A map that is wrong gives poses that contradict each other there, however well its
projections can be made to fit.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.parallel import blocks, ordered

Array = NDArray[np.float64]

LINES = 60
"""Lines of a half circle: 3 degrees."""
FIRST = 2
"""Shell at which lines begin: before it all particles are alike."""
NEAREST = 15.0
"""Degrees between two planes below which their common line is badly known."""


LEAST_RANGE = 0.05
"""Between chance and what is possible: where noise leaves less, nothing is told."""


@dataclass(frozen=True)
class LineAgreement:
    """Correlations of the lines of all pairs of images, ``(n, n)``; not a number where two planes are nearly one.

    Attributes
    ----------
    found
        Of the lines that the poses say are one.
    chance
        Of any two lines, the mean.
    best
        Of the two lines of the images that are most alike.
    """

    found: Array
    chance: Array
    best: Array

    def agreement(self, possible: Array) -> Array:
        """Return how far each image agrees with all others, ``(n,)``: 0 is chance, 1 all that is `possible` ``(n, n)``; NaN where no pair tells."""
        known = np.isfinite(self.found)
        count = np.maximum(known.sum(axis=1), 1)
        most = np.fmin(self.best, possible)
        found, chance, most = (np.where(known, values, 0.0).sum(axis=1) / count for values in (self.found, self.chance, most))
        return np.where(known.any(axis=1), (found - chance) / np.maximum(most - chance, LEAST_RANGE), np.nan)

    def among(self, chosen: NDArray[np.int64]) -> "LineAgreement":
        """Return that of some of the images."""
        pairs = np.ix_(chosen, chosen)
        return LineAgreement(self.found[pairs], self.chance[pairs], self.best[pairs])

    @property
    def pairs(self) -> int:
        """Return how many pairs tell something."""
        return int(np.isfinite(self.found).sum() // 2)


def line_agreement(images: Coefficients, plane: HalfPlane, rotations: Array, last: int, threads: int = 1) -> LineAgreement:
    """Compare the common lines of all pairs of images.

    Parameters
    ----------
    images
        Coefficients ``(n, K)`` of `plane`, the particles at the centre.
    rotations
        ``(n, 3, 3)``.
    last
        Shell at which lines end.
    """
    count = len(images)
    lines = _lines(images, plane, last)
    places = _places(rotations)
    out = [np.full((count, count), np.nan) for _ in range(3)]

    def work(part: slice) -> tuple[slice, Array]:
        values = np.full((part.stop - part.start, count, 3), np.nan)
        compare(lines, places, part.start, values)
        return part, values

    for part, values in ordered(work, blocks(count, 8), threads):
        for number, matrix in enumerate(out):
            matrix[part] = values[..., number]
    for matrix in out:
        upper = np.triu_indices(count, 1)
        matrix[upper] = matrix.T[upper]
    return LineAgreement(*out)


def _lines(images: Coefficients, plane: HalfPlane, last: int) -> NDArray[np.float32]:
    """Return central lines of the images' transforms in all directions of the circle, of length one, ``(n, 2 · LINES, shells, 2)``."""
    reach = plane.last + 2
    kx, ky = plane.kx.astype(np.int64), plane.ky.astype(np.int64)
    angle = np.arange(2 * LINES) * (np.pi / LINES)
    radius = np.arange(FIRST, max(last, FIRST + 1) + 1)
    places = [reach + radius * np.sin(angle)[:, None], reach + radius * np.cos(angle)[:, None]]
    out = np.empty((len(images), 2 * LINES, len(radius), 2), np.float32)
    for lines, image in zip(out, images, strict=True):
        whole = np.zeros((2 * reach + 1, 2 * reach + 1), np.complex64)
        whole[reach + ky, reach + kx] = image
        whole[reach - ky, reach - kx] = image.conj()
        lines[..., 0], lines[..., 1] = map_coordinates(whole.real, places, order=3), map_coordinates(whole.imag, places, order=3)
        lines /= np.maximum(np.sqrt((lines**2).sum(axis=(1, 2), keepdims=True)), 1e-20)
    return out


def _places(rotations: Array) -> NDArray[np.int64]:
    """Return for each pair of images which line of the first and of the second is the common one, ``(n, n, 2)``; -1 for planes nearly one."""
    views = rotations[:, 2]
    common = np.cross(views[:, None], views)
    sine = np.linalg.norm(common, axis=-1)
    seen = np.stack([np.einsum("ikc,ijc->ijk", rotations[:, :2], common), np.einsum("jkc,ijc->ijk", rotations[:, :2], common)], axis=2)
    line = np.rint(np.arctan2(seen[..., 1], seen[..., 0]) * (LINES / np.pi)).astype(np.int64) % (2 * LINES)
    back = line[..., 0] >= LINES
    line[back] = (line[back] + LINES) % (2 * LINES)
    line[sine < np.sin(np.deg2rad(NEAREST))] = -1
    return line


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def compare(lines, places, start, out):
    """Write found, chance and best of the pairs of images `start` … with all before each into `out` ``(m, n, 3)``; neighbours of a line count as it."""
    half, whole, length = lines.shape[1] // 2, lines.shape[1], lines.shape[2]
    alike = np.empty((half, whole), np.float32)
    wide = np.empty((half, whole), np.float32)
    for m in range(out.shape[0]):
        i = start + m
        for j in range(i):
            if places[i, j, 0] < 0:
                continue
            for a in range(half):
                for b in range(whole):
                    total = np.float32(0)
                    for r in range(length):
                        total += lines[i, a, r, 0] * lines[j, b, r, 0] + lines[i, a, r, 1] * lines[j, b, r, 1]
                    alike[a, b] = total
            for a in range(half):
                for b in range(whole):
                    wide[a, b] = max(alike[a, b], alike[a, (b + 1) % whole], alike[a, b - 1])
            mean, best = 0.0, np.float32(-1)
            for a in range(half):
                # Past the last line comes the first one, seen from its other end.
                before, after = (half if a == 0 else 0), (half if a == half - 1 else 0)
                for b in range(whole):
                    value = max(wide[a, b], wide[a - 1, b - before], wide[(a + 1) % half, b - after])
                    mean += value
                    best = max(best, value)
                    if a == places[i, j, 0] and b == places[i, j, 1]:
                        out[m, j, 0] = value
            out[m, j, 1] = mean / (half * whole)
            out[m, j, 2] = best
