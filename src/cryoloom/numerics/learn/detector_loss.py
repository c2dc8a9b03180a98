"""What a detector should have answered, and how wrong it was.

Confidence by the penalty-reduced focal loss (Law & Deng 2018): a cell with a centre should say yes, others no, the less so the nearer
they are to one. Places and sizes are wanted of cells with a centre only.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cryoloom.numerics.learn.detector import CELL, GRAIN

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
