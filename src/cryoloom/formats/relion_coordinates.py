"""Particle positions as RELION keeps them: one STAR a micrograph, a list of those, or one STAR for all."""

from pathlib import Path

import polars as pl

from cryoloom.data.columns import relion_names
from cryoloom.formats.coordinates import read_coordinates
from cryoloom.formats.sources import resolved
from cryoloom.formats.star import demand_numbers, read_star
from cryoloom.spec import Failure

_KEPT = {relion_names()[name]: name for name in ("score", "psi", "class_id", "id")}


def read_coordinates_star(path: Path) -> pl.DataFrame:
    """Read positions, following a list of coordinate files; see `read_coordinates`.

    Raises
    ------
    Failure
        ``coordinates-invalid`` without positions, ``coordinates-missing`` when a file of the list is not found.
    """
    for frame in read_star(path).values():
        if "rlnMicrographCoordinates" in frame.columns:
            return _listed(frame, path)
        if {"rlnCoordinateX", "rlnCoordinateY"} <= set(frame.columns):
            named = {"rlnCoordinateX": "x", "rlnCoordinateY": "y", "rlnMicrographName": "micrograph_file", **_KEPT}
            demand_numbers(frame, ("rlnCoordinateX", "rlnCoordinateY", *_KEPT), path)
            rows = frame.select([pl.col(name).alias(ours) for name, ours in named.items() if name in frame.columns])
            if "micrograph_file" not in rows.columns:
                rows = rows.with_columns(micrograph_file=pl.lit(path.as_posix()))
            return rows.with_columns(pl.col("x", "y").cast(pl.Float64))
    raise Failure("coordinates-invalid", f"{path}: no table with rlnCoordinateX and rlnCoordinateY.", "Give a file with coordinates.")


def _listed(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Follow RELION's list of one coordinate file a micrograph."""
    parts = []
    for micrograph, file in frame.select("rlnMicrographName", "rlnMicrographCoordinates").iter_rows():
        place = resolved(file, path)
        if place is None or place.samefile(path):
            raise Failure("coordinates-missing", f"{path}: {file} was not found from there or a folder above.", "Copy it along.")
        parts.append(read_coordinates(place).with_columns(micrograph_file=pl.lit(micrograph)))
    return pl.concat(parts, how="diagonal_relaxed")
