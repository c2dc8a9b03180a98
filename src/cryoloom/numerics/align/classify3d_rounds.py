"""How classes are brought apart: rounds of splitting, and what is done with classes that turn out to be one.

Expectation-maximisation from random classes often ends with two structures in one class and one structure in two. A round splits classes at random, lets
the parts drift apart on what all images say, then lets two halves of the images go on by themselves. Parts whose difference the halves do not agree
on are twins: what they were split from is homogeneous. The spare twin then goes to a class that has not been split yet, and the next round begins
(split and merge: Ueda et al. 2000, doi:10.1162/089976600300015088). What is still to spare when all have been tried shares the largest class.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

Array = NDArray[np.float64]
Rounds = dict[str, Any]

TOGETHER, APART = 3, 3
"""Iterations of a round with differences from all images, and from the own half."""
JUDGED = 3
"""Iterations in which classes settle by the halves alone, at least; then it is judged which of them differ."""
LAST = 7
"""Iterations kept for settling, before and after that."""
SURE = 8.0
"""Standard deviations from which two classes are not twins."""
EMPTY = 0.05
"""Part of an equal share below which a class is as good as empty."""


def start(classes: int, *, random: bool) -> Rounds:
    """Return the state before the first iteration: all classes split from one at random, or each with its own reference and never split.

    Those split at random are one more than `classes`: a scout that looks for what else there is, and is merged again before classes settle.
    """
    scouting = random and classes > 1
    return {
        "age": 0 if random else TOGETHER,
        "splits": [[0, number] for number in range(1, classes + 1)] if scouting else [],
        "merges": [],
        "tested": [False] * (classes + scouting),
        "settling": not scouting,
        "settled": 0,
        "dropped": [],
        "kin": list(range(classes + scouting)),
    }


def shares(now: Rounds, members: Array) -> Array:
    """Return the prior probability of each class, ``(K,)``: its part of the images once classes settle, those of twins being equal.

    As long as classes are being told apart none may win by being large.
    """
    classes = members.shape[1]
    if not now["settling"]:
        return np.full(classes, 1.0 / classes)
    share, kin = members.mean(axis=0), np.array(now["kin"])
    return (np.bincount(kin, share, minlength=classes) / np.maximum(np.bincount(kin, minlength=classes), 1))[kin]


def apart(now: Rounds) -> bool:
    """Return whether the references to be made keep the halves' differences apart."""
    return now["settling"] or now["age"] >= TOGETHER


def judgement_due(now: Rounds, left: int, *, steady: bool) -> bool:
    """Return whether the halves have gone on by themselves for long enough to say which classes differ.

    `left` is the number of iterations that may follow; `steady` says that the band no longer grows.
    """
    return now["settling"] and (left < LAST - JUDGED or (steady and now["settled"] + 1 >= JUDGED))


def kinds(separation: Array) -> NDArray[np.int64]:
    """Return which classes are one structure, as far as can be told, ``(K,)`` from 0: those of which no two surely differ."""
    if len(separation) == 1:
        return np.zeros(1, np.int64)
    tree = linkage(squareform(np.maximum(separation, 0.0), checks=False), "complete")
    return fcluster(tree, SURE, "distance").astype(np.int64) - 1


def shared_out(members: Array, kind: NDArray[np.int64], seed: int) -> Array:
    """Return the memberships ``(n, K)`` with what classes of one kind have of an image given to one of them, drawn by chance, as many to each."""
    count = len(members)
    out, rng = np.zeros_like(members), np.random.default_rng([seed, 1 << 19])
    for one in range(int(kind.max()) + 1):
        into = np.flatnonzero(kind == one)
        out[np.arange(count), into[rng.permutation(np.arange(count) % len(into))]] = members[:, into].sum(axis=1)
    return out


