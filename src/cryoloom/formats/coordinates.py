"""Particle positions of other programs: RELION STAR, EMAN ``.box``, crYOLO ``.cbox``, cryoSPARC ``.cs``.

All become box centres in px, pixel 0 the centre of the first sample, y in the order of the rows of the file.
"""

from pathlib import Path

import numpy as np
import polars as pl

from cryoloom.data.columns import relion_names
from cryoloom.formats.sources import resolved
from cryoloom.formats.star import demand_numbers, read_star
from cryoloom.spec import Failure

SUFFIXES = (".star", ".box", ".cbox", ".cs")
_KEPT = {relion_names()[name]: name for name in ("score", "psi", "class_id", "id")}


def read_coordinates(path: Path) -> pl.DataFrame:
    """Read positions.

    Returns
    -------
    DataFrame
        ``micrograph_file`` (the micrograph as the file names it, otherwise the coordinate file itself), ``x``, ``y``, and, where the
        file has them, ``score``, ``psi``, ``class_id``, ``id``.

    Raises
    ------
    Failure
        ``coordinates-invalid`` when the file holds none.
    """
    readers = {".star": _read_relion, ".box": _read_boxes, ".cbox": _read_cbox, ".cs": _read_cryosparc}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        message = f"{path}: coordinates end in {', '.join(SUFFIXES)}."
        raise Failure("coordinates-invalid", message, "Convert them to a RELION STAR file.")
    return reader(path)


def _read_relion(path: Path) -> pl.DataFrame:
    for frame in read_star(path).values():
        if "rlnMicrographCoordinates" in frame.columns:
            return _read_listed(frame, path)
        if {"rlnCoordinateX", "rlnCoordinateY"} <= set(frame.columns):
            named = {"rlnCoordinateX": "x", "rlnCoordinateY": "y", "rlnMicrographName": "micrograph_file", **_KEPT}
            demand_numbers(frame, ("rlnCoordinateX", "rlnCoordinateY", *_KEPT), path)
            rows = frame.select([pl.col(name).alias(ours) for name, ours in named.items() if name in frame.columns])
            if "micrograph_file" not in rows.columns:
                rows = rows.with_columns(micrograph_file=pl.lit(path.as_posix()))
            return rows.with_columns(pl.col("x", "y").cast(pl.Float64))
    raise Failure("coordinates-invalid", f"{path}: no table with rlnCoordinateX and rlnCoordinateY.", "Give a file with coordinates.")


def _read_listed(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Follow RELION's list of one coordinate file a micrograph."""
    parts = []
    for micrograph, file in frame.select("rlnMicrographName", "rlnMicrographCoordinates").iter_rows():
        place = resolved(file, path)
        if place is None:
            raise Failure("coordinates-missing", f"{path}: {file} was not found from there or a folder above.", "Copy it along.")
        parts.append(read_coordinates(place).with_columns(micrograph_file=pl.lit(micrograph)))
    return pl.concat(parts, how="diagonal_relaxed")


def _read_boxes(path: Path) -> pl.DataFrame:
    return _corners(_numbers(path, 4), path)


def _read_cbox(path: Path) -> pl.DataFrame:
    if b"data_" not in path.read_bytes()[:4096]:
        return _corners(_numbers(path, 5), path)
    names = ["CoordinateX", "CoordinateY", "Width", "Height", "Confidence"]
    rows = next((frame for frame in read_star(path).values() if set(names) <= set(frame.columns)), None)
    if rows is None:
        raise Failure("coordinates-invalid", f"{path}: no table with {', '.join(names)}.", "Give a .cbox file of crYOLO.")
    demand_numbers(rows, names, path)
    return _corners(rows.select(names).cast(pl.Float64).to_numpy(), path)


def _numbers(path: Path, columns: int) -> np.ndarray:
    """Read a text of numbers, at least `columns` a line; further ones are other programs' own."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            rows.append([float(word) for word in words[:columns]])
        except ValueError:
            rows.append([])
        if len(rows[-1]) < columns:
            raise Failure("coordinates-invalid", f"{path}: line {number} is {line.strip()!r}; expected {columns} numbers.", "Correct it.")
    return np.asarray(rows, dtype=np.float64).reshape(-1, columns)


def _corners(rows: np.ndarray, path: Path) -> pl.DataFrame:
    """Turn lower-left corners and sizes into centres; a fifth column is the score."""
    columns = {"x": rows[:, 0] + rows[:, 2] / 2, "y": rows[:, 1] + rows[:, 3] / 2}
    frame = pl.DataFrame(columns).with_columns(micrograph_file=pl.lit(path.as_posix()))
    return frame.with_columns(score=rows[:, 4]) if rows.shape[1] > 4 else frame


def _read_cryosparc(path: Path) -> pl.DataFrame:
    from cryoloom.formats.cryosparc import read_particle_places

    return read_particle_places(path)
