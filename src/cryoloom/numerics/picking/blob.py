"""Blobs of a given size: where they are, how strong, and what their surroundings look like.

Matched filters of several sizes (the projection of a ball, less the mean of its neighbourhood: a difference-of-Gaussians picker with
the particle's own profile; Voss et al. 2009, doi:10.1016/j.jsb.2009.01.004), the local correlation (Roseman 2003,
doi:10.1016/S0304-3991(02)00333-9), and measures in which ice, gold, carbon edges and aggregates differ from particles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.picking.noise import chance_peak, noise_variance
from cryoloom.numerics.picking.peaks import find_peaks, refine_peaks
from cryoloom.numerics.picking.scene import Scene

Array = NDArray[np.float64]

FAINTEST = 2.5
"""Blobs fainter than this many σ of the noise are not listed."""

SURROUND = 1.5
"""Outer radius of a filter's negative surround over the radius of its ball."""

CROWD = 0.45
"""Candidates lie at least this many diameters apart."""


@dataclass(frozen=True)
class Blobs:
    """Candidates of one micrograph, strongest first.

    Attributes
    ----------
    x, y
        ``(n,)`` centre in px of the micrograph.
    strength
        ``(n,)`` response of the best filter in σ of the noise.
    features
        ``(n, k)``, see `FEATURES`.
    decoys
        ``(m, k)`` features of the blobs of the other sign, which no particle makes.
    chance
        Strength that noise alone is expected to exceed once in the micrograph.
    """

    x: Array
    y: Array
    strength: Array
    features: Array
    decoys: Array
    chance: float


FEATURES = ("log_strength", "correlation", "log_gradient", "log_elongation", "log_texture", "wide", "narrow")
"""Logarithm of the strength; local correlation with the filter; logarithms of the first and second angular harmonic over the strength (an
edge, a streak); logarithm of the fine-scale energy over the noise's; response of a wider and of a narrower filter over the strength."""


def find_blobs(scene: Scene, *, smallest: float = 0.7, largest: float = 1.0, border: float = 0.3) -> Blobs:
    """List the blobs of `scene` between `smallest` and `largest` times the particle's diameter.

    Parameters
    ----------
    border
        Centres nearer than this many diameters to an edge are left out.
    """
    pixels, diameter = scene.pixels, scene.diameter
    height, width = pixels.shape
    noise = noise_variance(pixels, diameter)
    if not noise > 0.0:
        none = np.zeros(0)
        return Blobs(none, none, none, np.zeros((0, len(FEATURES))), np.zeros((0, len(FEATURES))), FAINTEST)
    bank = _Bank(pixels / noise**0.5, diameter)
    sizes = tuple(float(size) for size in np.linspace(smallest, largest, 3))
    responses = torch.stack([bank.apply(*_ball(bank.shape, size * diameter)) for size in sizes])
    measures = _Measures(
        correlation=responses[1] / bank.local_contrast(SURROUND * sizes[1] * diameter / 2),
        gradient=bank.harmonic(1),
        elongation=bank.harmonic(2),
        texture=bank.texture(),
        wide=bank.apply(*_ball(bank.shape, 1.4 * sizes[1] * diameter)),
        narrow=bank.apply(*_ball(bank.shape, 0.6 * sizes[1] * diameter)),
    )
    found = []
    for sign in (1.0, -1.0):
        best = (sign * responses).amax(dim=0).numpy()
        rows, columns = find_peaks(best, FAINTEST, CROWD * diameter, border=border * diameter)
        found.append((best, rows, columns, measures.at(rows, columns, best[rows, columns].astype(np.float64), sign)))
    best, rows, columns, features = found[0]
    y, x = refine_peaks(best, rows, columns)
    chance = chance_peak(float(height * width), _curvature(bank.shape, sizes[0] * diameter))
    return Blobs(x * scene.scale[1], y * scene.scale[0], np.exp(features[:, 0]), features, found[1][3], chance)


@dataclass(frozen=True)
class _Measures:
    correlation: Tensor
    gradient: Tensor
    elongation: Tensor
    texture: Tensor
    wide: Tensor
    narrow: Tensor

    def at(self, rows: NDArray[np.int64], columns: NDArray[np.int64], strength: Array, sign: float) -> Array:
        """Return the features of the blobs of `sign` at `rows` and `columns`."""
        here = (torch.from_numpy(rows), torch.from_numpy(columns))
        c, g, e, t, w, n = (m[here].numpy().astype(np.float64) for m in (self.correlation, self.gradient, self.elongation, self.texture, self.wide, self.narrow))
        return np.stack(
            [np.log(strength), sign * c, np.log(g / strength + 0.03), np.log(e / strength + 0.03), np.log(np.maximum(t, 1e-3)), sign * w / strength, sign * n / strength],
            axis=1,
        )


