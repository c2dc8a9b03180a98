"""How likely each particle is one, from two or more classifications of the same particles.

A class is as good as its members are, and what they are the other classifications tell as well: where one method puts a pair of particles into a
class of its own, the other may have given it to a class of noise. So the share of good particles of every class is estimated from its members,
and the members from their classes in all classifications and from how much of their class averages they show, in turn (Dawid & Skene 1979,
doi:10.2307/2346806), beginning with what each method says of its averages. The turns are few: two states that are fitted to convergence
end as two groups of views, for views, too, are something that classifications agree about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TURNS = 3
"""Of estimates: what is said of averages reaches particles, the classes of these in other classifications, and their members."""

SURE = 0.9
"""Share of good particles that is believed of a class of the best quality before its members are known; of the worst, one less this."""

COUNT = 10.0
"""Particles that this counts for, in each class and in the set."""

SPREAD, FEW = 2.0, 100.0
"""Variance of likenesses of junk to those of particles before any is known, and the particles that this counts for."""


@dataclass(frozen=True)
class Opinion:
    """One classification.

    Parameters
    ----------
    member
        Class of every particle, from 0, ``(n,)``.
    quality
        What is thought of each class, 0 to 1, ``(K,)``; not a number where nothing is known.
    likeness
        How like its class average each particle is, in one way or more, ``(n, d)``: in good classes those of particles follow one normal distribution,
        those of junk a wider one.
    """

    member: NDArray[np.int64]
    quality: Array
    likeness: Array


@dataclass(frozen=True)
class Consensus:
    """What all classifications together say.

    Parameters
    ----------
    junk
        Probability that a particle is none, ``(n,)``.
    class_junk
        Junk among the other members of its class, in each classification, ``(n, m)``.
    unlike
        Natural logarithm of the odds that a particle is none by its likeness alone, in each classification, ``(n, m)``: as far as its class is
        good, for to be like an average of junk says nothing.
    """

    junk: Array
    class_junk: Array
    unlike: Array


def consensus(opinions: Sequence[Opinion]) -> Consensus:
    """Weigh the classes and likenesses of all classifications; of at least one some quality must be known."""
    count = len(opinions[0].member)
    believed = [1.0 - SURE + (2.0 * SURE - 1.0) * np.nan_to_num(each.quality, nan=0.5) for each in opinions]
    weight = [np.where(np.isnan(each.quality), 0.0, COUNT) for each in opinions]
    good = _probability(sum((_odds(share)[each.member] for share, each in zip(believed, opinions, strict=True)), np.zeros(count)))
    shares, unlike = np.zeros((count, len(opinions))), np.zeros((count, len(opinions)))
    for _ in range(TURNS):
        base = _odds((good.sum() + 0.5 * COUNT) / (count + COUNT))
        for number, each in enumerate(opinions):
            share = _of_others(each.member, good, believed[number], weight[number], float(good.mean()))
            shares[:, number] = share
            unlike[:, number] = -share * _likeness_odds(each.likeness, good * share, (1.0 - good) * share)
        good = _probability(base + (_odds(shares) - base - unlike).sum(axis=1))
    return Consensus(1.0 - good, 1.0 - shares, unlike)


def _of_others(member: NDArray[np.int64], good: Array, believed: Array, weight: Array, mean: float) -> Array:
    """Return the share of good particles among the other members of every particle's class, ``(n,)``."""
    size, sum_good = (np.bincount(member, each, minlength=len(believed)) for each in (np.ones(len(good)), good))
    # A class of one that nothing is known of is as good as the set.
    prior = np.where(weight > 0, weight * believed, mean)
    rest = size - 1.0 + np.where(weight > 0, weight, 1.0)
    share = (sum_good[member] - good + prior[member]) / rest[member]
    return np.clip(share, 1e-3, 1.0 - 1e-3)


def _likeness_odds(likeness: Array, good: Array, bad: Array) -> Array:
    """Return the logarithm of the density of particles over that of junk at each likeness, ``(n,)``; `good` and `bad` weigh them."""
    if not likeness.shape[1]:
        return np.zeros(len(good))
    mean, spread = _moments(likeness, good)
    spread += 1e-4 * np.eye(len(mean))
    middle = (np.einsum("n,nd->d", bad, likeness) + FEW * mean) / (bad.sum() + FEW)
    away = likeness - middle
    wide = (np.einsum("n,nd,ne->de", bad, away, away) + FEW * SPREAD * spread) / (bad.sum() + FEW)
    return _log_normal(likeness - mean, spread) - _log_normal(away, wide)


def _moments(values: Array, weight: Array) -> tuple[Array, Array]:
    mean = np.einsum("n,nd->d", weight, values) / weight.sum()
    away = values - mean
    return mean, np.einsum("n,nd,ne->de", weight, away, away) / weight.sum()


def _log_normal(away: Array, spread: Array) -> Array:
    _, volume = np.linalg.slogdet(spread)
    return -0.5 * (np.einsum("nd,de,ne->n", away, np.linalg.inv(spread), away) + volume)


def standing(values: Array, member: NDArray[np.int64]) -> Array:
    """Return by how many robust deviations a value lies from the median of its class, ``(n,)``, at most 5; 0 where it is not known.

    For similarities and likelihoods, whose scale is another in each class.
    """
    out = np.zeros(len(values))
    known = np.isfinite(values)
    order = np.flatnonzero(known)[np.argsort(member[known], kind="stable")]
    for rows in np.split(order, np.flatnonzero(np.diff(member[order])) + 1):
        if len(rows) < 5:
            continue
        away = values[rows] - np.median(values[rows])
        spread = 1.4826 * float(np.median(np.abs(away)))
        out[rows] = np.clip(away / spread, -5.0, 5.0) if spread > 0 else 0.0
    return out


def _odds(share: Array | float) -> Array:
    return np.log(np.asarray(share) / (1.0 - np.asarray(share)))


def _probability(log_odds: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0)))
