"""Classes that show several views at once."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import crossing

_MIXED = 0.65  # of the ring to which a class of its size resolves: a class that resolves less shows several views
_USUAL = 0.6  # of the images are in classes that show less of the signal than a usual one


def mixed(frc: Tensor, counts: Tensor, hollow: NDArray[np.bool_]) -> list[int]:
    """Return the classes that resolve far less than others with as many images do, the worst first, an eighth of all classes at most.

    Members of one view agree to a ring that grows with their number. Where several views make one average, only what these have in common
    adds up: it lies on the first rings, and draws in whatever has no class of its own.

    Parameters
    ----------
    frc
        Correlation of the half sets of each class at rings 1, 2, …, ``(K, R)``.
    counts
        Images of each class, ``(K,)``.
    hollow
        Classes that show nothing, ``(K,)``: they are neither compared nor named.
    """
    shown = np.flatnonzero(~hollow)
    if not len(shown):
        return []
    half = frc[shown].clamp(0.0, 0.99)
    number = counts[shown, None].clamp(min=1.0)
    usual = _usual(2.0 * half / (1.0 - half) / number, number[:, 0])
    should = crossing(number * usual / (2.0 + number * usual), 0.5)
    reached = torch.where(should > 0, crossing(frc[shown], 0.5) / should, torch.inf)
    worst = torch.argsort(reached, stable=True)[: max(1, len(frc) // 8)]
    return shown[worst[reached[worst] < _MIXED].numpy()].tolist()


def _usual(ratios: Tensor, weight: Tensor) -> Tensor:
    """Return the signal-to-noise ratio of an image of a usual class on each ring ``(R,)``, from those of the classes ``(K, R)``."""
    order = torch.argsort(ratios, dim=0, stable=True)
    held = torch.cumsum(weight[order], dim=0)
    first = (held >= _USUAL * held[-1]).to(torch.int64).argmax(dim=0, keepdim=True)
    return ratios.gather(0, order.gather(0, first))[0]
