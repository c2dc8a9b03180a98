"""How uneven a micrograph is, and where: local variance and its Gini coefficient (Vargas et al. 2013, doi:10.1016/j.jsb.2013.07.015)."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.micrographs.pixels import SAMPLE

Image = NDArray[np.float32]
Array = NDArray[np.float64]

TAILS = (0.1, 99.9)
"""Percentiles that become 0 and 1: hot pixels must not squeeze all others together."""


def local_variance(image: Image, side: int, places: NDArray[np.int64]) -> Array:
    """Return the variance of an image scaled to 0 to 1 in the windows of `side` px about `places` ``(n, 2)``, (x, y), as far as they lie inside."""
    step = max(1, image.size // SAMPLE) | 1
    low, high = np.percentile(image.ravel()[::step], TAILS)
    if high <= low:
        return np.zeros(len(places))
    scaled = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1) - np.float32(0.5)
    first = places - side // 2
    corners = [np.clip(edge, 0, image.shape[::-1]) for edge in (first, first + side)]
    count = np.prod(corners[1] - corners[0], axis=1)
    mean = _window_sums(scaled, *corners) / count
    return np.maximum(_window_sums(np.square(scaled, out=scaled), *corners) / count - mean * mean, 0.0)


def grid(shape: tuple[int, int], step: int) -> NDArray[np.int64]:
    """Return places ``(n, 2)``, (x, y), every `step` px over an image of `shape` ``(h, w)``."""
    y, x = np.meshgrid(*(np.arange(0, size, step) for size in shape), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def gini(values: Array) -> float:
    """Return the Gini coefficient of non-negative values: 0 where all are equal, towards 1 where few of them make up the sum."""
    ordered = np.sort(values, axis=None)
    total = float(ordered.sum())
    if total <= 0:
        return 0.0
    rank = np.arange(1, ordered.size + 1)
    return float(2 * (rank * ordered).sum() / (ordered.size * total) - (ordered.size + 1) / ordered.size)


def _window_sums(values: Image, low: NDArray[np.int64], high: NDArray[np.int64]) -> Array:
    """Return the sums over the windows from `low` up to `high` ``(n, 2)``, (x, y), exclusive."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[1:, 1:])
    np.cumsum(sums, axis=0, out=sums)
    (left, top), (right, bottom) = low.T, high.T
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
