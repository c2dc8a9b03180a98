"""Picked positions: the columns all pickers write, and positions brought onto the micrographs that a step works on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.data.identity import coordinate_scales
from cryoloom.data.kinds import Coordinates
from cryoloom.tables import Dataset

PICK = {
    "id": pl.Int64, "micrograph_id": pl.Int64, "micrograph_name": pl.String, "micrograph_path": pl.String, "x": pl.Float64, "y": pl.Float64,
    "score": pl.Float64, "diameter": pl.Float64, "optics_group": pl.Int64,
}  # fmt: skip
"""``micrograph_path`` is the file that was picked on, so that later steps can look at it without being told."""


def pick_rows(micrograph: Mapping[str, Any], diameter: float | Sequence[float], **columns: Any) -> pl.DataFrame:
    """Return the rows of one micrograph's picks, numbered in their order.

    Parameters
    ----------
    micrograph
        Its ``id``, ``micrograph_name``, ``optics_group`` and, in ``micrograph_path``, the file that was picked on.
    diameter
        Å, one for all or one a pick.
    columns
        ``x``, ``y`` (px), ``score`` and what else a picker says of its picks, one value a pick.
    """
    of_all = {
        "micrograph_id": pl.lit(micrograph["id"], pl.Int64),
        "micrograph_name": pl.lit(micrograph["micrograph_name"], pl.String),
        "micrograph_path": pl.lit(micrograph["micrograph_path"], pl.String),
        "diameter": pl.lit(diameter, pl.Float64) if isinstance(diameter, float | int) else pl.Series(diameter, dtype=pl.Float64),
        "optics_group": pl.lit(micrograph["optics_group"], pl.Int64),
    }
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    rows = pl.DataFrame(columns).with_columns(id=(micrograph["id"] << 20) + number, **of_all)
    return rows.select(*PICK, *[name for name in rows.columns if name not in PICK])


def picked_on(micrographs: pl.DataFrame) -> pl.DataFrame:
    """Return rows of micrographs with ``micrograph_path`` the file to pick on: the dose-weighted sum where there is one."""
    if micrographs.schema.get("weighted_path") != pl.String:
        return micrographs
    weighted = pl.when(pl.col("weighted_path") != "").then(pl.col("weighted_path"))
    return micrographs.with_columns(micrograph_path=pl.coalesce(weighted, "micrograph_path"))


def micrographs_of(sets: tuple[Coordinates, ...]) -> Dataset | None:
    """Return the micrographs that positions were picked on: those of the first set that tells their files; None where none does."""
    known = next((each for each in sets if "micrograph_path" in each.schema), None)
    if known is None:
        return None
    rows = known.items.select("micrograph_name", "micrograph_path", "optics_group", id="micrograph_id").drop_nulls("micrograph_path")
    return Dataset(rows.unique("micrograph_name", keep="first", maintain_order=True).sort("id"), known.root, optics=known.optics)


def on_micrographs(coordinates: Coordinates, micrographs: Dataset) -> pl.DataFrame:
    """Return the enabled rows of `coordinates` whose micrograph, by name, is in `micrographs`: with its id and group there, in its pixels."""
    ours = [
        {"optics_group": group["optics_group"], "_own_pixel": group["pixel_size"]}
        | {f"_own_{axis}": float(group.get(f"offset_{axis}") or 0.0) for axis in "xy"}
        for group in micrographs.optics
    ]
    scales = coordinate_scales(coordinates)
    theirs = [
        {"_group": group["optics_group"], "_pixel": scales[group["optics_group"]]}
        | {f"_{axis}": float(group.get(f"offset_{axis}") or 0.0) for axis in "xy"}
        for group in coordinates.optics
    ]
    about = micrographs.items.select("micrograph_name", "optics_group", micrograph_id="id").join(pl.DataFrame(ours), on="optics_group")
    rows = coordinates.items if "enabled" not in coordinates.schema else coordinates.items.filter(pl.col("enabled").fill_null(True))
    rows = rows.rename({"optics_group": "_group"}).drop("micrograph_id").join(pl.DataFrame(theirs), on="_group", maintain_order="left")
    rows = rows.join(about, on="micrograph_name", maintain_order="left").with_columns(
        ((pl.col(axis) * pl.col("_pixel") + pl.col(f"_{axis}") - pl.col(f"_own_{axis}")) / pl.col("_own_pixel")).alias(axis)
        for axis in "xy"
    )
    return rows.select(coordinates.items.columns)


def model_file(model: Dataset | None, root: Path) -> tuple[str | None, str]:
    """Return path and content of what a picker has learned, for items to be done again when it is another; nothing without a model."""
    if model is None:
        return None, ""
    path = model.items["model_path"][0]
    return path, blake3((root / path).read_bytes()).hexdigest()
