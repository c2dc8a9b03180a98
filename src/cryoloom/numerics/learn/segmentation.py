"""A light U-Net that tells, pixel by pixel, what does not belong: four levels, the finest of them at half the input's resolution."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 96)
"""Channels of the levels, fine to coarse."""


class Segmenter(nn.Module):
    """U-Net (Ronneberger, Fischer & Brox, 2015) on blocks of 2 × 2 pixels, which becomes one pixel of four channels.

    Parameters
    ----------
    normalised
        With batch normalisation after each convolution, for training; without, the normalisation is in the weights.
    """

    STEP = 16
    """Height and width of what goes in must be multiples of this."""

    def __init__(self, *, normalised: bool = True) -> None:
        super().__init__()
        ins = (4, *WIDTHS[:-1])
        self.down = nn.ModuleList(_pair(before, after, normalised) for before, after in zip(ins, WIDTHS, strict=True))
        self.up = nn.ModuleList(_pair(coarse + fine, fine, normalised) for fine, coarse in zip(WIDTHS[-2::-1], WIDTHS[:0:-1], strict=True))
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits ``(n, 1, h, w)`` of `pixels` ``(n, 1, h, w)``, particles bright, of median 0 and deviation 1."""
        values = functional.pixel_unshuffle(pixels, 2)
        kept = []
        for number, block in enumerate(self.down):
            values = block(values if number == 0 else functional.max_pool2d(values, 2))
            kept.append(values)
        for block, fine in zip(self.up, kept[-2::-1], strict=True):
            values = block(torch.cat([functional.interpolate(values, scale_factor=2, mode="nearest"), fine], dim=1))
        return functional.interpolate(self.last(values), scale_factor=2, mode="bilinear", align_corners=False)

    def probability(self, pixels: Tensor) -> Tensor:
        """Return the probability ``(h, w)`` of not being ice with particles, of one image ``(h, w)``."""
        return torch.sigmoid(self(pixels[None, None]))[0, 0]

    def plain_arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the weights with the normalisation folded into the convolutions, in half precision."""
        arrays: dict[str, Tensor] = {"last.weight": self.last.weight, "last.bias": self.last.bias}
        for path in ("down", "up"):
            for number, block in enumerate(getattr(self, path)):
                for place in (0, 3):
                    convolution, norm = block[place], block[place + 1]
                    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                    arrays[f"{path}.{number}.{place}.weight"] = convolution.weight * scale[:, None, None, None]
                    arrays[f"{path}.{number}.{place}.bias"] = norm.bias - norm.running_mean * scale
        return {name: value.detach().numpy().astype(np.float16) for name, value in arrays.items()}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the network with the weights that `plain_arrays` wrote into the ``.npz`` file `path`, ready to be used."""
        network = cls(normalised=False)
        with np.load(path, allow_pickle=False) as arrays:
            network.load_state_dict({name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files})
        return network.eval()


def _pair(before: int, after: int, normalised: bool) -> nn.Sequential:
    """Return two convolutions of 3 × 3, each followed by its normalisation, or nothing, and a rectifier."""
    layers: list[nn.Module] = []
    for inside in (before, after):
        norm = nn.BatchNorm2d(after) if normalised else nn.Identity()
        layers += [nn.Conv2d(inside, after, 3, padding=1, bias=not normalised), norm, nn.ReLU()]
    return nn.Sequential(*layers)
