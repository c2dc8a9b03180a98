"""How uneven a micrograph is, and where: local variance and its Gini coefficient (Vargas et al. 2013, doi:10.1016/j.jsb.2013.07.015)."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.micrographs.pixels import SAMPLE

Image = NDArray[np.float32]
Array = NDArray[np.float64]

TAILS = (0.1, 99.9)
"""Percentiles that become 0 and 1: hot pixels must not squeeze all others together."""


def local_variance(image: Image, side: int) -> Array:
    """Return the variance of an image scaled to 0 to 1 in the window of `side` px about every pixel, as far as it lies inside, ``(h, w)``."""
    step = max(1, image.size // SAMPLE) | 1
    low, high = np.percentile(image.ravel()[::step], TAILS)
    if high <= low:
        return np.zeros(image.shape)
    scaled = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float64) - 0.5
    count = _window_sums(np.ones(image.shape), side)
    mean = _window_sums(scaled, side) / count
    scaled *= scaled
    return np.maximum(_window_sums(scaled, side) / count - mean * mean, 0.0)


def gini(values: Array) -> float:
    """Return the Gini coefficient of non-negative values: 0 where all are equal, towards 1 where few of them make up the sum."""
    ordered = np.sort(values, axis=None)
    total = float(ordered.sum())
    if total <= 0:
        return 0.0
    rank = np.arange(1, ordered.size + 1)
    return float(2 * (rank * ordered).sum() / (ordered.size * total) - (ordered.size + 1) / ordered.size)


def _window_sums(values: Array, side: int) -> Array:
    """Return the sums over windows of `side` px about every pixel, cut off at the borders."""
    for axis in (0, 1):
        size = values.shape[axis]
        sums = np.concatenate([np.zeros_like(values.take([0], axis)), np.cumsum(values, axis=axis)], axis=axis)
        place = np.arange(size) - side // 2
        values = sums.take(np.clip(place + side, 0, size), axis) - sums.take(np.clip(place, 0, size), axis)
    return values
