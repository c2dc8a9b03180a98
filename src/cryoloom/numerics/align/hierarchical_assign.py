"""Which of its candidate classes an image goes to: the most similar one, or the one whose members it is like and whose strangers it is not.

In the robust criterion of Sorzano et al. (2010) a similarity c to a class is not compared with similarities to other classes, which differ in
how much signal their averages have, but with what is usual there: ``F_members(c) · F_others(c)``, both cumulative distributions of the
similarities to that class, of the images that are in it and of those that were compared with it and are not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.align.hierarchical_search import Candidates
from cryoloom.numerics.align.hierarchical_task import Poses

_BINS = 200


@dataclass(frozen=True)
class Usual:
    """Cumulative distributions of similarities, one bin more counted in each than was seen.

    Attributes
    ----------
    low, high
        The common range.
    members, others
        ``(K, bins)``.
    """

    low: float
    high: float
    members: Tensor
    others: Tensor

    @staticmethod
    def of(found: Candidates, label: Tensor, classes: int) -> "Usual":
        """Return what is usual for candidates of images whose classes are `label` ``(n,)``."""
        low, high = float(found.similarity.min()), float(found.similarity.max())
        cell = found.label * _BINS + _bins(found.similarity, low, high)
        own = found.label == label[:, None]
        parts = []
        for which in (own, ~own):
            counts = torch.bincount(cell[which], minlength=classes * _BINS).reshape(classes, _BINS) + 1.0
            parts.append(torch.cumsum(counts, dim=1) / counts.sum(dim=1, keepdim=True))
        return Usual(low, high, *parts)

    def score(self, found: Candidates) -> Tensor:
        """Return the robust score of candidates, ``(n, t)``."""
        cell = _bins(found.similarity, self.low, self.high)
        return self.members[found.label, cell] * self.others[found.label, cell]


def assigned(found: Candidates, before: Tensor, classes: int, *, robust: bool, classify_all: bool) -> Poses:
    """Return class and pose of each image, whose classes were `before` ``(n,)``; images that are similar to none have class -1."""
    known = bool((before >= 0).any())
    score = Usual.of(found, before, classes).score(found) if robust and known else found.similarity
    # Of equal scores the most similar; bins are coarse.
    score = torch.where(found.similarity > 0, score.to(torch.float64) + 1e-6 * found.similarity, -1.0)
    poses = found.chosen(score.argmax(dim=1))
    if classify_all:
        return poses
    return Poses(torch.where(poses.similarity > 0, poses.label, -1), poses.angle, poses.flip, poses.place, poses.similarity)


def _bins(similarity: Tensor, low: float, high: float) -> Tensor:
    return ((similarity - low) * (_BINS / max(high - low, 1e-12))).to(torch.int64).clamp(0, _BINS - 1)
