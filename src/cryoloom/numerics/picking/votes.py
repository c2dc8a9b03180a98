"""How likely a position is a particle, from who found it and what it looks like.

Each picker finds particles with some probability and other things with another; what it looks like is an independent witness whose odds are given.
Both probabilities of every picker, and the share of particles, are estimated from all positions together by expectation-maximisation
(Dawid & Skene 1979, doi:10.2307/2346806), so that a picker that brings much junk counts for less. Sums run in a fixed order.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

START = (0.8, 0.3)
"""Probabilities of a vote for a particle and for something else before anything is known."""

COUNT = 20.0
"""Positions that they count for."""

ITERATIONS = 200


def particle_probability(found: NDArray[np.bool_], log_odds: Array) -> Array:
    """Return the probability ``(n,)`` that each position is a particle.

    Parameters
    ----------
    found
        ``(n, pickers)`` who found it.
    log_odds
        ``(n,)`` natural logarithm of the odds by its looks, of a set of as many particles as other things.
    """
    votes = found.astype(np.float64)
    hit, false = (np.full(votes.shape[1], value) for value in START)
    share = 0.5
    probability = np.full(len(votes), np.nan)
    for _ in range(ITERATIONS):
        evidence = votes * np.log(hit / false) + (1.0 - votes) * np.log((1.0 - hit) / (1.0 - false))
        logits = np.log(share / (1.0 - share)) + log_odds + evidence.sum(axis=1)
        before, probability = probability, 1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0)))
        if np.abs(probability - before).max(initial=0.0) < 1e-9:
            break
        share = (probability.sum() + 0.5 * COUNT) / (len(votes) + COUNT)
        hit = _rate(votes, probability, START[0])
        false = _rate(votes, 1.0 - probability, START[1])
    return probability


def _rate(votes: Array, weight: Array, start: float) -> Array:
    return (np.einsum("nk,n->k", votes, weight) + COUNT * start) / (weight.sum() + COUNT)
