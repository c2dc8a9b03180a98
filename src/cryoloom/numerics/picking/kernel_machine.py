"""A classifier with Gaussian kernels that learns in one solution of linear equations, and knows how it does on what it has not seen.

The least-squares support vector machine (Suykens & Vandewalle 1999, doi:10.1023/A:1018628609742): the margin of an SVM with its penalty `C`
and kernel width `gamma`, its hinge replaced by squares. What it would say of each example had it been left out follows in closed form (Cawley
2006, doi:10.1109/IJCNN.2006.246634), which chooses `C` and makes probabilities of margins (Platt 1999).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]

PENALTIES = (1.0, 8.0, 64.0)
STEPS = 50


@dataclass(frozen=True)
class KernelMachine:
    """A trained classifier.

    Attributes
    ----------
    centre, spread
        ``(d,)`` by which features are standardised.
    vectors, weights
        ``(n, d)`` standardised examples and ``(n,)`` what each adds to the margin.
    bias
        Of the margin.
    gamma, penalty
        Of the kernel ``exp(-gamma |a - b|²)``, and `C`.
    slope, offset
        Of the probability ``1 / (1 + exp(-slope · margin - offset))``.
    left_out
        ``(n,)`` the margin of each example by all the others.
    """

    centre: Array
    spread: Array
    vectors: Array
    weights: Array
    bias: float
    gamma: float
    penalty: float
    slope: float
    offset: float
    left_out: Array

    @classmethod
    def trained(cls, features: Array, positive: NDArray[np.bool_], share: Array) -> "KernelMachine":
        """Learn from examples.

        Parameters
        ----------
        features
            ``(n, d)``.
        positive
            ``(n,)``; both kinds must be there.
        share
            ``(n,)`` how many places of the micrographs each example stands for: probabilities are those of the places.
        """
        centre, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        vectors = (features - centre) / spread
        gamma = 1.0 / features.shape[1]
        kernel = _kernel(vectors, vectors, gamma)
        target = np.where(positive, 1.0, -1.0)
        best: tuple[float, KernelMachine] | None = None
        for penalty in PENALTIES:
            weights, bias, left_out = _solved(kernel, target, penalty)
            slope, offset = _calibrated(left_out, positive, share)
            machine = cls(centre, spread, vectors, weights, bias, gamma, penalty, slope, offset, left_out)
            score = _best_f1(left_out, positive, share)
            if best is None or score > best[0] + 1e-3:
                best = (score, machine)
        assert best is not None
        return best[1]

    def margins(self, features: Array) -> Array:
        """Return the margins ``(n,)`` of `features` ``(n, d)``: above 0 on the side of the positives."""
        return _kernel((features - self.centre) / self.spread, self.vectors, self.gamma) @ self.weights + self.bias

    def probabilities(self, margins: Array) -> Array:
        """Return the probability that goes with each margin."""
        return 1.0 / (1.0 + np.exp(-np.clip(self.slope * margins + self.offset, -50.0, 50.0)))


def _kernel(one: Array, two: Array, gamma: float) -> Array:
    distance = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1)[None, :] - 2.0 * one @ two.T
    return np.exp(-gamma * np.maximum(distance, 0.0))


def _solved(kernel: Array, target: Array, penalty: float) -> tuple[Array, float, Array]:
    """Return the weights and the bias of the machine, and the margin of each example when it is left out."""
    system = torch.from_numpy(kernel + np.eye(len(kernel)) / penalty)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(system)).numpy()
    ones = inverse.sum(axis=1)
    total = ones.sum()
    bias = float(ones @ target / total)
    weights = inverse @ (target - bias)
    # The diagonal of the inverse of the system that holds the bias, too.
    diagonal = inverse.diagonal() - ones**2 / total
    return weights, bias, target - weights / diagonal


def _calibrated(margin: Array, positive: NDArray[np.bool_], share: Array) -> tuple[float, float]:
    """Return slope and offset of the logistic curve that fits `margin` best, by Newton's method; targets are smoothed as Platt's are."""
    count = np.array([share[~positive].sum(), share[positive].sum()])
    target = np.where(positive, (count[1] + 1.0) / (count[1] + 2.0), 1.0 / (count[0] + 2.0))
    slope, offset = 1.0, float(np.log((count[1] + 1.0) / (count[0] + 1.0)))
    rows = np.stack([margin, np.ones_like(margin)])
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(slope * margin + offset, -50.0, 50.0)))
        gradient = rows @ (share * (chance - target))
        curvature = (rows * (share * chance * (1.0 - chance))) @ rows.T + 1e-9 * np.eye(2)
        change = np.linalg.solve(curvature, gradient)
        size = np.abs(change).max()
        change *= min(1.0, 2.0 / max(size, 1e-12))
        slope, offset = slope - change[0], offset - change[1]
        if size < 1e-9:
            break
    return max(float(slope), 1e-3), float(offset)


def precision_recall(score: Array, positive: NDArray[np.bool_], share: Array) -> tuple[Array, Array, Array]:
    """Return thresholds, falling, with precision and recall at each, examples counted by `share`."""
    order = np.argsort(-score, kind="stable")
    hits, all_ = np.cumsum((share * positive)[order]), np.cumsum(share[order])
    return score[order], hits / np.maximum(all_, 1e-12), hits / max(hits[-1], 1e-12)


def _best_f1(score: Array, positive: NDArray[np.bool_], share: Array) -> float:
    _, precision, recall = precision_recall(score, positive, share)
    return float((2.0 * precision * recall / np.maximum(precision + recall, 1e-12)).max())
