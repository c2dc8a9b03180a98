"""What a network is shown of a reduced micrograph: no illumination, one contrast everywhere, no extremes."""

import torch
from torch import Tensor
from torch.nn import functional

COARSE = 8
"""Pixels a side of the means from which background and contrast are taken."""

BACKGROUND, CONTRAST = 1.5, 3.0
"""Standard deviations, in diameters, of the Gaussians over which background and contrast are averaged."""

EXTREME = 4.0
"""Values beyond this many standard deviations are cut."""


def level(images: Tensor, diameter: float) -> Tensor:
    """Return `images` ``(n, h, w)`` with a mean of 0 and a standard deviation of about 1 in every neighbourhood, float32.

    Parameters
    ----------
    diameter
        Of the particle, px.
    """
    images = images.to(torch.float32)
    flat = images - _spread_out(images, BACKGROUND * diameter)
    spread = 1.4826 * flat.abs().flatten(1).median(dim=1).values[:, None, None]
    flat = flat / torch.where(spread > 0, spread, torch.ones_like(spread))
    flat = flat.clamp(-1.5 * EXTREME, 1.5 * EXTREME)
    variance = _spread_out(flat * flat, CONTRAST * diameter)
    # A contrast far below that of the rest is a border that was filled in, not a quiet place.
    return (flat / variance.clamp(min=0.05).sqrt()).clamp(-EXTREME, EXTREME)


def _spread_out(images: Tensor, sigma: float) -> Tensor:
    """Return the Gaussian mean of `images` ``(n, h, w)`` about each pixel, from means of `COARSE` px a side."""
    height, width = images.shape[-2:]
    pad = (0, -width % COARSE, 0, -height % COARSE)
    means = functional.avg_pool2d(functional.pad(images[:, None], pad, mode="replicate"), COARSE)
    reach = max(1, round(2.5 * sigma / COARSE))
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (axis * COARSE / sigma) ** 2)
    kernel = kernel / kernel.sum()
    wide = functional.pad(means, (reach,) * 4, mode="replicate")
    smooth = functional.conv2d(functional.conv2d(wide, kernel[None, None, None, :]), kernel[None, None, :, None])
    fine = functional.interpolate(smooth, scale_factor=COARSE, mode="bilinear", align_corners=False)
    return fine[:, 0, :height, :width]
