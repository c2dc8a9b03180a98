"""Points of napari: one ``.csv`` a micrograph, a header, then ``index,axis-0,axis-1`` a line: number, row y, column x in px."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cryoloom.files import make_folder, writing
from cryoloom.formats.coordinates import by_micrograph
from cryoloom.formats.exchange import Format
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

HEADER = ("index", "axis-0", "axis-1")


def read_points(path: Path) -> pl.DataFrame:
    """Read centres in px; the micrograph is the one of the file's name."""
    try:
        points = pl.read_csv(path, schema_overrides=dict.fromkeys(HEADER, pl.Float64))
        return points.select(micrograph_file=pl.lit(path.as_posix()), x="axis-1", y="axis-0")
    except pl.exceptions.PolarsError as error:
        raise Failure("napari-points", f"{path}: no table of numbers {','.join(HEADER)}.", "Save a points layer as .csv.") from error


def export_points(coordinates: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``MICROGRAPH.csv``, one a micrograph."""
    written = []
    for micrograph, rows in by_micrograph(coordinates):
        written.append(make_folder(Path(directory)) / f"{micrograph}.csv")
        points = rows.select("y", "x").cast(pl.Float64).with_row_index("index")
        with writing(written[-1]) as temporary:
            points.rename(dict(zip(points.columns, HEADER, strict=True))).write_csv(temporary)
    return written


FORMAT = Format("napari", "napari points", suffixes=(".csv",), readers={"coordinates": read_points}, writers={"coordinates": export_points})
