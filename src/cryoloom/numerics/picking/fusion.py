"""How likely a position is a particle, where the pickers are known: votes, the pickers' own scores and looks, weighed as truth taught.

Pickers that see the same mass err together, so that votes taken for independent witnesses (`votes`) outvote the one that knows the particle. What a
vote and its score add to what the networks see was learned once by logistic regression (stacking, Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1) on
simulated micrographs of faint particles, for every choice of two or three of the pickers: ``python -m training.fusion``. Sums run in a fixed order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KINDS = ("pick.blob", "pick.template", "pick.deep")

WORTH: dict[tuple[str, ...], tuple[float, ...]] = {
    ("pick.blob", "pick.template"): (-3.02, 0.63, 1.03, 3.29, 0.09, 0.57),
    ("pick.blob", "pick.deep"): (-2.74, 0.64, 0.8, 1.24, 0.1, 0.52),
    ("pick.template", "pick.deep"): (-2.83, 0.67, 3.21, 0.44, 0.56, 0.25),
    ("pick.blob", "pick.template", "pick.deep"): (-3.28, 0.56, 0.73, 3.25, 0.67, 0.03, 0.6, 0.27),
}
"""Of the pickers in the order of `KINDS`: the constant, the weight of the looks, those of the votes, those of the scores."""

SUREST, CLEAREST = 4.0, 8.0
"""Log odds of a picker's score and of the looks beyond these count as these."""

CONFIRMED = 0.5
"""Share of what a picker expects to be particles that another one must have found, for the picker to be worth what its kind is."""


def fused_probability(kinds: Sequence[str], scores: Array, log_odds: Array) -> Array | None:
    """Return the probability ``(n,)`` that each position is a particle; None where no worth is known, or a picker is not what its kind was.

    Parameters
    ----------
    kinds
        The protocol of each picker, such as ``pick.blob``.
    scores
        ``(n, pickers)`` probability by each picker that found it, NaN where it did not.
    log_odds
        ``(n,)`` natural logarithm of the odds by its looks, of a set of as many particles as other things.
    """
    order = sorted(range(len(kinds)), key=lambda number: KINDS.index(kinds[number]) if kinds[number] in KINDS else len(KINDS))
    worth = WORTH.get(tuple(kinds[number] for number in order))
    if worth is None or confirmed(scores).min() < CONFIRMED:
        return None
    logits = sum(weight * column for weight, column in zip(worth, witnesses(scores[:, order], log_odds).T, strict=True))
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0)))


def witnesses(scores: Array, log_odds: Array) -> Array:
    """Return what is weighed, ``(n, 2 + 2 · pickers)``: 1, the looks, the votes, the log odds of the scores (0 without a vote)."""
    found = ~np.isnan(scores)
    sure = np.clip(np.where(found, scores, 0.5), 1e-6, 1.0 - 1e-6)
    looks = np.clip(log_odds, -CLEAREST, CLEAREST)[:, None]
    return np.hstack([np.ones_like(looks), looks, found, np.clip(np.log(sure / (1.0 - sure)), -SUREST, SUREST)])


def confirmed(scores: Array) -> Array:
    """Return for each picker ``(pickers,)`` the share of its positions, weighed by its scores, that another one found; 1 for one without positions."""
    found = ~np.isnan(scores)
    weight = np.where(found, scores, 0.0)
    shared = (weight * (found.sum(axis=1, keepdims=True) > 1)).sum(axis=0)
    total = weight.sum(axis=0)
    return np.divide(shared, total, out=np.ones_like(total), where=total > 0)
