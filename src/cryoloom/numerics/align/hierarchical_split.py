"""One class made two: along the axis in which its members differ most, then by two averages between which they choose.

The published method begins with the median of similarities instead. Where a class holds two views, both are as similar to the mixed average, and
halves of each are found again in both halves; the first principal component tells them apart (docs/decisions/0038).
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.align.hierarchical_assign import assigned
from cryoloom.numerics.align.hierarchical_residuals import residuals
from cryoloom.numerics.align.hierarchical_search import Search
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.align.hierarchical_update import Update, updated

STILL = 0.005
"""Part of the images that still change class when a level, or a split, is done."""
_SMALL = 0.1  # of the class: a smaller side is no side
_FEWEST = 8  # images that are not worth a second trial
_LEAST_HEAP = 0.2  # of a class: what one side begins with, at least


def split(task: Task, rows: Tensor, poses: Poses, band: int, seed: int) -> tuple[Tensor, Update]:
    """Split the class whose members are images `rows`.

    Returns
    -------
    The side of every member, 0 or 1, or -1 of those left out of both; and the two averages with the members' poses.
    """
    sides = first = _sides(task, rows, poses, band, seed)
    kept = torch.arange(len(rows))
    for _ in range(task.settings.split_trials):
        sides, update = _settled(task, rows[kept], replace(poses.at(kept), label=sides), band)
        sizes = torch.bincount(sides[sides >= 0], minlength=2)
        if int(sizes.min()) >= max(1.0, _SMALL * len(rows)):
            side = torch.full((len(rows),), -1, dtype=torch.int64)
            side[kept] = sides
            return side, replace(update, poses=replace(poses.put(kept, update.poses), label=side))
        larger = kept[sides == int(sizes.argmax())]
        if len(larger) < max(_FEWEST, 2 * _SMALL * len(rows)) or len(larger) == len(kept):
            break
        kept = larger
        sides = _sides(task, rows[kept], poses.at(kept), band, seed)
    return first, updated(task, rows, replace(poses, label=first), 2, band, centre=task.settings.centre)


def _settled(task: Task, rows: Tensor, poses: Poses, band: int) -> tuple[Tensor, Update]:
    """Let images choose between two averages until they stay, or one side is as good as empty."""
    update = updated(task, rows, poses, 2, band, centre=task.settings.centre)
    for _ in range(task.settings.iterations):
        before = update.poses
        found = Search(task, update.images, band, everywhere=False, held=update.held).candidates(rows, before)
        now = assigned(found, before.label, 2, robust=True, classify_all=task.settings.classify_all)
        update = updated(task, rows, now, 2, band, centre=task.settings.centre)
        changes = float((now.label != before.label).to(torch.float64).mean())
        if changes < STILL or float(update.counts.min()) < _SMALL * len(rows):
            break
    return update.poses.label, update


def _sides(task: Task, rows: Tensor, poses: Poses, band: int, seed: int) -> Tensor:
    """Return 0 or 1 for each member; at random where nothing is similar, or there is too little to compare."""
    if not bool((poses.similarity > 0).any()) or len(rows) < _FEWEST:
        order = torch.from_numpy(np.random.default_rng([seed, len(rows)]).permutation(len(rows)))
        return (torch.argsort(order) % 2).to(torch.int64)
    one = replace(poses, label=torch.zeros(len(rows), dtype=torch.int64))
    average = task.frame.sampler.samples(updated(task, rows, one, 1, band, centre=False).images)[:, :band, 0]
    _, component = residuals(task, rows, one, average, band, 1)
    return _two_heaps(component[:, -1])


def _two_heaps(values: Tensor) -> Tensor:
    """Return the side, 0 or 1, of numbers ``(n,)`` cut where the two parts differ most (Otsu), neither less than a fifth of all."""
    count = len(values)
    ranked, order = values.sort(stable=True)
    below = torch.arange(1, count, dtype=torch.float64)
    sums = ranked.cumsum(0)[:-1]
    between = (sums / below - (ranked.sum() - sums) / (count - below)).square() * below * (count - below)
    least = max(1, int(_LEAST_HEAP * count))
    cut = least + int(between[least - 1 : count - least].argmax())
    sides = torch.zeros(count, dtype=torch.int64)
    sides[order[cut:]] = 1
    return sides
