"""How much dark detail lies about each pixel of a micrograph: what particles of any shape have more of than ice.

At a few thousand Å of defocus a micrograph hardly shows masses of a particle's size, only their finer parts: a ball is grey, its domains
are dark. So what is summed over the particle's disc is not the density but the rectified band-passed one: a ring, a rod and a ball of one
mass have about the same sum, and its maximum is their centre. Noise and bright fringes add nothing below the threshold, and what is very
dark counts no more than `CEILING`.
"""

from functools import lru_cache

import torch
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d
from cryoloom.numerics.picking.noise import quiet_variance

REACH = 0.65
"""Radius of the summation, in diameters; its weight ``(1 - r²)²`` falls to half at 0.35."""

BROAD = 1.6
"""Radius of the wider summation over that of the first."""

FINE = 3.5
"""Standard deviation, Å, of the Gaussian that takes off noise finer than what a micrograph shows of a protein; it halves 19 Å."""

COARSE, FLAT = 0.5, 0.7
"""Standard deviations, in diameters, of those that take off what is as large as the particle, and illumination and ice thickness."""

THRESHOLD, CEILING = 1.0, 4.0
"""Detail counts by what it exceeds the one, up to the other, σ of the noise."""

Shape = tuple[int, int]


class Detail:
    """The detail of `pixels` ``(h, w)`` of `pixel_size` Å, particles of `diameter` px bright; `sums` gives maps ``(h, w)`` float32."""

    def __init__(self, pixels: Tensor, pixel_size: float, diameter: float) -> None:
        self.diameter = diameter
        self.height, self.width = int(pixels.shape[0]), int(pixels.shape[1])
        self.pad = min(int(diameter), self.height - 1, self.width - 1)
        pixels = torch.nn.functional.pad(pixels[None, None], (self.pad,) * 4, mode="reflect")[0, 0]
        self.shape = (int(pixels.shape[0]), int(pixels.shape[1]))
        band = _band(self.shape, FINE / pixel_size, diameter)
        passed = torch.fft.irfft2(torch.fft.rfft2(pixels) * band, s=self.shape)
        noise = quiet_variance(passed, band, diameter)
        self.seen = noise > 0.0
        self.standard = passed / noise**0.5 if self.seen else passed

    def sums(self, sign: float) -> tuple[Tensor, Tensor]:
        """Return the weighted means of the detail of `sign` (1: of particles) within `REACH` and within `BROAD` times that."""
        rectified = torch.fft.rfft2(torch.clamp(sign * self.standard - THRESHOLD, 0.0, CEILING - THRESHOLD))
        return self._mean(rectified, REACH), self._mean(rectified, BROAD * REACH)

    def _mean(self, transform: Tensor, reach: float) -> Tensor:
        whole = torch.fft.irfft2(transform * _dome(self.shape, reach * self.diameter), s=self.shape)
        return whole[self.pad : self.pad + self.height, self.pad : self.pad + self.width]


@lru_cache(maxsize=2)
def _band(shape: Shape, fine_size: float, diameter: float) -> Tensor:
    radius = radius_2d(*shape)
    sizes = (fine_size, COARSE * diameter, FLAT * diameter)
    fine, coarse, flat = (torch.exp(-2.0 * (torch.pi * size * radius) ** 2) for size in sizes)
    return (fine - coarse) * (1.0 - flat)


@lru_cache(maxsize=4)
def _dome(shape: Shape, radius: float) -> Tensor:
    """Return the transform of ``(1 - (r / radius)²)²``, of sum 1, about the first pixel, wrapping around."""
    y = torch.fft.fftfreq(shape[0], 1.0 / shape[0])[:, None]
    x = torch.fft.fftfreq(shape[1], 1.0 / shape[1])[None, :]
    dome = torch.clamp(1.0 - (y * y + x * x) / radius**2, min=0.0) ** 2
    return torch.fft.rfft2(dome / dome.sum()).real.contiguous()
