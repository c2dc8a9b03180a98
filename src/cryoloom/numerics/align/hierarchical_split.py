"""One class made two: by the median of its members' similarities, then by two averages between which they choose."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.align.hierarchical_assign import assigned
from cryoloom.numerics.align.hierarchical_correntropy import Kernel
from cryoloom.numerics.align.hierarchical_search import Search
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.align.hierarchical_update import Update, updated

STILL = 0.005
"""Part of the images that still change class when a level, or a split, is done."""
_SMALL = 0.1  # of the class: a smaller side is no side
_FEWEST = 8  # images that are not worth a second trial


def split(task: Task, rows: Tensor, poses: Poses, band: int, kernel: Kernel | None, seed: int) -> tuple[Tensor, Update]:
    """Split the class whose members are images `rows`.

    Returns
    -------
    The side of every member, 0 or 1, or -1 of those left out of both; and the two averages with the members' poses.
    """
    first = _median_sides(poses.similarity, seed)
    kept, sides = torch.arange(len(rows)), first
    for _ in range(task.settings.split_trials):
        sides, update = _settled(task, rows[kept], replace(poses.at(kept), label=sides), band, kernel)
        sizes = torch.bincount(sides[sides >= 0], minlength=2)
        if int(sizes.min()) >= max(1.0, _SMALL * len(rows)):
            side = torch.full((len(rows),), -1, dtype=torch.int64)
            side[kept] = sides
            moved = poses.put(kept, update.poses)
            return side, replace(update, poses=replace(moved, label=side))
        larger = kept[sides == int(sizes.argmax())]
        if len(larger) < max(_FEWEST, 2 * _SMALL * len(rows)) or len(larger) == len(kept):
            break
        kept = larger
        sides = _median_sides(poses.similarity[kept], seed)
    return first, updated(task, rows, replace(poses, label=first), 2, band, centre=task.settings.centre)


def _settled(task: Task, rows: Tensor, poses: Poses, band: int, kernel: Kernel | None) -> tuple[Tensor, Update]:
    """Let images choose between two averages until they stay, or one side is as good as empty."""
    update = updated(task, rows, poses, 2, band, centre=task.settings.centre)
    for _ in range(task.settings.iterations):
        before = update.poses
        found = Search(task, update.images, band, everywhere=False, kernel=kernel).candidates(rows, before)
        now = assigned(found, before.label, 2, robust=True, classify_all=task.settings.classify_all)
        update = updated(task, rows, now, 2, band, centre=task.settings.centre)
        changes = float((now.label != before.label).to(torch.float64).mean())
        if changes < STILL or float(update.counts.min()) < _SMALL * len(rows):
            break
    return update.poses.label, update


def _median_sides(similarity: Tensor, seed: int) -> Tensor:
    """Return 0 for the more similar half and 1 for the other; at random where nothing is similar."""
    if not bool((similarity > 0).any()):
        order = torch.from_numpy(np.random.default_rng([seed, len(similarity)]).permutation(len(similarity)))
    else:
        order = torch.argsort(similarity, descending=True, stable=True)
    sides = torch.empty(len(similarity), dtype=torch.int64)
    sides[order] = (torch.arange(len(similarity)) >= (len(similarity) + 1) // 2).to(torch.int64)
    return sides
