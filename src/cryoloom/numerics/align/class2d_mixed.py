"""Classes that show several views of the particle at once."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import crossing
from cryoloom.numerics.align.class_quality import weighted_quantile

_MIXED = 0.65  # of the ring to which a class of its size resolves: a class that resolves less shows several views
_USUAL = 0.6  # of the images are in classes that show less of the signal than a usual one
_ALIKE = (0.6, 1.7)  # times the usual gain of an image: less or more is no particle, and better kept apart
_ENOUGH = 100  # images in a class, from which its halves tell how far they agree


def of_particles(hollow: NDArray[np.bool_], label: NDArray[np.int64], gain: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the classes whose images gain as much by their averages as most do, ``(K,)``: contaminants of other kinds gain less, or far more.

    Parameters
    ----------
    hollow
        Classes that show nothing, ``(K,)``: none of them.
    label, gain
        Class of each image, and its log-likelihood over that of an empty image, ``(n,)``.
    """
    number = np.bincount(label, minlength=len(hollow))
    mean = np.bincount(label, gain, minlength=len(hollow)) / np.maximum(number, 1)
    shown = gain[~hollow[label]]
    usual = np.median(shown) if len(shown) else 0.0
    return ~hollow & (number > 0) & (mean >= _ALIKE[0] * usual) & (mean <= _ALIKE[1] * usual)


def mixed(frc: Tensor, counts: Tensor, compared: NDArray[np.bool_]) -> list[int]:
    """Return the classes that resolve far less than others with as many images do, the worst first, an eighth of all classes at most.

    Members of one view agree to a ring that grows with their number. Where several views make one average, only what these have in common
    adds up: it lies on the first rings, and draws in whatever has no class of its own.

    Parameters
    ----------
    frc
        Correlation of the half sets of each class at rings 1, 2, …, ``(K, R)``.
    counts
        Images of each class, ``(K,)``.
    compared
        Classes of particles, ``(K,)``: the others are neither compared nor named.
    """
    shown = np.flatnonzero(compared & (counts.numpy() >= _ENOUGH))
    if not len(shown):
        return []
    half = frc[shown].clamp(0.0, 0.99)
    number = counts[shown, None]
    of_one = 2.0 * half / (1.0 - half) / number
    usual = torch.tensor([weighted_quantile(ring, number[:, 0].numpy(), _USUAL) for ring in of_one.t().numpy()])
    should = crossing(number * usual / (2.0 + number * usual), 0.5)
    reached = torch.where(should > 0, crossing(frc[shown], 0.5) / should, torch.inf)
    worst = torch.argsort(reached, stable=True)[: max(1, len(frc) // 8)]
    return shown[worst[reached[worst] < _MIXED].numpy()].tolist()
