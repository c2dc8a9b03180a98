"""Particle positions of other programs, read by the format that a file's ending tells, and what several of those formats share.

All become box centres in px, pixel 0 the centre of the first sample, y in the order of the rows of the file.
"""

from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.formats.exchange import read_as
from cryoloom.formats.relion_tables import enabled
from cryoloom.spec import Failure
from cryoloom.tables import Dataset


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
        ``coordinates-invalid`` when the file holds none, ``format-unknown`` for a suffix that nobody reads.
    """
    return read_as("coordinates", path)


def lines_of_numbers(path: Path, columns: int) -> NDArray[np.float64]:
    """Read a text of numbers into ``(lines, columns)``, at least `columns` a line; further ones are other programs' own.

    Raises
    ------
    Failure
        ``coordinates-invalid`` naming a line that has fewer.
    """
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


def from_corners(rows: NDArray[np.float64], path: Path) -> pl.DataFrame:
    """Turn lower-left corners and sizes in px, ``x y w h``, ``(n, 4)``, into centres; a fifth column is the score."""
    columns = {"x": rows[:, 0] + rows[:, 2] / 2, "y": rows[:, 1] + rows[:, 3] / 2}
    frame = pl.DataFrame(columns).with_columns(micrograph_file=pl.lit(path.as_posix()))
    return frame.with_columns(score=rows[:, 4]) if rows.shape[1] > 4 else frame


def by_micrograph(coordinates: Dataset) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the name and the enabled positions of each micrograph that has any, in order of id."""
    items = enabled(coordinates).sort("micrograph_id", maintain_order=True)
    for (name,), rows in items.group_by("micrograph_name", maintain_order=True):
        yield str(name), rows


def box_in_pixels(coordinates: Dataset, related: Mapping[str, Dataset]) -> int:
    """Return the even side in px of boxes to draw around positions: of the particles cut there, or twice the particle's radius.

    Raises
    ------
    Failure
        ``export-box`` when neither is known.
    """
    size = coordinates.optics[0]["pixel_size"]
    particles = related.get("particles")
    if particles is not None and particles.optics:
        side = particles.optics[0]["box_size"] * particles.optics[0]["pixel_size"]
    else:
        side = coordinates.meta.get("diameter") or 0.0
    if not side:
        raise Failure("export-box", "The size of the boxes is not known.", "Pick or import the positions with the particle's diameter.")
    return 2 * ceil(side / size / 2 - 1e-6)
