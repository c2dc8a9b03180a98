"""Filters of whole micrographs in frequency: Gaussian, high-pass and low-pass, as one factor, with the size changed on the way."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d
from cryoloom.numerics.particles.extract import bin_image

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Edge:
    """A raised cosine: cutoff and width, cycles/px."""

    cutoff: float
    width: float


@dataclass(frozen=True)
class Band:
    """What of an image is kept.

    Attributes
    ----------
    sigma
        Of a Gaussian that the image is convolved with, px; 0 for none.
    high
        Frequencies below ``cutoff - width`` are taken away, those above ``cutoff`` kept.
    low
        Frequencies above ``cutoff + width`` are taken away, those below ``cutoff`` kept.
    """

    sigma: float = 0.0
    high: Edge | None = None
    low: Edge | None = None

    @property
    def everything(self) -> bool:
        """Return whether the image stays as it is."""
        return self.sigma == 0.0 and self.high is None and self.low is None

    def transfer(self, shape: tuple[int, int]) -> Tensor:
        """Return the factor of each coefficient of the half-plane transform of an image of `shape`."""
        radius = radius_2d(*shape)
        factor = torch.exp(-2.0 * (math.pi * self.sigma * radius) ** 2)
        if self.high is not None:
            factor *= _rise((radius - self.high.cutoff) / max(self.high.width, 1e-9))
        if self.low is not None:
            factor *= _rise((self.low.cutoff - radius) / max(self.low.width, 1e-9))
        return factor


def _rise(steps: Tensor) -> Tensor:
    """Return 0 up to -1, 1 from 0, and half a cosine in between."""
    return 0.5 * (1.0 + torch.cos(math.pi * steps.clamp(-1.0, 0.0)))


def resized(image: Image, ratio: Fraction, band: Band | None = None) -> Image:
    """Return an image ``(h, w)`` made smaller by `ratio` and filtered, in one transform there and one back; pixel (0, 0) keeps its place."""
    return bin_image(image, ratio, None if band is None or band.everything else band.transfer)
