"""Classes that show the same view twice."""

import numpy as np
import torch
from torch import Tensor

_SETTLED = 0.5  # correlation of its halves from which an average can be compared at all
_SAME = 0.8  # likeness from which two averages show one view
_ROOM = 0.75  # of the largest class: two that hold more together are left


def likeness(halves: Tensor, weight: Tensor) -> Tensor:
    """Return the correlation of what every two averages show, at the best turn, ``(K, K)``: 1 for the same view, whatever noise is in them.

    It is 0 with averages whose own halves hardly agree.

    Parameters
    ----------
    halves
        Polar samples of the averages of the two half sets, complex64 ``(H, R, K, 2)``: half a turn, the other half is conjugate.
    weight
        Of each ring, ``(R,)``.
    """
    circle = torch.cat([halves, halves.conj()])  # (A, R, K, 2)
    turned = torch.fft.fft(circle * weight.sqrt()[:, None, None], dim=0).permute(3, 0, 2, 1)  # (half, A, K, R)
    crossed = torch.fft.ifft(turned[0] @ turned[1].transpose(1, 2).conj(), dim=0).real  # (A, K, K): first half of one, second of the other
    mean = 0.5 * (crossed + torch.roll(crossed.flip(0), 1, 0).transpose(1, 2))
    own, power = mean[0].diagonal(), turned.abs().square().sum(dim=3).mean(dim=1)  # (K,), (half, K)
    settled = own > _SETTLED * torch.sqrt(power[0] * power[1])
    scale = torch.where(settled, own, torch.inf).sqrt()
    return mean.amax(dim=0) / (scale[:, None] * scale)


def doubles(alike: np.ndarray, counts: np.ndarray, most: float) -> list[int]:
    """Return the smaller class of every two that show the same view and hold fewer images together than another class, which has more need of two.

    An eighth of all classes is named at most, the most alike first.

    Parameters
    ----------
    alike
        See `likeness`, ``(K, K)``.
    counts
        Images of each class, ``(K,)``.
    most
        Images of the class that would be divided instead.
    """
    first, second = np.triu_indices(len(counts), 1)
    both = counts[first] + counts[second]
    pairs = np.flatnonzero((alike[first, second] > _SAME) & (both < _ROOM * most))
    named: list[int] = []
    for pair in pairs[np.argsort(-alike[first, second][pairs], kind="stable")]:
        one, other = int(first[pair]), int(second[pair])
        if one not in named and other not in named:
            named.append(one if counts[one] < counts[other] else other)
    return named[: max(1, len(counts) // 8)]
