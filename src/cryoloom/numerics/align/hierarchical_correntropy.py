"""Correntropy: how much of an image agrees with its class average pixel by pixel, whatever the pixels that do not agree at all hold.

    V = mean exp(-(P - I)² / 2σ²)   over the mask's disc,   σ = √2 times the images' standard deviation in it

An outlier of 20 standard deviations takes one pixel's agreement away and no more, where in a correlation it outweighs four hundred pixels.
Sorzano et al., J. Struct. Biol. 171:197 (2010), doi:10.1016/j.jsb.2010.03.011. Averages are far below the noise of an image, and to first order in P

    V = V(0) + mean P · I exp(-I² / 2σ²) / σ²:   the correlation with an image whose strays are drawn in (`limited`).

Rounds go by that, divided by the norm of P, which V is not: by V itself the averages of least power attract. The last round goes by V.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from torch import Tensor

from cryoloom.numerics.fourier.transforms import resample_images

_FINER = 2  # pixels of an image, each way, in which it is read
_REACH = 3.0  # standard deviations at which a pixel's influence has fallen to 0.6


@dataclass(frozen=True)
class Kernel:
    """Width of the kernel, in grey values, and radius in px of the disc that is compared."""

    sigma: float
    radius: float

    @staticmethod
    def of(pixels: Tensor, radius: float) -> "Kernel":
        """Return the kernel for images ``(n, b, b)``."""
        axis = torch.arange(pixels.shape[-1]) - pixels.shape[-1] // 2
        inside = axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2
        spread = torch.stack([image[inside].std() for image in pixels])
        return Kernel(math.sqrt(2.0) * float(spread.mean(dtype=torch.float64)), radius)


def limited(images: Tensor) -> Tensor:
    """Return images ``(n, N, N)`` whose pixels lose their influence as they stray from the median, by a kernel of three standard deviations (of the bulk)."""
    flat = images.flatten(1)
    middle = flat.median(dim=1).values[:, None, None]
    away = images - middle
    spread = 1.4826 * away.abs().flatten(1).median(dim=1).values.clamp(min=1e-12)[:, None, None]
    return middle + away * torch.exp(-0.5 * (away / (_REACH * spread)).square())


def correntropies(pixels: Tensor, averages: Tensor, label: Tensor, angle: Tensor, flip: Tensor, place: Tensor, kernel: Kernel) -> Tensor:
    """Return the correntropy of images ``(n, b, b)`` with the averages ``(K, b, b)`` of ``(n, t)`` classes in given poses, ``(n, t)``."""
    out = np.empty(label.shape, np.float32)
    axis = torch.arange(averages.shape[-1]) - averages.shape[-1] // 2
    inside = axis[:, None] ** 2 + axis[None, :] ** 2 <= kernel.radius**2
    # Averages have their background at zero, images their mean: both are compared by what they differ from their own mean in the disc.
    level = averages[:, inside].mean(dim=1)[:, None, None]
    # Bilinear interpolation takes more of the noise off between pixels than on them, which would count as agreement: pixels half as large know less of it.
    fine = resample_images(pixels, (_FINER * pixels.shape[-2], _FINER * pixels.shape[-1])).contiguous()
    poses = (each.numpy() for each in (label, angle, flip, place))
    _correntropies(fine.numpy(), (averages - level).numpy(), *poses, kernel.sigma, kernel.radius, out)
    return torch.from_numpy(out)


@njit(nogil=True, cache=True, error_model="numpy")
def _correntropies(pixels, averages, label, angle, flip, place, sigma, radius, out):
    """Write the mean of the kernel over the disc; images of finer pixels are read at the pose by bilinear interpolation, what lies beyond is left out."""
    box = pixels.shape[-1]
    centre, reach = averages.shape[-1] // 2, int(radius)
    side = 2 * reach + 1
    seen = np.empty(side * side, np.float32)
    shown = np.empty(side * side, np.float32)
    for n in range(label.shape[0]):
        for t in range(label.shape[1]):
            average = averages[label[n, t]]
            cosine, sine = math.cos(angle[n, t]), math.sin(angle[n, t])
            mirror = -1.0 if flip[n, t] else 1.0
            total, count = 0.0, 0
            for y in range(-reach, reach + 1):
                for x in range(-reach, reach + 1):
                    if x * x + y * y > radius * radius:
                        continue
                    column = _FINER * (mirror * (cosine * x - sine * y) + place[n, t, 0] + centre)
                    row = _FINER * (sine * x + cosine * y + place[n, t, 1] + centre)
                    i, j = int(math.floor(row)), int(math.floor(column))
                    if i < 0 or j < 0 or i + 1 >= box or j + 1 >= box:
                        continue
                    down, right = row - i, column - j
                    upper = pixels[n, i, j] * (1.0 - right) + pixels[n, i, j + 1] * right
                    lower = pixels[n, i + 1, j] * (1.0 - right) + pixels[n, i + 1, j + 1] * right
                    seen[count] = upper * (1.0 - down) + lower * down
                    shown[count] = average[y + centre, x + centre]
                    total += seen[count]
                    count += 1
            level, agreement = total / max(count, 1), 0.0
            for k in range(count):
                left = (shown[k] - (seen[k] - level)) / sigma
                agreement += math.exp(-0.5 * left * left)
            out[n, t] = agreement / max(count, 1)
