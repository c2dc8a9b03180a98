"""Hierarchical classification in two dimensions (CL2D): few classes first, split as they settle.

Sorzano et al., J. Struct. Biol. 171:197 (2010), doi:10.1016/j.jsb.2010.03.011. Many averages at once let the ones with more signal swallow the
others' images. Here a level begins with the classes of the last, the largest split in two until there are twice as many; images then choose
among them until they stay; a class that stays small gives its place to one half of the largest. The state is a flat dictionary of arrays and
numbers: the same state gives the same next state, whatever the number of threads.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_schedule import next_band, supported_ring
from cryoloom.numerics.align.hierarchical_assign import assigned
from cryoloom.numerics.align.hierarchical_correntropy import Kernel
from cryoloom.numerics.align.hierarchical_search import Search
from cryoloom.numerics.align.hierarchical_split import STILL, split
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.align.hierarchical_update import updated

State = dict[str, Any]

_QUARTER = 0.25  # of the largest class: only smaller ones are given up


def level_sizes(initial: int, classes: int) -> list[int]:
    """Return the number of classes of each level."""
    sizes = [initial]
    while sizes[-1] < classes:
        sizes.append(min(2 * sizes[-1], classes))
    return sizes


def steps(task: Task) -> int:
    """Return the most steps there can be."""
    levels = len(level_sizes(task.settings.initial_classes, task.settings.classes))
    return levels * task.settings.iterations + levels - 1 + task.settings.correntropy


@dataclass(frozen=True)
class _Now:
    """Poses of all images; averages ``(K, box, box)``, what they hold of a member ``(R, K)``, and how many they have ``(K,)``."""

    poses: Poses
    images: Tensor
    held: Tensor
    counts: Tensor

    def one_more(self) -> "_Now":
        """Return them with an empty class."""
        pad = torch.nn.functional.pad
        return _Now(self.poses, pad(self.images, (0, 0, 0, 0, 0, 1)), pad(self.held, (0, 1)), pad(self.counts, (0, 1)))

    def stored(self) -> State:
        """Return arrays by name for a state."""
        return {"images": self.images.numpy(), "held": self.held.numpy(), **self.poses.stored()}


def begin(task: Task, references: Tensor | None = None) -> State:
    """Return the state before the first step: images dealt out to the first classes in turn, or `references` ``(Q, box, box)`` to choose from."""
    settings, rows = task.settings, usable_rows(task)
    label = torch.full((task.count,), -1, dtype=torch.int64)
    band = min(settings.start_band, task.layout.rings)
    if references is None:
        order = np.random.default_rng([task.seed, 1]).permutation(len(rows))
        label[rows[torch.from_numpy(order)]] = torch.arange(len(rows)) % settings.initial_classes
        update = updated(task, rows, Poses.none(label[rows]), settings.initial_classes, band, centre=settings.centre)
        images, held = update.images, update.held
    else:
        images, held = task.frame.masked(references), torch.zeros((task.layout.rings, len(references)))
    kernel = Kernel.of(task.pixels[rows], task.frame.radius) if settings.correntropy and task.pixels is not None else None
    return {
        "step": 0, "level": 0, "iteration": 0, "growing": False, "judging": False, "finished": False, "band": band, "images": images.numpy(),
        "held": held.numpy(), "kernel": 0.0 if kernel is None else kernel.sigma, "history": [], **Poses.none(label).stored(),
    }  # fmt: skip


def advance(task: Task, state: State) -> State:
    """Return the state after one more step: a round of assignments, or the splits that begin a level."""
    return _grown(task, state) if state["growing"] else _assigned(task, state)


def usable_rows(task: Task) -> Tensor:
    """Return the images that hold something."""
    return torch.nonzero(task.observations.usable)[:, 0]


def _assigned(task: Task, state: State) -> State:
    settings, rows, number = task.settings, usable_rows(task), state["iteration"]
    before, classes = Poses.of(state), len(state["images"])
    kernel = Kernel(state["kernel"], task.frame.radius) if state["judging"] else None
    images, held = (torch.from_numpy(state[name]) for name in ("images", "held"))
    search = Search(task, images, state["band"], everywhere=number == 0, held=held, kernel=kernel)
    found = search.candidates(rows, before.at(rows))
    chosen = assigned(found, before.label[rows], classes, robust=settings.robust, classify_all=settings.classify_all)
    update = updated(task, rows, chosen, classes, state["band"], centre=settings.centre)
    changes = float((chosen.label != before.label[rows]).to(torch.float64).mean())
    now = _Now(before.put(rows, update.poses), update.images, update.held, update.counts)
    ring = supported_ring(update.found.frc, now.counts)
    given_up = 0
    while (small := _given_up(task, now.counts, len(rows))) is not None and given_up < classes:
        now = _replaced(task, state, now, small)
        given_up += 1
    last = number > 0 and changes < STILL or number + 1 >= settings.iterations
    complete = classes >= settings.classes
    # The rounds go by the correlation with images whose strays are drawn in, which is correntropy's first order; the last one by correntropy itself.
    judged = state["judging"] or not settings.correntropy
    record = {
        "level": state["level"], "classes": classes, "similarity": float(chosen.similarity.mean(dtype=torch.float64)), "changes": changes,
        "band": state["band"], "ring": ring, "smallest": float(now.counts.min()), "largest": float(now.counts.max()), "given_up": given_up,
    }  # fmt: skip
    new = {
        **state,
        "step": state["step"] + 1,
        "iteration": number + 1,
        "growing": last and not complete,
        "judging": last and complete and not judged,
        "finished": last and complete and judged,
        "band": next_band(state["band"], ring, settings.start_band, task.layout.rings),
        "history": [*state["history"], record],
        **now.stored(),
    }
    if last:
        new |= now.poses.stored(f"level{state['level']}_") | {f"level{state['level']}_band": state["band"]}
    return new


def _grown(task: Task, state: State) -> State:
    """Split the largest class, one after the other, until the next level's number is there."""
    classes = len(state["images"])
    wanted = min(2 * classes, task.settings.classes)
    poses = Poses.of(state)
    counts = torch.bincount(poses.label[poses.label >= 0], minlength=classes).to(torch.float32)
    now = _Now(poses, torch.from_numpy(state["images"]), torch.from_numpy(state["held"]), counts)
    while len(now.counts) < wanted:
        now = _halved(task, state, now.one_more(), len(now.counts))
    return {**state, "step": state["step"] + 1, "level": state["level"] + 1, "iteration": 0, "growing": False, **now.stored()}


