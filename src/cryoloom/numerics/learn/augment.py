"""Training images made to differ as micrographs do: turned, low-passed, noisier, of another colour of noise, of another contrast."""

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d


def crop_and_turn(image: Tensor, ground: Tensor, places: Tensor, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return a random square of `size` px of `image` and `ground` ``(h, w)`` and what lies in it, turned and mirrored at random.

    Parameters
    ----------
    places
        ``(m, 3)``: x, y, diameter, px.
    """
    top, left = (int(rng.integers(0, side - size + 1)) for side in image.shape)
    image, ground = image[top : top + size, left : left + size], ground[top : top + size, left : left + size]
    places = places - torch.tensor([left, top, 0.0])
    if rng.random() < 0.5:
        image, ground = image.flip(1), ground.flip(1)
        places = torch.stack([size - 1 - places[:, 0], places[:, 1], places[:, 2]], dim=1)
    for _ in range(int(rng.integers(4))):
        image, ground = image.rot90(), ground.rot90()
        places = torch.stack([places[:, 1], size - 1 - places[:, 0], places[:, 2]], dim=1)
    return image, ground, places


def vary(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return `images` ``(n, h, w)`` of a standard deviation of about 1, each with another noise and band and contrast."""
    count, height, width = images.shape
    radius = radius_2d(height, width)
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    strengths = np.where(rng.random(count) < 0.5, np.exp(rng.uniform(np.log(0.05), np.log(1.2), count)), 0.0)
    gains = torch.stack([_gain(radius, rng) for _ in range(count)])
    mixed = images.to(torch.float32) + torch.from_numpy(strengths.astype(np.float32))[:, None, None] * noise
    passed = torch.fft.irfft2(torch.fft.rfft2(mixed) * gains, s=(height, width))
    bends = np.where(rng.random(count) < 0.2, rng.uniform(0.3, 1.0, count), 0.0).astype(np.float32)
    for index in np.flatnonzero(bends):
        spread = passed[index].std()
        passed[index] = spread * torch.tanh(float(bends[index]) * passed[index] / spread)
    return passed


def _gain(radius: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a transfer function over `radius` (cycles/px): flat, or low-pass, or tilted, or both."""
    gain = torch.ones_like(radius)
    if rng.random() < 0.5:
        cutoff, order = float(np.exp(rng.uniform(np.log(0.09), np.log(0.5)))), float(rng.uniform(1.0, 4.0))
        gain = gain / torch.sqrt(1.0 + (radius / cutoff) ** (2.0 * order))
    if rng.random() < 0.3:
        gain = gain * (radius.clamp(min=0.01) / 0.1) ** float(rng.uniform(-0.4, 0.4))
    return gain
