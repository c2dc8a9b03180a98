"""The network of pick.clean: a light U-Net that tells, pixel by pixel, what is neither ice nor particle."""

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 16
"""Images have sides that are multiples of this."""

WIDTHS = (16, 32, 64, 96)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution."""


class Segmenter(nn.Module):
    """Maps levelled images ``(n, 1, h, w)``, particles bright, to logits of the same shape.

    A U-Net (Ronneberger, Fischer & Brox 2015) on blocks of 2 × 2 pixels, each of which is one pixel of four channels to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_pair(before, after) for before, after in zip((4, *WIDTHS), WIDTHS, strict=False))
        self.up = nn.ModuleList(_pair(coarse + fine, fine) for fine, coarse in zip(WIDTHS[-2::-1], WIDTHS[:0:-1], strict=True))
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit of being covered, of every pixel."""
        values = self.down[0](functional.pixel_unshuffle(images, 2))
        finer = [values]
        for block in self.down[1:]:
            values = block(functional.max_pool2d(values, 2))
            finer.append(values)
        for block, fine in zip(self.up, finer[-2::-1], strict=True):
            values = block(torch.cat([functional.interpolate(values, scale_factor=2, mode="nearest"), fine], dim=1))
        return functional.interpolate(self.last(values), scale_factor=2, mode="bilinear", align_corners=False)


def _pair(before: int, after: int) -> nn.Sequential:
    """Return two convolutions of 3 × 3 pixels, each with its normalisation and rectifier."""
    layers: list[nn.Module] = []
    for inside in (before, after):
        layers += [nn.Conv2d(inside, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
