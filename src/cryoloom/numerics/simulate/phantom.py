"""Phantoms: protein-like clouds of Gaussian pseudo-atoms, deterministic functions of a seed."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.chain import grow_chain
from cryoloom.numerics.simulate.poses import rotation_about
from cryoloom.numerics.simulate.symmetry import point_group

Array = NDArray[np.float64]

P80_SEED = 80
P80_MASS = 700_000.0
P80_CENTRES = np.array([(0.0, 0.0, 0.0), (45.0, 20.0, -10.0), (-30.0, 35.0, 25.0)])
P80_RADII = (50.0, 32.0, 26.0)
P80_SHARES = (0.60, 0.25, 0.15)
SHAPES = ("cluster", "rod", "ring")


@dataclass(frozen=True)
class Phantom:
    """A particle: Gaussian atoms about its centre of mass.

    Parameters
    ----------
    positions
        ``(n, 3)`` x, y, z in Å; the origin is the rotation centre.
    weights
        ``(n,)`` mass in Da.
    b_factors
        ``(n,)`` in Å²: atom `a` has the transform ``w exp(-B s²/4)``, a Gaussian of variance ``B / 8π²``.
    lobes
        ``(n,)`` the domain an atom belongs to, from 0.
    """

    positions: Array
    weights: Array
    b_factors: Array
    lobes: NDArray[np.int64]

    @property
    def mass(self) -> float:
        """Mass in Da."""
        return float(self.weights.sum())

    @property
    def radius(self) -> float:
        """Distance in Å of the outermost atom from the rotation centre."""
        return float(np.linalg.norm(self.positions, axis=1).max())

    @property
    def radius_of_gyration(self) -> float:
        """Radius of gyration about the rotation centre, Å."""
        return float(np.sqrt(np.average((self.positions**2).sum(axis=1), weights=self.weights)))

    def with_b_factor(self, b_factor: float) -> "Phantom":
        """Return the same atoms, all with `b_factor` (Å²)."""
        return replace(self, b_factors=np.full_like(self.b_factors, b_factor))

    def mirrored(self) -> "Phantom":
        """Return the other hand, ``V'(x, y, z) = V(x, y, -z)``."""
        return replace(self, positions=self.positions * np.array([1.0, 1.0, -1.0]))

    def keep(self, chosen: NDArray[np.bool_]) -> "Phantom":
        """Return the `chosen` atoms where they are."""
        return Phantom(self.positions[chosen], self.weights[chosen], self.b_factors[chosen], self.lobes[chosen])


@lru_cache(maxsize=16)
def p80(seed: int = P80_SEED, atoms: int = 1500) -> Phantom:
    """Return P80: three unequal lobes, asymmetric, chiral, about 160 Å across, 700 kDa; another `seed` is another chain."""
    return _assembly(P80_CENTRES, np.array(P80_RADII), np.array(P80_SHARES), atoms, P80_MASS, np.random.default_rng(seed))


def without_lobe(phantom: Phantom, lobe: int) -> Phantom:
    """Return `phantom` with one domain gone and the others where they were; P80-B is P80 without lobe 2."""
    return phantom.keep(phantom.lobes != lobe)


def swung(phantom: Phantom, lobe: int, degrees: float = 20.0) -> Phantom:
    """Return `phantom` with one domain swung about the centre of domain 0, the others where they were; P80-C swings lobe 1 by 20°."""
    moves = phantom.lobes == lobe
    hinge = phantom.positions[phantom.lobes == 0].mean(axis=0)
    towards = phantom.positions[moves].mean(axis=0) - hinge
    axis = np.cross(towards, np.eye(3)[np.abs(towards).argmin()])
    turned = (phantom.positions - hinge) @ rotation_about(axis, degrees).T + hinge
    return replace(phantom, positions=np.where(moves[:, None], turned, phantom.positions))


def broken(phantom: Phantom) -> Phantom:
    """Return the pieces that are left when the largest domain is lost, or one half if that was nearly all."""
    left = phantom.lobes != np.bincount(phantom.lobes).argmax()
    return phantom.keep(left if left.mean() > 0.15 else phantom.positions[:, 0] > 0.0)


