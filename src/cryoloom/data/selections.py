"""What all protocols share that make sets of sets: the kinds they take, what they give, and what still holds of a part."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from cryoloom.data.kinds import Classes2D, Classes3D, Coordinates, CTFs, Micrographs, Movies, Particles, Volume
from cryoloom.spec import Outputs
from cryoloom.tables import Dataset

AnySet = Movies | Micrographs | CTFs | Coordinates | Particles | Classes2D | Classes3D | Volume
"""The kinds of sets that can be divided and joined."""

OF_A_PART = frozenset(
    (
        "id_space", "diameter", "pixel_size", "box_size", "mask_diameter", "symmetry", "halves", "resolution",
        "gain_path", "gain_blake3", "gain_orientation", "dark_path", "dark_blake3", "defects_path", "defects_blake3",
    )
)  # fmt: skip
"""Meta that hold of every part of a set: counts and histories of the run that made it are not among them."""

FULL_SET = ("set", "fullSet", "inputFullSet", "inputObject", "inputSet")
"""Names that other programs' forms give the set that is taken apart."""


def expanded(value: Any) -> Any:
    """Return the ids that ``5-8`` stands for, among others."""
    if not isinstance(value, list | tuple):
        return value
    found: list[Any] = []
    for each in value:
        first, dash, last = str(each).strip().partition("-")
        found += range(int(first), int(last) + 1) if dash and first.isdigit() and last.isdigit() else [each]
    return tuple(found)


Ids = Annotated[tuple[int, ...], BeforeValidator(expanded)]
"""Ids, of which ``5-8`` names four."""


@dataclass(frozen=True)
class OneSet(Outputs):
    """A set, under the name of the one it was made from."""

    movies: Movies | None = None
    micrographs: Micrographs | None = None
    ctfs: CTFs | None = None
    coordinates: Coordinates | None = None
    particles: Particles | None = None
    classes: Classes2D | Classes3D | None = None
    volume: Volume | None = None

    @classmethod
    def of(cls, dataset: Dataset | None) -> "OneSet":
        """Return the output that `dataset` is; none for an empty set."""
        if dataset is None or not len(dataset):
            return cls()
        kept: dict[str, Any] = {output_name(dataset): dataset}
        return cls(**kept)

    @property
    def only(self) -> Dataset | None:
        """Return the set, None if there is none."""
        return next(iter(self.named().values()), None)


def output_name(dataset: Dataset) -> str:
    """Return the name that outputs of this kind have."""
    return "classes" if isinstance(dataset, Classes2D | Classes3D) else dataset.kind
