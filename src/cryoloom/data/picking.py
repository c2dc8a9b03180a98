"""What pickers share: parameters that are declared once, the micrographs to work on, the set of picks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import polars as pl

from cryoloom.data.identity import new_id_space
from cryoloom.data.kinds import Coordinates, CTFs, Micrographs
from cryoloom.data.picks import picked_on
from cryoloom.spec import Failure, Hint, Job, Outputs, Param
from cryoloom.tables import Dataset

Bright = Annotated[bool, Param(
    "Bright particles", False, aliases=("invert",),
    help="Particles are brighter than their surroundings, as in negative stain. Wrong, and what is picked lies between them.",
)]  # fmt: skip
Distance = Annotated[float, Param(
    "Least distance", 0.6, ge=0.3, le=2, advanced=True, aliases=("min_distance", "minInterparticleDistance"),
    help="Between picks, in diameters; of two that are nearer the less likely one goes. Too small picks a particle twice.",
)]  # fmt: skip
Border = Annotated[float, Param(
    "Border", 0.3, ge=0, le=2, advanced=True,
    help="Centres nearer than this to an edge, in diameters, are left out. Too small picks halves of particles.",
)]  # fmt: skip
Most = Annotated[int | None, Param(
    "Most per micrograph", None, ge=1, advanced=True, aliases=("max_per_micrograph", "max_box_per_image"),
    help="Keep at most this many, the likeliest. Empty keeps all; too small a number throws particles away.",
)]  # fmt: skip


@dataclass(frozen=True)
class Picked(Outputs):
    """Where the particles are."""

    coordinates: Coordinates


def size_hints(diameter: float, micrographs: Micrographs, parameter: str = "diameter") -> Iterator[Hint]:
    """Yield what is wrong with a particle `diameter` (Å): above half the smallest micrograph it cannot be picked."""
    sizes = micrographs.of_groups("pixel_size")
    rows = micrographs.items.select("width", "height", "optics_group").iter_rows()
    sides = [min(width, height) * sizes[group] for width, height, group in rows if width and height]
    if sides and diameter > min(sides) / 2:
        yield Hint(
            parameter,
            f"{diameter:g} Å is larger than half the micrograph, whose short side is {min(sides):.0f} Å",
            fix=float(int(min(sides) / 2)),
        )


def to_be_picked(micrographs: Micrographs, ctfs: CTFs | None, job: Job, protocol: str) -> Dataset:
    """Return the enabled micrographs, with CTFs those with a believable one; ``micrograph_path`` is the file to pick on.

    Raises
    ------
    Failure
        ``no-micrographs`` when none is left.
    """
    rows = picked_on(micrographs.items.filter("enabled"))
    if ctfs is not None:
        believed = rows.join(ctfs.enabled(), left_on="id", right_on="micrograph_id", how="semi", maintain_order="left")
        if without := rows.height - believed.height:
            job.warn(f"{without} micrographs have no believable CTF and were not picked.")
        rows = believed
    if rows.is_empty():
        raise Failure("no-micrographs", f"{protocol}: no micrograph is left to be picked.", "Give micrographs that are not disabled.")
    return Dataset(rows, micrographs.root, optics=micrographs.optics)


def coordinates_of(
    picks: pl.DataFrame, micrographs: Micrographs, job: Job, picker: str, diameter: float, picked: int, candidates: int
) -> Coordinates:
    """Return the set of `picks`, of `candidates` in `picked` micrographs; a warning when they are so few that the diameter (Å) may be wrong."""
    if picks.height < 5 * picked:
        job.warn(f"Only {picks.height} particles in {picked} micrographs: is the diameter of {diameter:g} Å right?")
    meta = {
        "picker": picker, "diameter": diameter, "candidates": candidates, "picked_micrographs": picked, "id_space": new_id_space(picks),
    }  # fmt: skip
    return Coordinates(picks, job.root, optics=micrographs.optics, meta=meta)


def pick_counts(out: Picked) -> dict[str, Any]:
    """Return the summary of picks."""
    count, micrographs = len(out.coordinates), out.coordinates.meta["picked_micrographs"]
    sure = out.coordinates.items["score"].mean() if count else None
    return {
        "particles": count,
        "micrographs": micrographs,
        "particles a micrograph": round(count / max(micrographs, 1), 1),
        "expected share of true picks": None if sure is None else round(float(sure), 3),  # pyright: ignore[reportArgumentType]
    }