class _Bank:
    """Filters applied to one image, mirrored at its borders."""

    def __init__(self, pixels: Tensor, diameter: float) -> None:
        self.diameter = diameter
        self.inner = (int(pixels.shape[0]), int(pixels.shape[1]))
        self.pad = min(int(diameter), *(side - 1 for side in self.inner))
        pixels = torch.nn.functional.pad(pixels[None, None], (self.pad,) * 4, mode="reflect")[0, 0]
        self.shape = (int(pixels.shape[0]), int(pixels.shape[1]))
        self.raw = torch.fft.rfft2(pixels)
        # Ice thickness and illumination vary slowly: a Gaussian one diameter wide takes them off.
        self.flat = self.raw * _slow(self.shape, diameter)
        self.image = torch.fft.irfft2(self.flat, s=self.shape)

    def apply(self, kernel: Tensor, energy: float) -> Tensor:
        """Return the response to a filter, divided by its norm."""
        return self._crop(torch.fft.irfft2(self.flat * kernel, s=self.shape)) / energy**0.5

    def local_contrast(self, radius: float) -> Tensor:
        """Return the root of the energy about the local mean within `radius` px."""
        kernel, count = _disc(self.shape, radius)
        mean = torch.fft.irfft2(self.flat * kernel, s=self.shape) / count
        energy = torch.fft.irfft2(torch.fft.rfft2(self.image**2) * kernel, s=self.shape) - count * mean**2
        return self._crop(torch.sqrt(torch.clamp(energy, min=1e-3 * float(energy.median()))))

    def harmonic(self, order: int) -> Tensor:
        """Return the size of the angular harmonic of `order` within three quarters of the diameter."""
        even, odd = (torch.fft.irfft2(self.flat * kernel, s=self.shape) for kernel in _harmonic(self.shape, order, self.diameter))
        return self._crop(torch.sqrt(even**2 + odd**2))

    def texture(self) -> Tensor:
        """Return the energy beyond one cycle in a sixth of the particle, over the noise's, averaged over a third of it."""
        fine, smooth, share = _texture(self.shape, self.diameter)
        detail = torch.fft.irfft2(self.raw * fine, s=self.shape)
        return self._crop(torch.fft.irfft2(torch.fft.rfft2(detail**2) * smooth, s=self.shape)) / share

    def _crop(self, values: Tensor) -> Tensor:
        return values[self.pad : self.pad + self.inner[0], self.pad : self.pad + self.inner[1]]


def _polar(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return radius in px and angle about the first pixel, wrapping around."""
    y = torch.fft.fftfreq(shape[0], 1.0 / shape[0])[:, None]
    x = torch.fft.fftfreq(shape[1], 1.0 / shape[1])[None, :]
    return torch.sqrt(y * y + x * x), torch.atan2(y.expand(shape), x.expand(shape))


def _soft(radius: Tensor, edge: float) -> Tensor:
    """Return a disc of radius `edge` whose rim is one pixel wide."""
    return torch.clamp(edge - radius + 0.5, 0.0, 1.0)


def _cached(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    """Keep the filters of the last few micrograph shapes."""
    return lru_cache(maxsize=12)(function)


@lru_cache(maxsize=12)
def _ball(shape: tuple[int, int], diameter: float) -> tuple[Tensor, float]:
    """Return the transform of the filter for balls of `diameter` px, and its energy."""
    radius, _ = _polar(shape)
    ball = torch.sqrt(torch.clamp(1.0 - (radius / (diameter / 2)) ** 2, min=0.0))
    disc = _soft(radius, SURROUND * diameter / 2)
    kernel = ball - disc * (ball.sum() / disc.sum())
    return torch.fft.rfft2(kernel).real.contiguous(), float((kernel**2).sum())


@lru_cache(maxsize=4)
def _disc(shape: tuple[int, int], radius: float) -> tuple[Tensor, float]:
    disc = _soft(_polar(shape)[0], radius)
    return torch.fft.rfft2(disc).real.contiguous(), float(disc.sum())


@lru_cache(maxsize=4)
def _harmonic(shape: tuple[int, int], order: int, diameter: float) -> tuple[Tensor, Tensor]:
    radius, angle = _polar(shape)
    weight = _soft(radius, 0.75 * diameter) * torch.clamp(radius / (0.3 * diameter), max=1.0)
    weight = weight / torch.sqrt((weight**2).sum())
    return tuple(torch.fft.rfft2(weight * wave(order * angle)).conj() for wave in (torch.cos, torch.sin))  # type: ignore[return-value]


def _frequency(shape: tuple[int, int]) -> Tensor:
    from cryoloom.numerics.fourier.grids import radius_2d

    return radius_2d(*shape)


@lru_cache(maxsize=2)
def _slow(shape: tuple[int, int], diameter: float) -> Tensor:
    return 1.0 - torch.exp(-2.0 * (torch.pi * diameter * _frequency(shape)) ** 2)


@lru_cache(maxsize=2)
def _texture(shape: tuple[int, int], diameter: float) -> tuple[Tensor, Tensor, float]:
    radius = _frequency(shape)
    fine = 1.0 - torch.exp(-0.5 * (radius / (4.0 / diameter)) ** 2)
    smooth = torch.exp(-2.0 * (torch.pi * (diameter / 6.0) * radius) ** 2)
    return fine, smooth, float((fine**2).mean())


@lru_cache(maxsize=4)
def _curvature(shape: tuple[int, int], diameter: float) -> float:
    """Return the mean squared angular frequency along an axis of noise seen through the filter, 1/px²."""
    kernel, _ = _ball(shape, diameter)
    power = kernel**2
    radius = _frequency(shape)
    return float(0.5 * (2.0 * torch.pi) ** 2 * (power * radius**2).sum() / power.sum())
