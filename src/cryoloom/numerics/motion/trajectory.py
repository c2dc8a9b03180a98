"""Smoothing of trajectories: a Gaussian-process prior on velocities whose form and size the data choose by their evidence.

Frames move fast at first and slower later, more or less smoothly: velocities between frames have a standard deviation, a memory of some
frames (rough or smooth), and perhaps an early burst. Of all these the combination is taken under which the measured displacements
are most probable, so a jump stays a jump and noise does not stay.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

MEMORIES = (0.7, 1.5, 3.0, 6.0, 12.0, 30.0, 100.0)  # frames
BURSTS = (0.0, 2.0, 8.0)  # velocity of the first frames over that of the others, less one
BURST_FRAMES = 2.0
SIZES = torch.logspace(-3.5, 1.5, 26, dtype=torch.float64)  # px per frame


@dataclass(frozen=True)
class Smoothed:
    """Trajectories given the measurements.

    Attributes
    ----------
    motion
        Displacement of each frame, zero for the first, ``(k, n, 2)``.
    evidence
        Log of the probability of the measurements over that without any motion, ``(k,)``.
    gain
        The part of it that is the better fit; the rest is what the freedom to fit costs, ``(k,)``.
    spread
        Standard deviation of the displacements of a frame about the truth, the mean over frames removed, ``(k, n)`` px per axis.
    """

    motion: Tensor
    evidence: Tensor
    gain: Tensor
    spread: Tensor


@cache
def priors(frames: int) -> Tensor:
    """Return the candidate covariances of displacements, each of unit mean velocity, float64 ``(candidates, n, n)``."""
    steps = torch.arange(frames - 1, dtype=torch.float64)
    lags = (steps[:, None] - steps[None, :]).abs()
    add = torch.tril(torch.ones(frames, frames - 1, dtype=torch.float64), diagonal=-1)
    found = []
    for memory in MEMORIES:
        scaled = lags / memory
        root = 5**0.5 * scaled
        for correlation in (torch.exp(-scaled), (1 + root + root * root / 3) * torch.exp(-root)):
            for burst in BURSTS:
                size = 1 + burst * torch.exp(-steps / BURST_FRAMES)
                size = size / size.square().mean().sqrt()
                found.append(add @ (size[:, None] * correlation * size[None, :]) @ add.T)
    return torch.stack(found)


def smooth(information: Tensor, curvature: Tensor) -> Smoothed:
    """Return the most probable trajectories; those given together share the form of the prior, each has its own size.

    Parameters
    ----------
    information
        ``curvature @ measured displacements``, ``(k, n, 2)``.
    curvature
        Precision matrix of the measurements of one axis, ``(n, n)``; the mean displacement is not measured.
    """
    kinds = len(information)
    values, vectors = torch.linalg.eigh(curvature)
    known = values > 1e-9 * values.max().clamp_min(1e-12)
    root = values[known].sqrt()
    data = (vectors[:, known].T @ information) / root[:, None]
    observe = root[:, None] * vectors[:, known].T
    frames = observe.shape[1]
    if frames < 2 or not bool(known.any()):
        nothing = torch.zeros(kinds, dtype=torch.float64)
        return Smoothed(nothing[:, None, None].expand(-1, frames, 2), nothing, nothing, nothing[:, None].expand(-1, frames))
    prior = priors(frames)
    inner = observe @ prior @ observe.T
    size, turn = torch.linalg.eigh(0.5 * (inner + inner.mT))
    seen = (turn.mT[:, None] @ data).square().sum(-1)
    grown = SIZES.square()[None, None, :, None] * size.clamp_min(0)[:, None, None, :]
    fit = 0.5 * (seen[:, :, None, :] * grown / (1 + grown)).sum(-1)
    evidence = fit - torch.log1p(grown).sum(-1)
    form = int(evidence.amax(-1).sum(-1).argmax())
    best = evidence[form].argmax(-1)
    centre = torch.eye(frames, dtype=torch.float64) - 1.0 / frames
    motion = torch.empty(kinds, frames, 2, dtype=torch.float64)
    spread = torch.empty(kinds, frames, dtype=torch.float64)
    gain = torch.empty(kinds, dtype=torch.float64)
    for k in range(kinds):
        covariance = SIZES[best[k]] ** 2 * prior[form]
        weighted = covariance @ observe.T
        solve = torch.linalg.inv(torch.eye(len(root), dtype=torch.float64) + observe @ weighted)
        motion[k] = weighted @ (solve @ data[k])
        shown = observe @ motion[k]
        gain[k] = (data[k] * shown).sum() - 0.5 * shown.square().sum()
        spread[k] = (centre @ (covariance - weighted @ solve @ weighted.T) @ centre).diagonal().clamp_min(0).sqrt()
    return Smoothed(motion - motion[:, :1], evidence[form].gather(-1, best[:, None])[:, 0], gain, spread)
