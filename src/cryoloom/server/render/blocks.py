"""Pictures made smaller by whole blocks of pixels, and how they become grey."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.raster import grey_limits

Image = NDArray[np.float32]

LOW, HIGH = 0.2, 99.8
"""Percentiles of a picture that are drawn black and white."""
_SAMPLE = 1 << 20
"""Pixels that percentiles are taken of, spread evenly; of smaller pictures all."""


def block_mean(image: NDArray[Any], factor: int) -> Image:
    """Return the means of blocks of `factor` pixels an axis, float32; what is left at the ends makes smaller blocks of its own.

    Nothing is cut off: ``ceil(side / factor)`` px a side. The centre of pixel i lies at ``factor · i + (factor - 1) / 2`` of the image.
    """
    if factor == 1:
        return np.asarray(image, dtype=np.float32)
    total, count = image, np.ones((), dtype=np.float32)
    for axis in range(image.ndim):
        total = _sums_along(total, factor, axis)
        side = image.shape[axis]
        sizes = np.minimum(factor, side - factor * np.arange(total.shape[axis])).astype(np.float32)
        count = count * sizes.reshape([-1 if each == axis else 1 for each in range(image.ndim)])
    return total / count


def _sums_along(image: NDArray[Any], factor: int, axis: int) -> Image:
    shape = list(image.shape)
    shape[axis] = math.ceil(shape[axis] / factor)
    total = np.zeros(shape, dtype=np.float32)
    target, source = np.moveaxis(total, axis, 0), np.moveaxis(image, axis, 0)
    for first in range(factor):
        part = source[first::factor]
        target[: len(part)] += part
    return total


def stretch(image: NDArray[Any]) -> tuple[float, float]:
    """Return the values of a picture that are drawn black and white."""
    step = math.ceil(image.size / _SAMPLE) | 1 if image.size > _SAMPLE else 1  # odd: it shall not keep to some columns
    return grey_limits(image.reshape(-1)[::step], low=LOW, high=HIGH)
