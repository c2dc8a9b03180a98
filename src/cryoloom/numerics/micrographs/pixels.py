"""What is done to the pixels of a micrograph one by one: scanner curve, bad pixels, normalisation."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

SAMPLE = 1 << 20
"""Pixels that median and spread are taken from, evenly chosen: they are then known to 0.2 % of the spread."""


def middle_and_spread(image: Image) -> tuple[float, float]:
    """Return the median and the robust standard deviation (1.4826 times the median absolute deviation) of an image.

    Robust, because one pixel of a million counts makes a plain deviation so large that it hides all others.
    """
    step = max(1, image.size // SAMPLE) | 1  # odd: an even step would see every other column only
    sample = image.ravel()[::step]
    middle = float(np.median(sample))
    return middle, 1.4826 * float(np.median(np.abs(sample - np.float32(middle))))


def scanner_curve(image: Image, a: float, b: float, c: float) -> tuple[Image, int]:
    """Return ``a - b ln(image + c)``, and how many pixels were at or below ``-c`` and were taken for the lowest one above.

    Raises
    ------
    ValueError
        When no pixel is above ``-c``.
    """
    shifted = image + np.float32(c)
    outside = shifted <= 0
    count = int(np.count_nonzero(outside))
    if count == image.size:
        raise ValueError(f"no pixel is above {-c:g}, where the logarithm begins")
    if count:
        shifted[outside] = shifted[~outside].min()
    return np.float32(a) - np.float32(b) * np.log(shifted), count


def bad_pixels(image: Image, sigmas: float) -> NDArray[np.bool_]:
    """Return where an image is further than `sigmas` robust standard deviations from its median; nowhere in a constant one."""
    middle, spread = middle_and_spread(image)
    if spread == 0.0:
        # More than half of all pixels are equal: what spread there is comes from the others.
        spread = float(image.std(dtype=np.float64))
    reach = sigmas * spread
    return (image > np.float32(middle + reach)) | (image < np.float32(middle - reach))


def replace_pixels(image: Image, bad: NDArray[np.bool_]) -> Image:
    """Return the image with its `bad` pixels replaced by the median of the good ones in the 5 × 5 around them.

    Where there are none it is done from the outside in: what was replaced counts as good for the next sweep.
    """
    rows, columns = np.nonzero(bad)
    if not rows.size or rows.size == bad.size:
        return image
    filled, waiting, reach = image.copy(), bad.copy(), np.arange(-2, 3)
    while rows.size:
        down, across = rows[:, None, None] + reach[:, None], columns[:, None, None] + reach
        outside = (down < 0) | (down >= image.shape[0]) | (across < 0) | (across >= image.shape[1])
        down, across = down.clip(0, image.shape[0] - 1), across.clip(0, image.shape[1] - 1)
        around = np.where(outside | waiting[down, across], np.float32(np.nan), filled[down, across]).reshape(rows.size, -1)
        ready = ~np.isnan(around).all(axis=1)
        filled[rows[ready], columns[ready]] = np.nanmedian(around[ready], axis=1)
        waiting[rows[ready], columns[ready]] = False
        rows, columns = rows[~ready], columns[~ready]
    return filled


def normalised(image: Image) -> tuple[Image, bool]:
    """Return the image with mean 0 and standard deviation 1, and whether it has any contrast; without, it is 0 everywhere."""
    mean = image.mean(dtype=np.float64)
    flat = image - np.float32(mean)
    spread = float(np.sqrt(np.einsum("ij,ij->", flat, flat, dtype=np.float64) / flat.size))
    if spread <= 1e-6 * abs(float(mean)) or spread == 0.0:
        return np.zeros_like(flat), False
    return flat / np.float32(spread), True
