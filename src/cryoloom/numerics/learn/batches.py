"""Batches for fitting a detector: random crops of images whose particles are known, each made to differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.learn.augment import crop_and_turn, vary
from cryoloom.numerics.learn.detector import GRAIN
from cryoloom.numerics.learn.detector_loss import Targets, targets
from cryoloom.numerics.learn.levelling import level

RIM = 16
"""Pixels cut off around a crop after filters that wrap around."""


@dataclass(frozen=True)
class Example:
    """One image to learn from.

    Attributes
    ----------
    image
        ``(h, w)`` levelled.
    ground
        ``(h, w)`` uint8, what lies here: see `detector_loss.IGNORED`.
    places
        ``(m, 3)`` float32: x, y and diameter of all other particles, px.
    """

    image: Tensor
    ground: Tensor
    places: Tensor


class Batches:
    """Random batches of `size` crops of `examples`, a multiple of 16 px a side: `next` gives the same sequence for a seed."""

    def __init__(self, examples: Sequence[Example], size: int, seed: int, *, crop: int = 160) -> None:
        self.examples, self.size, self.rng = examples, size, np.random.default_rng(seed)
        side = min(min(example.image.shape) for example in examples)
        self.crop = max(16, min(crop, (side - 2 * RIM) // 16 * 16))

    def next(self) -> tuple[Tensor, Targets]:
        """Return levelled images ``(size, crop, crop)`` and what they should be answered."""
        images, ground, places = [], [], []
        for index in range(self.size):
            chosen = self.examples[int(self.rng.integers(len(self.examples)))]
            image, below, truth = crop_and_turn(chosen.image, chosen.ground, chosen.places, self.crop + 2 * RIM, self.rng)
            images.append(image)
            ground.append(below)
            places.append(torch.cat([torch.full((len(truth), 1), float(index)), truth - torch.tensor([RIM, RIM, 0.0])], dim=1))
        varied = level(vary(torch.stack(images), self.rng), GRAIN)
        inner = slice(RIM, RIM + self.crop)
        return varied[:, inner, inner], targets(torch.cat(places).float(), torch.stack(ground)[:, inner, inner])
