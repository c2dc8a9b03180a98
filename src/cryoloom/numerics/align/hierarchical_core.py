"""The core of a class: members that differ from its average no more, and no otherwise, than members do; and the stable core, who stayed together.

Sorzano et al., "Outlier detection for single particle analysis in electron microscopy", Proc. IWBBIO 2014, p. 950. What a member leaves of its
class average is compared with what the others leave, in three numbers that are each counted in robust standard deviations of the class: how much
of the average it shows (too little of it), how much power is left (too much or too little), and where it lies along the principal axes of
what is left.

A class of forty knows its own deviation to a sixth only, and then three of them are a hundredth of what members do and not a three-hundredth. Deviations
are therefore told as those of a normal distribution that are as rare. The median deviation of n values is as good as the root mean square of
0.37 n (Rousseeuw & Croux, J. Am. Stat. Assoc. 88:1273 (1993), doi:10.1080/01621459.1993.10476408).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.hierarchical_residuals import residuals
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.parallel import blocks, ordered

_FEW = 10
"""Members below which nothing is usual, and all are core."""
_AXES = 2
_EFFICIENCY = 0.37
"""Of the median deviation, at a normal distribution."""


def deviations(task: Task, rows: Tensor, poses: Poses, images: Tensor, match: Tensor, band: int) -> tuple[Tensor, Tensor]:
    """Return how far from usual members are: by amount (of average shown, of residual power) and along principal axes, ``(n,)`` each.

    Parameters
    ----------
    images
        The class averages, ``(K, box, box)``.
    match
        How much of the average of the others each image shows, see `amplitudes`.
    """
    samples = task.frame.sampler.samples(images)[:, :band]
    junk, component = torch.zeros(len(rows)), torch.zeros(len(rows))
    members = [torch.nonzero(poses.label == label)[:, 0] for label in range(len(images))]
    tested = [(label, own) for label, own in enumerate(members) if len(own) >= _FEW]

    def work(cut: slice) -> tuple[Tensor, Tensor]:
        label, own = tested[cut.start]
        power, projections = residuals(task, rows[own], poses.at(own), samples[:, :, label], band, _AXES)
        amount = torch.maximum(_short(match[own].to(torch.float64)), _usual(power).abs())
        along = torch.stack([_usual(axis) for axis in projections.unbind(1)], dim=1)
        return amount.to(torch.float32), along.abs().amax(dim=1).to(torch.float32)

    for (_, own), (amount, along) in zip(tested, ordered(work, blocks(len(tested), 1), task.threads), strict=True):
        junk[own], component[own] = amount, along
    return junk, component


def _short(values: Tensor) -> Tensor:
    """Return how far values fall short of their median, in deviations of those above it, strangers being below, or of all where that is more."""
    away = values - values.median()
    return normal_deviations(-away, torch.maximum(away[away >= 0].median(), away.abs().median()))


def _usual(values: Tensor) -> Tensor:
    """Return values in robust standard deviations from their median."""
    away = values - values.median()
    return normal_deviations(away, away.abs().median())


def normal_deviations(away: Tensor, median: Tensor) -> Tensor:
    """Return what is `away` in deviations of a normal distribution that are as rare, the scale being known from a `median` deviation alone.

    By Wallace's formula for the t distribution (Ann. Math. Stat. 30:1121 (1959)).
    """
    freedom = max(1.0, _EFFICIENCY * (len(away) - 1))
    shrunk = (freedom * torch.log1p((away / (1.4826 * median).clamp(min=1e-12)).square() / freedom)).sqrt()
    return torch.copysign(shrunk * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0), away)


def stable(paths: NDArray[np.int64], tolerance: int) -> NDArray[np.bool_]:
    """Return which images of the last level's cores have a companion that was with them in earlier cores too.

    Parameters
    ----------
    paths
        Class of every image in the core of which it was, a column a level; -1 where it was in none, ``(n, levels)``.
    tolerance
        Levels in which two companions may have been apart. With no more earlier levels than that the core is stable.

    Notes
    -----
    Images of one path are one node, so that nothing is as large as a matrix of all pairs.
    """
    count, levels = paths.shape
    core = paths[:, -1] >= 0
    earlier = levels - 1
    if earlier <= tolerance:
        return core
    out = np.zeros(count, dtype=bool)
    for label in np.unique(paths[core, -1]):
        rows = np.flatnonzero(paths[:, -1] == label)
        path, of_row, members = np.unique(paths[rows, :-1], axis=0, return_inverse=True, return_counts=True)
        of_row = of_row.reshape(-1)
        together = np.zeros((len(path), len(path)), dtype=np.int64)
        for column in path.T:
            together += (column[:, None] == column[None, :]) & (column[:, None] >= 0)
        others = members[None, :] - np.eye(len(path), dtype=np.int64)
        out[rows] = ((together >= earlier - tolerance) & (others > 0)).any(axis=1)[of_row]
    return out
