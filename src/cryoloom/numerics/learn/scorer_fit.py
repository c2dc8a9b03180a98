"""Fitting the networks of pick.consensus: their loss, their calibration, and learning from what pickers agree on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.scorer import Ensemble

SMOOTHING = 0.02
"""Labels are so far from 0 and 1: pickers share some mistakes."""

BATCH = 96
DOUBTED = 0.05
"""Share of the agreed positions that fit worst half way through, and are left out from there on."""

WITNESSES = 0.1
"""Share of the positions that are not learned from, and calibrate."""


def loss(logits: Tensor, right: Tensor) -> Tensor:
    """Return the cross-entropy of smoothed labels, right and wrong positions weighing the same."""
    weight = torch.where(right > 0.5, 0.5 / right.sum().clamp(min=1.0), 0.5 / (1.0 - right).sum().clamp(min=1.0))
    wanted = right * (1.0 - 2.0 * SMOOTHING) + SMOOTHING
    return (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight).sum()


def calibrate(ensemble: Ensemble, logits: Tensor, right: Tensor) -> None:
    """Set scale and offset of the logits by which their mean over members ``(members, n)``, as calibrated so far, is most likely."""
    values = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([values], max_iter=50)
    mean = logits.mean(dim=0)

    def closure() -> Tensor:
        optimiser.zero_grad()
        wrong = loss(values[0].exp() * mean + values[1], right)
        wrong.backward()
        return wrong

    optimiser.step(closure)
    with torch.no_grad():
        scale, offset = values[0].exp(), values[1]
        ensemble.calibration.copy_(torch.stack([ensemble.calibration[0] * scale, ensemble.calibration[1] * scale + offset]))


def turned(squares: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn and mirror `squares` ``(n, side, side)`` alike about the pixel ``side // 2``; the first row and column wrap around."""
    if rng.random() < 0.5:
        squares = squares.flip(2).roll(1, 2)
    if rng.random() < 0.5:
        squares = squares.flip(1).roll(1, 1)
    return squares.transpose(1, 2) if rng.random() < 0.5 else squares


def tune(ensemble: Ensemble, agreed: Tensor, others: Tensor, *, steps: int, rate: float, seed: int) -> Sequence[float]:
    """Let every member of `ensemble` learn from squares ``(n, side, side)`` that are `agreed` on and from `others`; return the mean losses.

    A tenth of either is not learned from: by it the new logits are calibrated.
    """
    rng = np.random.default_rng(seed)
    kept = [each[torch.from_numpy(rng.permutation(len(each)))].split([int(len(each) * WITNESSES), len(each) - int(len(each) * WITNESSES)])
            for each in (agreed, others)]  # fmt: skip
    losses = np.zeros(steps)
    for number, member in enumerate(ensemble.members):
        right, wrong = kept[0][1], kept[1][1]
        fit = Fit(member, loss, steps=steps, rate=rate, memory=0.98, settled=True)
        for step in range(steps):
            if step == steps // 2:
                right = right[_fitting(fit, right)]
            chosen = [each[torch.from_numpy(rng.integers(len(each), size=BATCH // 2))] for each in (right, wrong)]
            labels = torch.cat([torch.ones(BATCH // 2), torch.zeros(BATCH // 2)])
            losses[step] += fit.step(turned(torch.cat(chosen), rng), labels) / len(ensemble.members)
        ensemble.members[number].load_state_dict(fit.mean.state_dict())
    ensemble.eval()
    with torch.no_grad():
        witnesses = torch.cat([kept[0][0], kept[1][0]])
        labels = torch.cat([torch.ones(len(kept[0][0])), torch.zeros(len(kept[1][0]))])
        calibrate(ensemble, ensemble(witnesses[:, None]), labels)
    return losses.tolist()


@torch.no_grad()
def _fitting(fit: Fit, right: Tensor) -> Tensor:
    """Return which of the agreed positions do not fit worst."""
    logits = torch.cat([fit.mean(part[:, None]) for part in right.split(4 * BATCH)])
    return logits.argsort(stable=True).flip(0)[: len(right) - int(DOUBTED * len(right))].sort().values
