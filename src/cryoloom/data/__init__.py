"""The vocabulary of electron microscopy: kinds of sets, their columns with units, and their names in other programs."""

from cryoloom.data.columns import COLUMNS, Column, canonical_name, column_named
from cryoloom.data.kinds import (
    FSC,
    Checks,
    Classes2D,
    Classes3D,
    Coordinates,
    CTFs,
    Mask,
    Micrographs,
    Movies,
    Orientations,
    Particles,
    PickingModel,
    ResolutionCurve,
    Volume,
)
from cryoloom.data.selections import AnySet, OneSet
from cryoloom.data.symmetry import symmetry_hints

__all__ = [
    "COLUMNS",
    "FSC",
    "AnySet",
    "CTFs",
    "Checks",
    "Classes2D",
    "Classes3D",
    "Column",
    "Coordinates",
    "Mask",
    "Micrographs",
    "Movies",
    "OneSet",
    "Orientations",
    "Particles",
    "PickingModel",
    "ResolutionCurve",
    "Volume",
    "canonical_name",
    "column_named",
    "symmetry_hints",
]
