"""Round filters and local measures of one image, all by Fourier transforms of the image mirrored at its borders.

Filters are built around the first pixel, wrapping around, and kept for the next micrograph of the same shape.
"""

from functools import lru_cache

import torch
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d

SURROUND = 1.5
"""Outer radius of a ball filter's negative surround over the ball's."""

Shape = tuple[int, int]


class Bank:
    """Filters for particles of `diameter` px applied to `pixels` ``(h, w)``; every result is ``(h, w)`` float32."""

    def __init__(self, pixels: Tensor, diameter: float) -> None:
        self.diameter = diameter
        self.height, self.width = int(pixels.shape[0]), int(pixels.shape[1])
        self.pad = min(int(diameter), self.height - 1, self.width - 1)
        pixels = torch.nn.functional.pad(pixels[None, None], (self.pad,) * 4, mode="reflect")[0, 0]
        self.shape = (int(pixels.shape[0]), int(pixels.shape[1]))
        self.raw = torch.fft.rfft2(pixels)
        # Ice thickness and illumination vary slowly: a Gaussian one diameter wide takes them off.
        self.flat = self.raw * _slow_removed(self.shape, diameter)

    def ball(self, size: float) -> Tensor:
        """Return the response to balls of `size` diameters, in units of the deviation that white noise of variance 1 would give it."""
        kernel, energy = ball_filter(self.shape, size * self.diameter)
        return self._image(self.flat * kernel) / energy**0.5

    def local_contrast(self, size: float) -> Tensor:
        """Return the root of the summed squares about the local mean within a disc of `size` diameters."""
        kernel, count = _disc(self.shape, size * self.diameter / 2)
        mean = self._image(self.flat * kernel) / count
        squares = torch.fft.rfft2(torch.fft.irfft2(self.flat, s=self.shape) ** 2)
        energy = self._image(squares * kernel) - count * mean**2
        return torch.sqrt(torch.clamp(energy, min=1e-3 * float(energy.median())))

    def harmonic(self, order: int) -> Tensor:
        """Return the size of the angular harmonic of `order` (1: a slope, 2: a streak) within 0.75 diameters of each pixel."""
        even, odd = (self._image(self.flat * kernel) for kernel in _harmonic(self.shape, order, self.diameter))
        return torch.sqrt(even**2 + odd**2)

    def texture(self) -> Tensor:
        """Return the energy of detail finer than a quarter of the particle, averaged over a third of it; 1 for white noise of variance 1."""
        fine, smooth, share = _texture(self.shape, self.diameter)
        detail = torch.fft.irfft2(self.raw * fine, s=self.shape)
        return self._image(torch.fft.rfft2(detail**2) * smooth) / share

    def _image(self, transform: Tensor) -> Tensor:
        whole = torch.fft.irfft2(transform, s=self.shape)
        return whole[self.pad : self.pad + self.height, self.pad : self.pad + self.width]


def fine_detail(radius: Tensor, diameter: float) -> Tensor:
    """Return the high-pass (of frequencies `radius`, cycles/px) that leaves detail finer than a quarter of `diameter` px."""
    return 1.0 - torch.exp(-0.5 * (radius * diameter / 4.0) ** 2)


@lru_cache(maxsize=12)
def ball_filter(shape: Shape, diameter: float) -> tuple[Tensor, float]:
    """Return the transform of the projection of a ball of `diameter` px less the mean of its neighbourhood, and its energy."""
    radius, _ = _polar(shape)
    ball = torch.sqrt(torch.clamp(1.0 - (radius / (diameter / 2)) ** 2, min=0.0))
    disc = _soft_disc(radius, SURROUND * diameter / 2)
    kernel = ball - disc * (ball.sum() / disc.sum())
    return torch.fft.rfft2(kernel).real.contiguous(), float((kernel**2).sum())


@lru_cache(maxsize=4)
def noise_curvature(shape: Shape, diameter: float) -> float:
    """Return the variance of the slope of filtered white noise along an axis over its variance, 1/px²."""
    power = ball_filter(shape, diameter)[0] ** 2
    return float(0.5 * (2.0 * torch.pi) ** 2 * (power * radius_2d(*shape) ** 2).sum() / power.sum())


@lru_cache(maxsize=4)
def _disc(shape: Shape, radius: float) -> tuple[Tensor, float]:
    disc = _soft_disc(_polar(shape)[0], radius)
    return torch.fft.rfft2(disc).real.contiguous(), float(disc.sum())


@lru_cache(maxsize=4)
def _harmonic(shape: Shape, order: int, diameter: float) -> tuple[Tensor, Tensor]:
    radius, angle = _polar(shape)
    weight = _soft_disc(radius, 0.75 * diameter) * torch.clamp(radius / (0.3 * diameter), max=1.0)
    weight = weight / torch.sqrt((weight**2).sum())
    return torch.fft.rfft2(weight * torch.cos(order * angle)).conj(), torch.fft.rfft2(weight * torch.sin(order * angle)).conj()


@lru_cache(maxsize=2)
def _slow_removed(shape: Shape, diameter: float) -> Tensor:
    return 1.0 - torch.exp(-2.0 * (torch.pi * diameter * radius_2d(*shape)) ** 2)


@lru_cache(maxsize=2)
def _texture(shape: Shape, diameter: float) -> tuple[Tensor, Tensor, float]:
    radius = radius_2d(*shape)
    fine = fine_detail(radius, diameter)
    smooth = torch.exp(-2.0 * (torch.pi * (diameter / 6.0) * radius) ** 2)
    return fine, smooth, float((fine**2).mean())


def _polar(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return radius in px and angle about the first pixel, wrapping around."""
    y = torch.fft.fftfreq(shape[0], 1.0 / shape[0])[:, None]
    x = torch.fft.fftfreq(shape[1], 1.0 / shape[1])[None, :]
    return torch.sqrt(y * y + x * x), torch.atan2(y.expand(shape), x.expand(shape))


def _soft_disc(radius: Tensor, edge: float) -> Tensor:
    """Return a disc of radius `edge` whose rim is one pixel wide."""
    return torch.clamp(edge - radius + 0.5, 0.0, 1.0)