def _given_up(task: Task, counts: Tensor, images: int) -> int | None:
    """Return the class that is too small to keep, or None."""
    if len(counts) < 2:
        return None
    small = int(counts.argmin())
    if counts[small] < task.settings.least_size * images / len(counts) and counts[small] < _QUARTER * counts.max() and counts.max() >= 4:
        return small
    return None


def _replaced(task: Task, state: State, now: _Now, small: int) -> _Now:
    """Leave the members of a class without one, and give its place to a half of the largest."""
    poses = replace(now.poses, label=torch.where(now.poses.label == small, -1, now.poses.label))
    return _halved(task, state, replace(now, poses=poses), small)


def _halved(task: Task, state: State, now: _Now, place: int) -> _Now:
    """Split the largest class; its second half becomes class `place`."""
    largest = int(now.counts.argmax())
    rows = torch.nonzero(now.poses.label == largest)[:, 0]
    side, update = split(task, rows, now.poses.at(rows), state["band"], task.seed)
    label = torch.where(side == 0, largest, torch.where(side == 1, place, -1))
    images, held, counts = now.images.clone(), now.held.clone(), now.counts.clone()
    both = [largest, place]
    images[both], held[:, both] = update.images, update.held
    counts[largest], counts[place] = float((side == 0).sum()), float((side == 1).sum())
    return _Now(now.poses.put(rows, replace(update.poses, label=label)), images, held, counts)
