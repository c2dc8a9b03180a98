"""The vocabulary of electron microscopy: kinds of sets, their columns with units, and their names in other programs."""

from cryoloom.data.columns import COLUMNS, Column, canonical_name, column_named
from cryoloom.data.kinds import (
    FSC,
    AtomicModel,
    Classes2D,
    Classes3D,
    Coordinates,
    CTFs,
    Mask,
    Micrographs,
    ModelFits,
    Movies,
    Particles,
    PickingModel,
    Residues,
    Volume,
)
from cryoloom.data.selections import AnySet, OneSet
from cryoloom.data.symmetry import symmetry_hints

__all__ = [
    "COLUMNS",
    "FSC",
    "AnySet",
    "AtomicModel",
    "CTFs",
    "Classes2D",
    "Classes3D",
    "Column",
    "Coordinates",
    "Mask",
    "Micrographs",
    "ModelFits",
    "Movies",
    "OneSet",
    "Particles",
    "PickingModel",
    "Residues",
    "Volume",
    "canonical_name",
    "column_named",
    "symmetry_hints",
]
