"""The picture that shows what alignment gained: power spectra of the sums of frames before and after."""

import numpy as np
import torch
from numpy.typing import NDArray

Image = NDArray[np.float32]

TILE = 288
SHOWN = 8 / 9
"""Of the way to Nyquist: beyond, interpolation of locally moved frames takes power away (`warp`), which would frame one half in black."""


def halves(aligned: Image, raw: Image) -> Image:
    """Return log power, origin in the middle: of `aligned` to the left, of `raw` from the middle to the right, the extreme percents clipped.

    The two are on one scale, so they must be sums, or means, of as many frames.
    """
    picture = log_power(aligned)
    middle = picture.shape[1] // 2
    picture[:, middle:] = log_power(raw)[:, middle:]
    low, high = np.percentile(picture, [1.0, 99.0])
    return np.clip(picture, low, high)


def log_power(image: Image) -> Image:
    """Return the log of the mean power of half-overlapping tiles up to `SHOWN` of Nyquist, origin at half the side, square and even."""
    tile = min(TILE, *image.shape) // 2 * 2
    rows, columns = (range(0, side - tile + 1, tile // 2) for side in image.shape)
    taper = np.outer(np.hanning(tile), np.hanning(tile)).astype(np.float32)
    total = torch.zeros(tile, tile // 2 + 1, dtype=torch.float64)
    for row in rows:
        pieces = np.stack([image[row : row + tile, column : column + tile] for column in columns])
        pieces = (pieces - pieces.mean(axis=(1, 2), keepdims=True)) * taper
        total += torch.fft.rfft2(torch.from_numpy(pieces)).abs().square().double().sum(0)
    half = torch.log(total + 1e-12).numpy()
    side = int(tile * SHOWN) // 2 * 2
    down, across = np.indices((side, side)) - side // 2
    return half[np.where(across < 0, -down, down) % tile, np.abs(across)].astype(np.float32)
