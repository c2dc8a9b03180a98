"""How exactly an image of each class can be turned and centred: the curvature of its likelihood at the average."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_poses import turned
from cryoloom.numerics.align.class2d_schedule import State, Task
from cryoloom.numerics.align.class_accuracy import ODDS, UNKNOWN, WORST_SHIFT, WORST_TURN

_STEP = np.deg2rad(0.5)  # over which the slope of an average is taken


def accuracies(task: Task, state: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the error of the in-plane angle (degrees) and of a shift along one axis (px) at odds of a hundred to one, ``(K,)`` each.

    Averages count as exact, and other parameters as known, as in RELION; `UNKNOWN` for classes without images.
    """
    layout, classes = task.frame.sampler.layout, task.settings.classes
    samples = task.frame.sampler.samples(torch.from_numpy(state["images"]))
    arrays = layout.analyse(samples, layout.rings)
    ahead, behind = (
        layout.synthesise(turned(layout, arrays, torch.full((classes,), angle), layout.rings), layout.rings) for angle in (_STEP, -_STEP)
    )
    slope = ((ahead - behind) / (2 * _STEP)).abs().square().mean(dim=0)  # (R, K)
    ring = torch.arange(1, layout.rings + 1)
    # Of a ring, half the square of the frequency lies along either axis.
    moved = samples.abs().square().mean(dim=0) * (0.5 * (2 * torch.pi * ring / layout.box) ** 2)[:, None]
    weight = _precision(task, state)
    turn, shift = (1.0 / np.sqrt(np.maximum((weight * values).sum(dim=0).numpy(), 1e-12)) for values in (slope, moved))
    empty = np.bincount(state["labels"], minlength=classes) == 0
    rotations, shifts = np.minimum(ODDS * np.rad2deg(turn), WORST_TURN), np.minimum(ODDS * shift, WORST_SHIFT)
    return np.where(empty, UNKNOWN, rotations), np.where(empty, UNKNOWN, shifts)


def _precision(task: Task, state: State) -> Tensor:
    """Return the mean of ``area · C² / σ²`` over the images of each class, ``(R, K)``."""
    areas, noise = task.frame.sampler.layout.areas, torch.from_numpy(state["noise"])
    each = task.observations.squares(torch.arange(task.count)) * (areas / noise)[task.group]
    labels = torch.from_numpy(state["labels"])
    total = torch.zeros((task.settings.classes, each.shape[1])).index_add_(0, labels, each)
    return (total / torch.bincount(labels, minlength=task.settings.classes).clamp(min=1)[:, None]).t()
