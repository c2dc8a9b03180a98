"""The spectrum of a micrograph's noise, from which a matched filter takes its weights."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.fourier.grids import shells_2d

Array = NDArray[np.float64]

TILE = 2.0
"""Side of the tiles, in diameters."""

QUIET = 0.3
"""Quantile of the tiles' power in each ring that is taken for the noise: more than half of the field may be particles, carbon or ice."""


def noise_spectrum(pixels: Tensor, diameter: float) -> tuple[Array, Array]:
    """Return frequencies in cycles a px and the noise's mean power a pixel at each; power 0 for an image without noise.

    Tiles overlap by half; in each ring of frequencies the tile at the quantile `QUIET` tells the noise, so its level is about a tenth low.

    Parameters
    ----------
    pixels
        ``(h, w)``.
    diameter
        Of the particle, px.
    """
    side = min(2 * int(np.ceil(0.5 * TILE * diameter)), *(2 * (size // 2) for size in pixels.shape))
    window = torch.hann_window(side)
    weight = window[:, None] * window[None, :]
    weight = weight / weight.square().mean().sqrt()
    tiles = pixels.unfold(0, side, side // 2).unfold(1, side, side // 2).reshape(-1, side, side)
    tiles = tiles - tiles.mean(dim=(1, 2), keepdim=True)
    power = (torch.fft.rfft2(tiles * weight).abs() ** 2 / side**2).reshape(len(tiles), -1)
    rings = shells_2d(side).flatten()
    size = int(rings.max()) + 1
    means = torch.zeros((len(tiles), size)).index_add_(1, rings, power) / torch.bincount(rings, minlength=size)
    return np.arange(size) / side, np.quantile(means.numpy().astype(np.float64), QUIET, axis=0)
