"""The network of pick.deep: a residual encoder, and a decoder that gives back the places.

For each cell of 4 px it answers whether a particle's centre lies in it, where in the cell, and how large the particle is.

Objects as points (Zhou, Wang & Krähenbühl 2019), so that nothing need be known of the box. Normalisation is by running averages
(batch normalisation): unlike group normalisation, the answer at one place then does not depend on how much of the micrograph is looked at.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from cryoloom.numerics.learn.blocks import Convolution, Fittable, Residual

GRAIN = 24.0
"""Pixels across the particle in the images that it is shown."""

CELL = 4
"""Pixels a side of the cells it answers for."""

WIDTHS = (16, 32, 64, 128)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution."""

RARE = 0.01
"""Confidence that an untrained network has in every cell."""


class Detector(Fittable):
    """Maps levelled images ``(n, 1, h, w)``, sides multiples of 16, to ``(n, 4, h / 4, w / 4)``: see `forward`."""

    def __init__(self) -> None:
        super().__init__()
        fine, low, middle, deep = WIDTHS
        self.stem = Convolution(1, fine, size=5, stride=2)
        self.fine = Residual(fine, fine)
        self.low = nn.Sequential(Residual(fine, low, stride=2), Residual(low, low))
        self.middle = nn.Sequential(Residual(low, middle, stride=2), Residual(middle, middle))
        self.deep = nn.Sequential(Residual(middle, deep, stride=2), Residual(deep, deep))
        self.deep_to_middle = Convolution(deep, middle, size=1)
        self.joined_middle = Convolution(middle, middle)
        self.middle_to_low = Convolution(middle, low, size=1)
        self.joined_low = Convolution(low, low)
        self.head = Convolution(low, low)
        self.answers = nn.Conv2d(low, 4, 1)
        nn.init.zeros_(self.answers.weight)
        self.answers.bias = nn.Parameter(torch.tensor([math.log(RARE / (1.0 - RARE)), 0.0, 0.0, 0.0]))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Return, per cell: logit of the confidence; x and y of the centre from that of the cell, in cells; log diameter over `GRAIN`."""
        return self.answers(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Return what the answers are read from, ``(n, 32, h / 4, w / 4)``."""
        low = self.low(self.fine(self.stem(images)))
        middle = self.middle(low)
        deep = self.deep(middle)
        middle = self.joined_middle(middle + _doubled(self.deep_to_middle(deep)))
        low = self.joined_low(low + _doubled(self.middle_to_low(middle)))
        return self.head(low)

    def encoder(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of what comes before the decoder."""
        for part in (self.stem, self.fine, self.low, self.middle, self.deep):
            yield from part.parameters()

    def confidence(self, logits: Tensor) -> Tensor:
        """Return the probability of a particle that `logits` mean: they were calibrated on particles never trained on."""
        return torch.sigmoid(self.calibration[0] * logits + self.calibration[1])


def _doubled(images: Tensor) -> Tensor:
    return functional.interpolate(images, scale_factor=2, mode="nearest")
