"""Fitting a detector: what it should have answered, how wrong it was, and small steps to do better.

Confidence by the penalty-reduced focal loss (Law & Deng 2018): a cell with a centre should say yes, others no, the less so the nearer
they are to one. Places and sizes are wanted of cells with a centre only.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cryoloom.numerics.learn.detector import CELL, GRAIN, Detector

FOCUS, NEAR = 2.0, 4.0
"""Exponents of the focal loss: of the confidence, and of the penalty's reduction near a centre."""

BLUR = 0.15
"""Standard deviation, in diameters, of the reduction about a centre."""

PLACES, SIZES = 1.0, 0.3
"""Weights of the errors of place and size beside that of the confidence."""


@dataclass(frozen=True)
class Targets:
    """What cells should answer.

    Attributes
    ----------
    heat
        ``(n, h, w)`` in cells: 1 where a centre lies, falling off around it.
    cells
        ``(m, 3)`` int64: image, row, column of the cells with centres.
    answers
        ``(m, 3)``: x and y from the cell's centre, in cells, and log diameter over `GRAIN`.
    weight
        ``(n, h, w)``: 0 where neither yes nor no is right.
    """

    heat: Tensor
    cells: Tensor
    answers: Tensor
    weight: Tensor


def targets(places: Tensor, ignored: Tensor) -> Targets:
    """Turn the truth of images into that of cells.

    Parameters
    ----------
    places
        ``(m, 4)``: image, x, y, diameter, px; those outside the images are dropped.
    ignored
        ``(n, h, w)`` bool.
    """
    count, height, width = ignored.shape[0], ignored.shape[1] // CELL, ignored.shape[2] // CELL
    weight = 1.0 - functional.max_pool2d(ignored[:, None].float(), CELL)[:, 0]
    # The centre of cell 0 is at 1.5 px.
    x, y = (places[:, 1] - 0.5 * (CELL - 1)) / CELL, (places[:, 2] - 0.5 * (CELL - 1)) / CELL
    columns, rows = x.round().long(), y.round().long()
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    places, x, y, columns, rows = (values[inside] for values in (places, x, y, columns, rows))
    image = places[:, 0].long()
    heat = torch.zeros(count, height, width)
    sigma = BLUR * places[:, 3] / CELL
    reach = max(2, math.ceil(3.0 * float(sigma.max()))) if len(sigma) else 0
    axis = torch.arange(-reach, reach + 1)
    near_rows, near_columns = rows[:, None, None] + axis[:, None], columns[:, None, None] + axis[None, :]
    squared = (near_rows - y[:, None, None]) ** 2 + (near_columns - x[:, None, None]) ** 2
    bumps = torch.exp(-0.5 * squared / sigma[:, None, None] ** 2)
    near_rows, near_columns, whose = (values.expand(bumps.shape) for values in (near_rows, near_columns, image[:, None, None]))
    within = (near_rows >= 0) & (near_rows < height) & (near_columns >= 0) & (near_columns < width)
    flat = ((whose * height + near_rows) * width + near_columns)[within]
    heat.view(-1).scatter_reduce_(0, flat, bumps[within].to(heat.dtype), "amax")
    heat[image, rows, columns] = 1.0
    answers = torch.stack([x - columns, y - rows, torch.log(places[:, 3] / GRAIN)], dim=1)
    return Targets(heat, torch.stack([image, rows, columns], dim=1), answers.float(), weight)


def loss(answers: Tensor, wanted: Targets) -> Tensor:
    """Return how wrong `answers` ``(n, 4, h, w)`` are, per centre wanted."""
    logits = answers[:, 0].float()
    confidence = torch.sigmoid(logits)
    centre = wanted.heat == 1.0
    hit = functional.logsigmoid(logits) * (1.0 - confidence) ** FOCUS
    miss = functional.logsigmoid(-logits) * confidence**FOCUS * (1.0 - wanted.heat) ** NEAR
    total = -(torch.where(centre, hit, miss) * wanted.weight).sum()
    image, rows, columns = wanted.cells.T
    given = answers[image, 1:, rows, columns].float()
    errors = (given - wanted.answers).abs().sum(dim=0)
    total = total + PLACES * (errors[0] + errors[1]) + SIZES * errors[2]
    return total / max(1, len(wanted.cells))


class Fit:
    """A detector under training: AdamW, a rate that rises quickly and falls as a cosine, and the running mean of the weights.

    Parameters
    ----------
    rate
        The highest learning rate.
    memory
        Share of the running mean that a step leaves.
    settled
        The network knows its trade: averages of the normalisation stay, and for the first third of the steps the encoder does, too.
    coarse
        Convolutions in bfloat16: twice as fast on processors that have it.
    """

    def __init__(
        self, network: Detector, *, steps: int, rate: float, memory: float = 0.998, settled: bool = False, coarse: bool = False
    ) -> None:
        self.network, self.steps, self.rate, self.memory, self.settled = network, steps, rate, memory, settled
        self.mean = copy.deepcopy(network).requires_grad_(False).eval()
        kernels = [values for values in network.parameters() if values.ndim == 4]
        others = [values for values in network.parameters() if values.ndim != 4]
        self.optimiser = torch.optim.AdamW([{"params": kernels, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}], lr=rate)
        self.taken, self.coarse = 0, coarse

    def step(self, images: Tensor, wanted: Targets) -> float:
        """Take one step on levelled `images` ``(n, h, w)``; return the loss before it."""
        self.network.train(not self.settled)
        for values in self.network.encoder():
            values.requires_grad_(not (self.settled and self.taken < self.steps / 3))
        rise = min(1.0, (self.taken + 1) / max(1.0, 0.05 * self.steps))
        rate = self.rate * rise * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.taken / self.steps))))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.coarse):
            answers = self.network(images[:, None].contiguous(memory_format=torch.channels_last))
        wrong = loss(answers, wanted)
        wrong.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self._remember()
        return float(wrong.detach())

    @torch.no_grad()
    def _remember(self) -> None:
        self.taken += 1
        memory = min(self.memory, (1.0 + self.taken) / (10.0 + self.taken))
        now = self.network.state_dict()
        for name, mean in self.mean.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1.0 - memory)
            else:
                mean.copy_(now[name])
