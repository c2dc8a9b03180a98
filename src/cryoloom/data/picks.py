"""What every picker by signal asks for and gives: parameters, the micrographs to work on, the table of picks; declared once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl

from cryoloom.data.identity import new_id_space
from cryoloom.data.kinds import Coordinates, CTFs, Micrographs
from cryoloom.spec import Failure, Hint, Job, Outputs, Param

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Probability = Annotated[float, Param(
    "Least probability", 0.5, ge=0, le=1, aliases=("threshold",),
    help="Picks that are less likely to be particles are left out. Low values bring noise, high ones lose faint particles.",
)]  # fmt: skip
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
    "Most per micrograph", None, ge=1, advanced=True, aliases=("max_per_micrograph",),
    help="Keep at most this many, the likeliest. Empty keeps all; too small a number throws particles away.",
)]  # fmt: skip

PICK = {
    "id": pl.Int64, "micrograph_id": pl.Int64, "micrograph_name": pl.String, "x": pl.Float64, "y": pl.Float64, "score": pl.Float64,
    "strength": pl.Float64, "diameter": pl.Float64, "optics_group": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class Picked(Outputs):
    """Where the particles are."""

    coordinates: Coordinates


@dataclass(frozen=True)
class Sighting:
    """Candidates of one micrograph after judgement, as columns of equal length; ``x``, ``y`` (px), ``score``, ``strength`` and ``diameter`` (Å) among them."""

    micrograph: int
    columns: "Mapping[str, NDArray[np.generic]]"


def pixel_sizes(micrographs: Micrographs) -> dict[int, float]:
    """Return Å/px of each optics group."""
    return {group["optics_group"]: float(group["pixel_size"]) for group in micrographs.optics}


def size_hints(diameter: float, micrographs: Micrographs, parameter: str = "diameter") -> Iterator[Hint]:
    """Yield what is wrong with a particle `diameter` (Å): above half the smallest micrograph it cannot be picked."""
    sizes = pixel_sizes(micrographs)
    rows = micrographs.items.select("width", "height", "optics_group").iter_rows()
    sides = [min(width, height) * sizes[group] for width, height, group in rows if width and height]
    if sides and diameter > min(sides) / 2:
        yield Hint(
            parameter,
            f"{diameter:g} Å is larger than half the micrograph, whose short side is {min(sides):.0f} Å",
            fix=float(int(min(sides) / 2)),
        )


def to_be_picked(micrographs: Micrographs, ctfs: CTFs | None, job: Job, protocol: str) -> Micrographs:
    """Return the micrographs with a believable CTF, or all enabled ones without CTFs.

    Raises
    ------
    Failure
        ``no-micrographs`` when none is left.
    """
    work = micrographs
    if ctfs is not None:
        work = work.select(ctfs.enabled()["micrograph_id"])
        if without := micrographs.enabled().height - work.enabled().height:
            job.warn(f"{without} micrographs have no believable CTF and were not picked.")
    if work.enabled().is_empty():
        raise Failure("no-micrographs", f"{protocol}: no micrograph is left to be picked.", "Give micrographs that are not disabled.")
    return work


def picks_of(sightings: list[Sighting], micrographs: Micrographs, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return the table of picks with the columns of `schema`, each micrograph's in the order given."""
    about = {row[0]: row[1:] for row in micrographs.items.select("id", "micrograph_name", "optics_group").iter_rows()}
    frames = [pl.DataFrame(schema=schema)]
    for sighting in sightings:
        name, group = about[sighting.micrograph]
        frame = pl.DataFrame(dict(sighting.columns)).with_row_index("place")
        frame = frame.with_columns(
            id=(sighting.micrograph << 20) + pl.col("place").cast(pl.Int64),
            micrograph_id=pl.lit(sighting.micrograph, pl.Int64),
            micrograph_name=pl.lit(name),
            optics_group=pl.lit(group, pl.Int64),
        )
        frames.append(frame.select(pl.col(column).cast(kind) for column, kind in schema.items()))
    return pl.concat(frames)


def coordinates_of(picks: pl.DataFrame, micrographs: Micrographs, job: Job, diameter: float, picked: int, candidates: int) -> Coordinates:
    """Return the set of `picks`, of `candidates` in `picked` micrographs; a warning when they are so few that the diameter (Å) may be wrong."""
    if picks.height < 5 * picked:
        job.warn(f"Only {picks.height} particles in {picked} micrographs: is the diameter of {diameter:g} Å right?")
    meta = {"diameter": diameter, "candidates": candidates, "picked_micrographs": picked, "id_space": new_id_space(picks)}
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
