"""crYOLO's ``.cbox``: corners of boxes with confidences, as plain text before version 1.8 and as STAR since."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cryoloom.files import make_folder
from cryoloom.formats.coordinates import box_in_pixels, by_micrograph, from_corners, lines_of_numbers
from cryoloom.formats.exchange import Format
from cryoloom.formats.star import demand_numbers, read_star, write_star
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

_NEEDED = ("CoordinateX", "CoordinateY", "Width", "Height", "Confidence")
_NOTHING = "<NA>"
_COLUMNS = (
    "CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Depth", "EstWidth", "EstHeight", "Confidence", "NumBoxes", "Angle"
)  # fmt: skip


def read_cbox(path: Path) -> pl.DataFrame:
    """Read positions and confidences of either form; boxes of a tomogram keep their x and y.

    Raises
    ------
    Failure
        ``coordinates-invalid`` without the columns of a box, and what `read_star` and `demand_numbers` raise.
    """
    if b"data_" not in path.read_bytes()[:4096]:
        return from_corners(lines_of_numbers(path, 5), path)
    rows = next((frame for frame in read_star(path).values() if set(_NEEDED) <= set(frame.columns)), None)
    if rows is None:
        raise Failure("coordinates-invalid", f"{path}: no table with {', '.join(_NEEDED)}.", "Give a .cbox file of crYOLO.")
    demand_numbers(rows, _NEEDED, path)
    return from_corners(rows.select(_NEEDED).cast(pl.Float64).to_numpy(), path)


def export_cbox(coordinates: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``CBOX/MICROGRAPH.cbox`` as crYOLO 1.8 and later do; positions without a score have the confidence 1."""
    folder, side = make_folder(Path(directory) / "CBOX"), float(box_in_pixels(coordinates, related))
    written = []
    for micrograph, rows in by_micrograph(coordinates):
        written.append(folder / f"{micrograph}.cbox")
        known = {
            "CoordinateX": pl.col("x") - side / 2,
            "CoordinateY": pl.col("y") - side / 2,
            "Confidence": pl.col("score").fill_null(1.0),
            **{label: pl.lit(side) for label in ("Width", "Height", "EstWidth", "EstHeight")},
        }
        table = rows.select(known.get(label, pl.lit(_NOTHING)).alias(label) for label in _COLUMNS)
        write_star(written[-1], {"global": {"cbox_format_version": "1.0"}, "cryolo": table}, heading="")
    return written


FORMAT = Format("cryolo", "crYOLO boxes", suffixes=(".cbox",), readers={"coordinates": read_cbox}, writers={"coordinates": export_cbox})
