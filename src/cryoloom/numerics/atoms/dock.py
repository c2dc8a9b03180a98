"""Models laid in maps: as rigid bodies, everywhere or near where they lie, in either hand of the map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.maps import EVIDENT, Candidate, ranked_alignments
from cryoloom.numerics.atoms.density import model_density
from cryoloom.numerics.atoms.model import Array, Atoms
from cryoloom.numerics.reconstruct.hand import mirrored_map

Map = NDArray[np.float32]

CLEAR = 1.1
"""Times that the Z of the second-best place must be exceeded for the best to be called the only one."""
LEAD = 1.5
"""The same of the scores: the best places of a model of something else lead by a quarter at most, those of the right one by twice as much and more."""


@dataclass(frozen=True)
class Docked:
    """Where a model lies, and where else it could.

    Attributes
    ----------
    candidates
        The best first; a candidate moves the model's atoms about their `centre`: see `placed`.
    centre
        ``(3,)``, Å, that rotations are about.
    mirrored
        Whether the candidates are places in the mirrored map.
    other_hand
        Score of the best place in the other hand of the map; None where it was not tried.
    """

    candidates: list[Candidate]
    centre: Array
    mirrored: bool = False
    other_hand: float | None = None

    def placed(self, positions: Array, rank: int = 0) -> Array:
        """Return `positions` ``(n, 3)`` moved to the place of a rank."""
        move = self.candidates[rank].alignment
        return (positions - self.centre) @ move.rotation.T + move.shift

    @property
    def ambiguous(self) -> bool:
        """Return whether another place stands out of the search about as much as the best, or fits about as well."""
        best, *others = self.candidates
        return any(best.z < CLEAR * each.z or best.score < LEAD * each.score for each in others)


def dock(
    atoms: Atoms, volume: Map, pixel_size: float, *, resolution: float, symmetry: str = "C1", low_pass: float | None = None, count: int = 10,
    hand: bool = False, near: bool = False,
) -> Docked:  # fmt: skip
    """Find the places of a rigid model in a map.

    Parameters
    ----------
    atoms
        The model, placed from the centre of the box.
    volume
        Map ``(d, d, d)``, of which the model is all or a part.
    pixel_size, resolution
        Å; nothing finer than `resolution` is compared.
    symmetry
        Of the map: places that differ by it are one.
    low_pass
        Å, of the search; None chooses by the size of the model.
    count
        Places that are kept.
    hand
        Also look in the mirrored map, and take it where the model fits better there by `EVIDENT`.
    near
        Only improve on where the model lies.
    """
    centre = atoms.centre
    density = model_density(atoms.at(atoms.positions - centre), len(volume), pixel_size, resolution)

    def found(data: Map) -> list[Candidate]:
        start = centre if near else None
        return ranked_alignments(density, data, pixel_size, symmetry=symmetry, low_pass=low_pass, count=count, start=start)

    as_it_is = found(volume)
    if not hand:
        return Docked(as_it_is, centre)
    other = found(mirrored_map(volume))
    if other[0].score > as_it_is[0].score + EVIDENT:
        return Docked(other, centre, True, as_it_is[0].score)
    return Docked(as_it_is, centre, False, other[0].score)