def divide(now: Rounds, members: Array, lane: NDArray[np.int64], seed: int, iteration: int) -> Array:
    """Return the memberships ``(n, K)`` at the beginning of a round: spare classes given up, others shared with them at random, evenly in every part."""
    members = members.copy()
    rng = np.random.default_rng([seed, 1 << 17, iteration])
    for keeper, spare in now["merges"]:
        members[:, keeper] += members[:, spare]
        members[:, spare] = 0.0
    for source in sorted({pair[0] for pair in now["splits"]}):
        into = np.array([source, *(pair[1] for pair in now["splits"] if pair[0] == source)])
        mass = members[:, source].copy()
        members[:, source] = 0.0
        for part in range(int(lane.max()) + 1):
            rows = rng.permutation(np.flatnonzero(lane == part))
            members[rows, into[np.arange(len(rows)) % len(into)]] = mass[rows]
    return members


def advance(now: Rounds, separation: Array, share: Array, left: int) -> Rounds:
    """Return the state after an iteration.

    Parameters
    ----------
    now
        The state before it.
    separation
        How surely classes differ, ``(K, K)``.
    share
        Part of the images each has, ``(K,)``.
    left
        Iterations that may follow.
    """
    if now["settling"]:
        return {**now, "age": now["age"] + 1, "settled": now["settled"] + 1, "dropped": []}
    if now["age"] + 1 < TOGETHER + APART and left > LAST:
        return {**now, "age": now["age"] + 1}
    alive = share > EMPTY / len(share)
    _, kind = connected_components((separation < SURE) & alive[:, None] & alive, directed=False)
    tested = list(now["tested"])
    for source, piece in now["splits"]:
        tested[source] = tested[piece] = False
    keepers, merges = [], []
    for group in dict.fromkeys(kind[alive]):
        first, *twins = sorted((int(one) for one in np.flatnonzero(alive & (kind == group))), key=lambda one: -share[one])
        keepers.append(first)
        merges += [[first, twin] for twin in twins]
        tested[first] = tested[first] or bool(twins)
    empty = [int(one) for one in np.flatnonzero(~alive)]
    if not merges and not empty:
        merges = [_most_alike(separation, share)]
        keeper, spare = merges[0]
        # A split that gave what is least worth keeping has found nothing.
        tested[keeper] = tested[keeper] or any({keeper, spare} == set(pair) for pair in now["splits"])
        keepers.remove(spare)
    targets = sorted((one for one in keepers if not tested[one]), key=lambda one: -share[one])
    if not targets or left < TOGETHER + APART + LAST:
        return _settled(now, merges, empty, max(keepers, key=lambda one: share[one]))
    spares = empty + [spare for _, spare in merges]
    splits = [[targets[number % len(targets)], one] for number, one in enumerate(spares)]
    merges += [[source, one] for source, one in splits if one in empty]
    return {**now, "age": 0, "splits": splits, "merges": merges, "tested": tested}


def _settled(now: Rounds, merges: list[list[int]], empty: list[int], largest: int) -> Rounds:
    """Return the state in which classes settle: one dropped, the other spare ones split from the largest."""
    given_up = sorted([*merges, *([largest, one] for one in empty)], key=lambda pair: pair[0] == largest)
    dropped, *rest = given_up
    # Twins of the largest class may stay what they are.
    moved = [pair for pair in rest if pair[0] != largest or pair[1] in empty]

    def renumbered(one: int) -> int:
        return one - (one > dropped[1])

    keeper_of = {spare: keeper for keeper, spare in merges} | {spare: largest for _, spare in moved}
    kin = [renumbered(keeper_of.get(one, one)) for one in range(len(now["tested"])) if one != dropped[1]]
    return {
        **now,
        "age": 0 if moved else now["age"] + 1,
        "splits": [[renumbered(largest), renumbered(spare)] for _, spare in moved],
        "merges": [[renumbered(keeper), renumbered(spare)] for keeper, spare in moved],
        "settling": True,
        "dropped": dropped,
        "kin": kin,
    }


def _most_alike(separation: Array, share: Array) -> list[int]:
    """Return the two classes that differ least, the larger first."""
    apart = separation + np.diag(np.full(len(share), np.inf))
    first, second = (int(one) for one in np.unravel_index(np.argmin(apart), apart.shape))
    return [first, second] if share[first] >= share[second] else [second, first]
