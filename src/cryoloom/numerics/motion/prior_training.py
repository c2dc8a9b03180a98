"""Parameters of the prior of motion that a set of particles tells by itself.

The coefficients of images are dealt to two folds like the squares of a chessboard: the noise of both is independent, the motion the same. Motions that
one fold tells under a prior are worth the log-likelihood that the other gives them, as Zivanov, Nakane & Scheres 2019 (doi:10.1107/S205225251801463X)
judge those of low frequencies by high ones; here both folds have the same detail and each judges the other.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.motion.polish import MotionPrior, kinship, likelihood_at, most_probable

Array = NDArray[np.float64]

USUAL = (0.2, 5000.0, 2.0)
"""σ_V in Å for an e/Å², σ_D in Å and σ_A in Å for an e/Å²: what sets that tell nothing are given."""
TRIED = ((0.06, 0.2, 0.6, 2.0), (300.0, 1500.0, 7500.0), (0.1, 0.45, 2.0))
"""Values of each that are tried; the best are between them."""
DOUBT = float(np.log(4.0))
"""Standard deviation of the logarithm of each about the usual one, before the set is asked."""
COARSE = 1e-6
"""Relative change of the cost at which a search ends that is only to compare priors."""


def folds(plane: HalfPlane) -> NDArray[np.bool_]:
    """Return which coefficients are of either fold, ``(2, K)``."""
    even = (plane.kx + plane.ky).astype(np.int64) % 2 == 0
    return np.stack([even, ~even])


def axes_of(given: Sequence[float | None]) -> tuple[tuple[float, ...], ...]:
    """Return the values to try of each parameter: the one that is given, or all."""
    return tuple(tried if one is None else (one,) for one, tried in zip(given, TRIED, strict=True))


def held_out(
    pair: Sequence[NDArray[np.float32]], step: float, places: Array, axes: Sequence[Sequence[float]], scale: float, first: float
) -> Array:
    """Return the log-likelihood of both folds at the motions that the other told, under every prior, beyond that of no motion ``(V, D, A)``.

    Parameters
    ----------
    pair
        Correlations of both folds as for `most_probable`.
    axes
        Values of σ_V, σ_D and σ_A.
    scale
        px a frame in an Å for an e/Å².
    first
        px, as for `MotionPrior`.
    """
    frames, middle, nothing = len(pair[0]), pair[0].shape[2] // 2, np.empty((*pair[0].shape[:2], 2))
    still = sum(float(one[:, :, middle, middle].sum(dtype=np.float64)) for one in pair)
    found = np.empty([len(axis) for axis in axes])
    for number, distance in enumerate(axes[1]):
        kin = kinship(places, distance)
        for (i, velocity), (j, acceleration) in product(enumerate(axes[0]), enumerate(axes[2])):
            prior = MotionPrior.of_kin(kin, frames, velocity * scale, acceleration * scale, first)
            told = (most_probable(one, step, prior, exact=COARSE) for one in pair)
            found[i, number, j] = (
                sum(likelihood_at(other, way / step, nothing) for way, other in zip(told, pair[::-1], strict=True)) - still
            )
    return found


def best(scores: Array, axes: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the parameters of the largest of `scores` ``(V, D, A)``, with what was thought before; between the values tried by parabolas."""
    logs = [np.log(axis) for axis in axes]
    doubts = [0.5 * ((log - np.log(usual)) / DOUBT) ** 2 for log, usual in zip(logs, USUAL, strict=True)]
    total = scores - doubts[0][:, None, None] - doubts[1][None, :, None] - doubts[2][None, None, :]
    top = np.unravel_index(int(total.argmax()), total.shape)
    found = []
    for number, (log, at) in enumerate(zip(logs, top, strict=True)):
        if not 0 < at < len(log) - 1:
            found.append(float(axes[number][at]))
            continue
        line = total[tuple(slice(None) if other == number else one for other, one in enumerate(top))][at - 1 : at + 2]
        curve = np.polyfit(log[at - 1 : at + 2] - log[at], line - line[1], 2)
        found.append(float(np.exp(log[at] - 0.5 * curve[1] / curve[0])) if curve[0] < 0 else float(axes[number][at]))
    return tuple(found)
