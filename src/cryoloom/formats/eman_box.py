"""EMAN's ``.box``: one text a micrograph, ``x y width height`` a line, x and y the corner of the box with the lowest indices."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cryoloom.files import make_folder, writing
from cryoloom.formats.coordinates import box_in_pixels, by_micrograph, from_corners, lines_of_numbers
from cryoloom.formats.exchange import Format
from cryoloom.tables import Dataset


def read_box(path: Path) -> pl.DataFrame:
    """Read positions from corners; what follows the four numbers is ignored."""
    return from_corners(lines_of_numbers(path, 4), path)


def export_box(coordinates: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``boxes/MICROGRAPH.box``, one a micrograph; corners have decimals only where a centre has them."""
    folder, side = make_folder(Path(directory) / "boxes"), box_in_pixels(coordinates, related)
    written = []
    for micrograph, rows in by_micrograph(coordinates):
        written.append(folder / f"{micrograph}.box")
        lines = [f"{x - side / 2:.10g}\t{y - side / 2:.10g}\t{side}\t{side}\n" for x, y in rows.select("x", "y").iter_rows()]
        with writing(written[-1]) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    return written


FORMAT = Format("eman-box", "EMAN boxes", suffixes=(".box",), readers={"coordinates": read_box}, writers={"coordinates": export_box})
