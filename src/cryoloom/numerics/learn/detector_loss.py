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

IGNORED, CONTAMINANT = 1, 2
"""Ground where neither yes nor no is right, and ground that is neither ice nor particle; 0 is all other ground."""

TEMPTING = 6.0
"""Weight of a cell that lies on a contaminant: few do, and no others look as much like particles."""


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
        ``(n, h, w)``: 0 where neither yes nor no is right, `TEMPTING` on contaminants, 1 elsewhere.
    """

    heat: Tensor
    cells: Tensor
    answers: Tensor
    weight: Tensor


def targets(places: Tensor, ground: Tensor) -> Targets:
    """Turn the truth of images into that of cells.

    Parameters
    ----------
    places
        ``(m, 4)``: image, x, y, diameter, px; those outside the images are dropped.
    ground
        ``(n, h, w)`` uint8: 0, `IGNORED` or `CONTAMINANT`.
    """
    count, height, width = ground.shape[0], ground.shape[1] // CELL, ground.shape[2] // CELL
    covered = functional.avg_pool2d((ground == CONTAMINANT)[:, None].float(), CELL)[:, 0] == 1.0
    counts = functional.max_pool2d((ground == IGNORED)[:, None].float(), CELL)[:, 0] == 0.0
    weight = torch.where(covered, TEMPTING, 1.0) * counts
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
