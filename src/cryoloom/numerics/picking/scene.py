"""A micrograph at the scale of its particles: few pixels, particles bright, free of hot pixels."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.fourier.transforms import resample_images

GRAIN = 40.0
"""Working pixels across a particle."""

FINEST = 3.0
"""Smallest working pixel, Å: picking looks at nothing that needs smaller ones."""

CLAMP = 8.0
"""Pixels farther than this many robust standard deviations from the median are pulled back to there: hot pixels, cosmic rays."""


@dataclass(frozen=True)
class Scene:
    """A reduced micrograph.

    Attributes
    ----------
    pixels
        ``(h, w)`` float32, particles bright.
    scale
        Micrograph pixels for one of these, (y, x).
    pixel_size
        Of these pixels, Å.
    diameter
        Of the particle, in these pixels.
    """

    pixels: Tensor
    scale: tuple[float, float]
    pixel_size: float
    diameter: float

    def inverted(self) -> "Scene":
        """Return the scene with dark and bright exchanged."""
        return replace(self, pixels=-self.pixels)


def reduce_micrograph(
    image: NDArray[np.generic], pixel_size: float, diameter: float, *, dark: bool = True, grain: float | None = None
) -> Scene:
    """Bring `image` ``(h, w)`` to about `GRAIN` pixels across a particle of `diameter` Å by Fourier cropping, never to pixels below `FINEST`.

    Parameters
    ----------
    dark
        Particles are darker than their surroundings.
    grain
        Bring it to this many pixels across the particle instead, however fine or coarse they are.

    Raises
    ------
    ValueError
        If the diameter is above half the short side.
    """
    height, width = image.shape
    _refuse_large(image.shape, pixel_size, diameter)
    factor = diameter / pixel_size / grain if grain else max(1.0, diameter / pixel_size / GRAIN, FINEST / pixel_size)
    shape = (fast_even(height / factor), fast_even(width / factor)) if factor != 1.0 else (height, width)
    pixels = resample_images(torch.from_numpy(_clamped(image, -1.0 if dark else 1.0)), shape)
    scale = (height / shape[0], width / shape[1])
    working = pixel_size * (scale[0] * scale[1]) ** 0.5
    return Scene(pixels, scale, working, diameter / working)


def resampled_micrograph(image: NDArray[np.generic], pixel_size: float, working: float, diameter: float, *, dark: bool = True) -> Scene:
    """Bring `image` ``(h, w)`` to pixels of `working` Å, within half a pixel over its length; arguments and errors as `reduce_micrograph`'s."""
    _refuse_large(image.shape, pixel_size, diameter)
    height, width = image.shape
    ratio = max(1.0, working / pixel_size)
    shape = (round(height / ratio), round(width / ratio))
    pixels = resample_images(torch.from_numpy(_clamped(image, -1.0 if dark else 1.0)), shape)
    scale = (height / shape[0], width / shape[1])
    return Scene(pixels, scale, working, diameter / working)


def _refuse_large(shape: tuple[int, ...], pixel_size: float, diameter: float) -> None:
    limit = 0.5 * min(shape) * pixel_size
    if diameter > limit:
        raise ValueError(f"diameter {diameter:g} Å is above half the short side of the micrograph, {limit:.0f} Å")


def _clamped(image: NDArray[np.generic], sign: float) -> NDArray[np.float32]:
    """Return `image` times `sign`, its median taken off, outliers and non-numbers tamed; median and spread come from one pixel in 16."""
    pixels = np.asarray(image, dtype=np.float32)
    sample = pixels[::4, ::4]
    sample = sample[np.isfinite(sample)]
    middle = np.float32(np.median(sample)) if sample.size else np.float32(0.0)
    spread = np.float32(1.4826 * np.median(np.abs(sample - middle))) if sample.size else np.float32(0.0)
    out = np.nan_to_num((pixels - middle) * np.float32(sign), nan=0.0, posinf=0.0, neginf=0.0)
    limit = np.float32(CLAMP) * spread
    return np.clip(out, -limit, limit) if limit > 0 else out


def fast_even(size: float) -> int:
    """Return the even number next to `size` from above that has no prime factor above 5."""
    number = 2 * int(np.ceil(size / 2 - 1e-9))
    while True:
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 2
