"""The particles of training scenes: eight families of phantoms that are learned from, and one that is kept for judging."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from cryoloom.numerics.simulate.phantom import Phantom, random_phantom, symmetrised

VOLUME = 490.0
"""Å³ of lobe that an atom of a phantom stands for."""

MOST_ATOMS = 1000
"""Of a larger particle each atom stands for more, and is made as much broader: the pixels that pickers look at hardly show it."""

GROUPS = ("C2", "C3", "C4", "C5", "C6", "C7", "D2", "D3", "D4", "D7", "T", "O", "I1")


def _grown(seed: int, diameter: float, shape: str) -> Phantom:
    volume = {"cluster": 0.45, "rod": 0.12, "ring": 0.2}[shape] * np.pi / 6.0 * diameter**3
    atoms = int(np.clip(volume / VOLUME, 60, MOST_ATOMS))
    apart = max(0.0, np.cbrt(volume / atoms) - np.cbrt(VOLUME))
    return random_phantom(seed, diameter, atoms, shape).with_b_factor(70.0 + 8.0 * np.pi**2 * (0.4 * apart) ** 2)


def _symmetric(seed: int, diameter: float) -> Phantom:
    group = GROUPS[seed % len(GROUPS)]
    return symmetrised(_grown(seed, diameter, "ring" if seed % 3 == 0 else "cluster"), group)


def _hollow(seed: int, diameter: float) -> Phantom:
    """Push the atoms of a cluster out into a shell, as in a capsid or a cage."""
    phantom = symmetrised(_grown(seed, diameter, "cluster"), ("O", "I1", "T", "C1")[seed % 4])
    radii = np.linalg.norm(phantom.positions, axis=1)
    inner = 0.5 + 0.3 * np.random.default_rng((seed, 2)).random()
    # Ranks spread the atoms over the shell evenly in volume, however dense the cluster's middle was.
    rank = (np.argsort(np.argsort(radii)) + 0.5) / len(radii)
    wanted = np.cbrt(inner**3 + (1.0 - inner**3) * rank) * radii.max()
    return replace(phantom, positions=phantom.positions * (wanted / np.maximum(radii, 1.0))[:, None])


def _stretched(seed: int, diameter: float, factors: tuple[float, float, float]) -> Phantom:
    phantom = _grown(seed, diameter, "cluster")
    positions = phantom.positions * np.array(factors)
    return replace(phantom, positions=positions * (0.5 * diameter / np.linalg.norm(positions, axis=1).max()))


def _gas(seed: int, diameter: float) -> Phantom:
    """Fill a plain body evenly with atoms of any coarseness: what chains, with their helices and gaps, are not."""
    rng = np.random.default_rng((seed, 3))
    points = rng.uniform(-1.0, 1.0, (40_000, 3))
    x, y, z = points.T
    across = np.hypot(x, y)
    body = rng.choice(("ball", "rod", "ring", "shell", "disc", "pair"))
    thick = rng.uniform(0.2, 0.45)
    inside = {
        "ball": (x / rng.uniform(0.6, 1.0)) ** 2 + (y / rng.uniform(0.7, 1.0)) ** 2 + z**2 < 1.0,
        "rod": (across < thick) & (np.abs(z) < 0.95),
        "ring": np.hypot(across - 1.0 + thick, z) < thick,
        "shell": (np.linalg.norm(points, axis=1) < 1.0) & (np.linalg.norm(points, axis=1) > 1.0 - thick),
        "disc": (across < 0.95) & (np.abs(z) < thick),
        "pair": (across**2 + (np.abs(z) - 0.5) ** 2 < 0.25),
    }[str(body)]
    for hole in points[inside][: int(rng.integers(0, 16))]:
        inside &= np.linalg.norm(points - hole, axis=1) > rng.uniform(0.1, 0.3)
    volume = inside.mean() * diameter**3
    positions = points[inside][: int(rng.integers(250, 1500))]
    positions = (positions - positions.mean(axis=0)) * (0.5 * diameter / np.linalg.norm(positions, axis=1).max())
    count = len(positions)
    mass = rng.uniform(0.5, 1.5) * volume / 1.5
    width = rng.uniform(0.2, 0.8) * np.cbrt(volume / count)
    return Phantom(positions, np.full(count, mass / count), np.full(count, 8.0 * np.pi**2 * width**2), np.zeros(count, dtype=np.int64))


def _horseshoe(seed: int, diameter: float) -> Phantom:
    """Leave a gap of a third in a ring."""
    ring = _grown(seed, diameter, "ring")
    bearing = np.arctan2(ring.positions[:, 1], ring.positions[:, 0])
    open_ring = ring.keep(np.abs(bearing) > np.pi / 3.0)
    return replace(open_ring, positions=open_ring.positions - np.average(open_ring.positions, axis=0, weights=open_ring.weights))


FAMILIES: dict[str, Callable[[int, float], Phantom]] = {
    "cluster": lambda seed, diameter: _grown(seed, diameter, "cluster"),
    "rod": lambda seed, diameter: _grown(seed, diameter, "rod"),
    "ring": lambda seed, diameter: _grown(seed, diameter, "ring"),
    "symmetric": _symmetric,
    "hollow": _hollow,
    "elongated": lambda seed, diameter: _stretched(seed, diameter, (0.45, 0.55, 1.0)),
    "disc": lambda seed, diameter: _stretched(seed, diameter, (1.0, 0.9, 0.4)),
    "gas": _gas,
}
"""Families that training scenes draw from: name to a function of seed and diameter in Å."""

HELD_OUT: dict[str, Callable[[int, float], Phantom]] = {"horseshoe": _horseshoe}
"""Families that no training scene shows."""


@lru_cache(maxsize=4)
def draw_species(seed: int, diameter: float, family: str) -> Phantom:
    """Return the particle grown from `seed`, `diameter` Å across (twice its largest radius), of a `family` of either table."""
    return (FAMILIES | HELD_OUT)[family](seed, diameter)
