"""EMAN2's ``info/MICROGRAPH_info.json``: ``boxes`` is a list of ``[x, y, how, score …]``, x and y box centres from the first sample."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.files import make_folder, write_json
from cryoloom.formats.coordinates import by_micrograph
from cryoloom.formats.exchange import Format
from cryoloom.spec import Failure
from cryoloom.tables import Dataset


def read_json_boxes(path: Path) -> pl.DataFrame:
    """Read the centres of ``boxes``; a fourth value that is a number is the score.

    Raises
    ------
    Failure
        ``coordinates-invalid`` for what is no such file, or a box without a centre.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Failure("coordinates-invalid", f"{path}: not JSON ({error}).", "Give EMAN2's info file of a micrograph.") from error
    boxes = content.get("boxes") if isinstance(content, dict) else None
    if not isinstance(boxes, list):
        raise Failure("coordinates-invalid", f"{path}: no list called boxes.", "Give EMAN2's info file of a micrograph.")
    for number, box in enumerate(boxes, 1):
        if not (isinstance(box, list) and len(box) >= 2 and all(_number(value) for value in box[:2])):
            raise Failure("coordinates-invalid", f"{path}: box {number} is {box!r}; expected x, y, how it was picked.", "Correct it.")
    scores = [float(box[3]) if len(box) > 3 and _number(box[3]) else None for box in boxes]
    columns = {
        "micrograph_file": [path.as_posix().replace("_info.json", ".json")] * len(boxes),
        "x": [float(box[0]) for box in boxes],
        "y": [float(box[1]) for box in boxes],
        "score": scores,
    }
    frame = pl.DataFrame(columns, schema={"micrograph_file": pl.String, "x": pl.Float64, "y": pl.Float64, "score": pl.Float64})
    return frame if any(score is not None for score in scores) else frame.drop("score")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def export_json_boxes(coordinates: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``info/MICROGRAPH_info.json``, one a micrograph."""
    folder = make_folder(Path(directory) / "info")
    written = []
    for micrograph, rows in by_micrograph(coordinates):
        written.append(folder / f"{micrograph}_info.json")
        boxes = [[x, y, "auto"] if score is None else [x, y, "auto", score] for x, y, score in rows.select("x", "y", "score").iter_rows()]
        write_json(written[-1], {"boxes": boxes})
    return written


FORMAT = Format(
    "eman-json",
    "EMAN2 info files",
    suffixes=(".json",),
    readers={"coordinates": read_json_boxes},
    writers={"coordinates": export_json_boxes},
)