def symmetrised(phantom: Phantom, group: str) -> Phantom:
    """Return `phantom` made symmetric under `group` (``C4``, ``D2``, ``T``, ``O``, ``I1`` ...; axes as in RELION).

    The atoms of one asymmetric unit, those nearer to a generic direction than to any of its mates, are kept and copied: the result
    has about as many atoms and the same radius.
    """
    operators = point_group(group)
    best = np.zeros(len(phantom.positions), dtype=bool)
    for direction in np.random.default_rng(1).normal(size=(32, 3)):
        along = phantom.positions @ direction
        mates = np.stack([phantom.positions @ operator.T @ direction for operator in operators])
        inside = along >= mates.max(axis=0) - 1e-9
        best = inside if inside.sum() > best.sum() else best
    unit = phantom.keep(best)
    copies = len(operators)
    return Phantom(
        np.concatenate([unit.positions @ operator.T for operator in operators]),
        np.tile(unit.weights, copies) * (phantom.mass / (copies * unit.mass)),
        np.tile(unit.b_factors, copies),
        np.tile(unit.lobes, copies),
    )


def random_phantom(seed: int, diameter: float = 160.0, atoms: int | None = None, shape: str = "cluster") -> Phantom:
    """Return a particle of no known shape, grown from `seed`, in a sphere of `diameter` Å about its centre of mass.

    Parameters
    ----------
    atoms
        None: one for each 490 Å³ of its lobes, between 60 and 8000. The mass fills two thirds of the lobes.
    shape
        One of `SHAPES`: two to five lobes of different size that overlap; three to six in a bent row; five to nine in a ring.

    Raises
    ------
    ValueError
        If `shape` is none of them.
    """
    rng = np.random.default_rng((seed, 1))
    if shape not in SHAPES:
        raise ValueError(f"phantom shape {shape!r}: expected one of {', '.join(SHAPES)}")
    centres, radii = _cluster(rng) if shape == "cluster" else _rod(rng) if shape == "rod" else _ring(rng)
    volumes = 4.0 / 3.0 * np.pi * radii**3
    centres -= np.average(centres, axis=0, weights=volumes)
    scale = 0.5 * diameter / (np.linalg.norm(centres, axis=1) + radii).max()
    centres, radii, volumes = centres * scale, radii * scale, volumes * scale**3
    size = atoms if atoms is not None else int(np.clip(volumes.sum() / 490.0, 60, 8000))
    return _assembly(centres, radii, volumes / volumes.sum(), size, volumes.sum() / 1.5, rng)


def _cluster(rng: np.random.Generator) -> tuple[Array, Array]:
    count = int(rng.integers(2, 6))
    radii = np.sort(rng.uniform(0.5, 1.0, count))[::-1]
    centres = np.zeros((count, 3))
    for lobe in range(1, count):
        neighbour = int(rng.integers(0, min(lobe, 2)))
        direction = rng.normal(size=3)
        reach = rng.uniform(0.55, 0.85) * (radii[neighbour] + radii[lobe])
        centres[lobe] = centres[neighbour] + reach * direction / np.linalg.norm(direction)
    return centres, radii


def _rod(rng: np.random.Generator) -> tuple[Array, Array]:
    count = int(rng.integers(3, 7))
    along = 1.3 * np.arange(count, dtype=np.float64)
    bend = rng.uniform(-0.08, 0.08) * along**2
    return np.stack([bend, rng.normal(0.0, 0.15, count), along], axis=1), rng.uniform(0.8, 1.0, count)


def _ring(rng: np.random.Generator) -> tuple[Array, Array]:
    count = int(rng.integers(5, 10))
    bearing = 2.0 * np.pi * np.arange(count) / count
    radius = 0.75 / np.sin(np.pi / count)
    return np.stack([radius * np.cos(bearing), radius * np.sin(bearing), rng.normal(0.0, 0.1, count)], axis=1), rng.uniform(0.8, 1.0, count)


def _assembly(centres: Array, radii: Array, shares: Array, atoms: int, mass: float, rng: np.random.Generator) -> Phantom:
    counts = np.round(np.cumsum(shares) * atoms).astype(int)
    counts = np.diff(np.concatenate([[0], counts]))
    chains = [grow_chain(int(count), centre, float(radius), 8.0, rng) for centre, radius, count in zip(centres, radii, counts, strict=True)]
    positions = np.concatenate(chains)
    weights = rng.uniform(0.7, 1.3, len(positions))
    weights *= mass / weights.sum()
    positions -= np.average(positions, axis=0, weights=weights)
    return Phantom(positions, weights, rng.uniform(60.0, 80.0, len(positions)), np.repeat(np.arange(len(chains)), counts))
