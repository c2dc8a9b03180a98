"""Grow protein-like chains: helices and loops that fill a ball without running into themselves."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

Array = NDArray[np.float64]

HELIX_RISE, HELIX_RADIUS, HELIX_TURN = 1.5, 2.3, np.deg2rad(100.0)
LOOP_STEP = 3.8
CLASH, CONTACT, CROWD = 2.5, 4.0, 9.0


def grow_chain(atoms: int, centre: Array, radius: float, compactness: float, rng: np.random.Generator, *, candidates: int = 24) -> Array:
    """Return positions ``(atoms, 3)`` in Å of a chain folded into a ball.

    The chain is a run of right-handed helices (1.5 Å rise, 2.3 Å radius, 100° a residue) and loops (3.8 Å steps). Each element is
    the least crowded of `candidates` random ones that stay inside; where none does, a new chain starts in the emptiest spot.

    Parameters
    ----------
    centre, radius
        The ball, Å.
    compactness
        Crowding that an element accepts to lie nearer the centre by the whole radius: 0 fills the ball evenly, 20 mostly its middle.
    """
    placed = np.empty((0, 3))
    tail: Array | None = None
    misses = 0
    while len(placed) < atoms:
        tree = cKDTree(placed) if len(placed) else None
        if tail is None:
            tail = _empty_spot(tree, centre, radius, rng)
        # Where nothing fits, what is tried gets shorter and may come nearer, until it does fit.
        room = 0.9 ** (misses // 6)
        helix = rng.random() < 0.55 * room
        length = int(rng.integers(9, 22)) if helix else int(rng.integers(3, 9))
        length = max(1, min(int(length * room), atoms - len(placed)))
        trials = [_element(tail, length, helix, rng) for _ in range(candidates)]
        scores = [_score(points, tree, centre, radius, compactness, room) for points in trials]
        best = int(np.argmin(scores))
        if not np.isfinite(scores[best]):
            tail = None
            misses += 1
            continue
        placed = np.concatenate([placed, trials[best]])
        tail = trials[best][-1]
        misses //= 2
    return placed


def _element(start: Array, length: int, helix: bool, rng: np.random.Generator) -> Array:
    axis = _unit(rng.normal(size=3))
    side = _unit(np.cross(axis, _unit(rng.normal(size=3))))
    if helix:
        phase = HELIX_TURN * np.arange(length + 1)[:, None]
        spiral = HELIX_RADIUS * (np.cos(phase) * side + np.sin(phase) * np.cross(axis, side))
        path = spiral - spiral[0] + HELIX_RISE * np.arange(length + 1)[:, None] * axis
        return start + LOOP_STEP * axis + path[:length]
    # A loop: directions wander about the axis, every step 3.8 Å.
    steps = axis + 0.8 * rng.normal(size=(length, 3))
    return start + np.cumsum(LOOP_STEP * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)


def _score(points: Array, tree: cKDTree | None, centre: Array, radius: float, compactness: float, room: float) -> float:
    distance = np.linalg.norm(points - centre, axis=1)
    if distance.max() > radius or (len(points) > 1 and pdist(points).min() < CLASH * room):
        return np.inf
    pull = compactness * distance.mean() / radius
    if tree is None:
        return pull
    # The first two residues lie beside the chain they continue.
    gaps = tree.query(points)[0]
    if gaps.min() < CLASH * room or gaps[2:].min(initial=np.inf) < CONTACT * room:
        return np.inf
    return float(np.mean(tree.query_ball_point(points, CROWD, return_length=True))) + pull


def _empty_spot(tree: cKDTree | None, centre: Array, radius: float, rng: np.random.Generator) -> Array:
    directions = rng.normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    spots = centre + 0.9 * radius * np.cbrt(rng.random((64, 1))) * directions
    return spots[0] if tree is None else spots[int(np.argmax(tree.query(spots)[0]))]


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)
