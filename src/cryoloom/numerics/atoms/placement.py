"""The bodies of a model laid in a map one after the other, each in what the others leave of it; a state after each, to go on from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.atoms.density import model_density
from cryoloom.numerics.atoms.difference import remainder
from cryoloom.numerics.atoms.dock import Docked, dock
from cryoloom.numerics.atoms.model import Array, Atoms
from cryoloom.numerics.geometry.euler import geodesic_angle, matrix_to_euler
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.hand import mirrored_map

Map = NDArray[np.float32]
State = dict[str, Any]


@dataclass(frozen=True)
class Body:
    """Atoms that move as one.

    Attributes
    ----------
    name
        ``whole``, or that of a chain.
    copy
        Which copy of the model it is of, from 0.
    members
        ``(n,)``, which atoms of the model.
    near
        Whether it is only moved near where it lies.
    """

    name: str
    copy: int
    members: NDArray[np.bool_]
    near: bool


@dataclass(frozen=True)
class Placement:
    """What is laid where.

    Attributes
    ----------
    atoms
        One copy of the model, placed from the centre of the box.
    volume
        Map ``(d, d, d)``, 0 where no model can be.
    bodies
        In the order in which they are laid.
    hand
        Whether the first body decides between the map and its mirror image.
    symmetry
        Of the map; where `mates`, what is laid is repeated by it before the next body is.
    low_pass, count, pixel_size, resolution
        See `dock`.
    """

    atoms: Atoms
    volume: Map
    pixel_size: float
    resolution: float
    bodies: list[Body]
    copies: int = 1
    hand: bool = False
    symmetry: str = "C1"
    mates: bool = False
    low_pass: float | None = None
    count: int = 10

    def begin(self) -> State:
        """Return the state before the first body."""
        near = np.array([all(body.near for body in self.bodies if body.copy == copy) for copy in range(self.copies)])
        count = len(self.atoms.positions)
        return {
            "step": 0,
            "positions": np.repeat(self.atoms.positions[None], self.copies, axis=0),
            "placed": np.repeat(near[:, None], count, axis=1),
            "mirrored": False,
            "fits": [],
        }

    def step(self, state: State) -> State:
        """Lay the next body."""
        body = self.bodies[state["step"]]
        others = state["placed"].copy()
        others[body.copy] &= ~body.members
        volume = self.seen(state["mirrored"])
        if others.any():
            volume = remainder(volume, self.density(state["positions"], others))
        part = self.atoms.at(state["positions"][body.copy]).keep(body.members)
        found = dock(
            part, volume, self.pixel_size, resolution=self.resolution, symmetry=self.symmetry, low_pass=self.low_pass,
            count=self.count, hand=self.hand and state["step"] == 0, near=body.near,
        )  # fmt: skip
        positions, placed = state["positions"].copy(), state["placed"].copy()
        positions[body.copy, body.members] = found.placed(part.positions)
        placed[body.copy] |= body.members
        fits = [*state["fits"], *_rows(body, found)]
        mirrored = bool(state["mirrored"] or found.mirrored)
        return {"step": state["step"] + 1, "positions": positions, "placed": placed, "mirrored": mirrored, "fits": fits}

    def seen(self, mirrored: bool) -> Map:
        """Return the map in the hand that the model is laid in."""
        return mirrored_map(self.volume) if mirrored else self.volume

    def every(self, positions: Array) -> Array:
        """Return where all copies ``(copies, n, 3)`` lie, with those by symmetry: ``(copies · order, n, 3)``."""
        if not self.mates:
            return positions
        operators = point_group(self.symmetry).operators
        return np.einsum("gij,cnj->cgni", operators, positions).reshape(-1, *positions.shape[1:])

    def density(self, positions: Array, chosen: NDArray[np.bool_]) -> Map:
        """Return the density of the `chosen` ``(copies, n)`` atoms."""
        whole = self.atoms.copied(self.every(positions))
        order = len(whole.positions) // chosen.size
        kept = np.repeat(chosen[:, None], order, axis=1).ravel()
        return model_density(whole.keep(kept), len(self.volume), self.pixel_size, self.resolution)


def bodies_of(atoms: Atoms, names: list[str], way: str, copies: int, *, search: bool) -> list[Body]:
    """Return the bodies in the order in which they are laid.

    Parameters
    ----------
    names
        Of the chains.
    way
        ``whole``; ``chains after whole``: then each chain is moved near there; ``chains``: each is sought by itself, the largest first.
    search
        Whether the map is searched; otherwise all stay near where they lie.
    """
    everything = np.ones(len(atoms.positions), bool)
    counts = np.bincount(atoms.chains, minlength=len(names))
    largest = np.argsort(-counts, kind="stable")
    found = []
    for copy in range(copies):
        if way != "chains":
            found.append(Body("whole", copy, everything, not search))
        if way != "whole":
            near = way != "chains" or not search
            found += [Body(names[chain], copy, atoms.chains == chain, near) for chain in largest]
    return found


def _rows(body: Body, found: Docked) -> list[dict[str, Any]]:
    rows = []
    for rank, candidate in enumerate(found.candidates, 1):
        move = candidate.alignment
        shift = move.shift - move.rotation @ found.centre
        rot, tilt, psi = (float(each) for each in matrix_to_euler(move.rotation))
        rows.append(
            {
                "body": body.name, "copy": body.copy + 1, "rank": rank, "score": candidate.score, "search_z": candidate.z,
                "map_correlation": move.correlation, "mirrored": found.mirrored, "other_hand": found.other_hand if rank == 1 else None,
                "ambiguous": found.ambiguous, "turned": float(geodesic_angle(move.rotation, np.eye(3))),
                "move_rot": rot, "move_tilt": tilt, "move_psi": psi, **{f"move_{axis}": float(v) for axis, v in zip("xyz", shift, strict=True)},
            }
        )  # fmt: skip
    return rows
