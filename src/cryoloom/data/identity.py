"""What an id names, and whether equal ids of two sets name the same item.

A coordinate's id is its particle's for good, a movie's its micrograph's and its CTF's; classes and maps are numbered anew by every run. Ids of
two pickings are two spaces: the same number names different particles. A set knows its space (meta ``id_space``) where the program numbered
its items itself; sets that other programs have passed on are compared by where their items lie.
"""

from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.tables import Dataset

_PICKS = ("coordinates", "particles")
_MICROGRAPHS = ("movies", "micrographs", "ctfs")
_IMAGE = ["stack_path", "stack_index"]
_FILES = {"classes2d": _IMAGE, "classes3d": ["volume_path"], "volume": ["volume_path"]}
_NAMES = ("micrograph_name", "movie_name")
_CONTENTS = ("movie_quick", "movie_blake3", "blake3")
_FAR = 100.0
"""Å that the place of an item may change by as it is centred, at the least."""
_ASTRAY = 0.01
"""Part of the common ids that may lie apart in sets of one picking."""


def new_id_space(items: pl.DataFrame) -> str:
    """Return the name of the space that `items`, numbered just now, span: it tells them from all that are numbered otherwise."""
    digest = blake3()
    for name in ("id", "micrograph_id", "x", "y", "stack_index"):
        if name in items.columns:
            digest.update(items[name].to_numpy().tobytes())
    return digest.hexdigest()[:16]


def family(dataset: Dataset) -> str:
    """Return what the ids of a set number: ``particle``, ``micrograph``, or items of its own kind."""
    return "particle" if dataset.kind in _PICKS else "micrograph" if dataset.kind in _MICROGRAPHS else dataset.kind


def other_items(one: Dataset, two: Dataset) -> str:
    """Return in words why equal ids of two sets of one family name different items; nothing where they name the same, as far as can be told."""
    spaces = [each.meta.get("id_space") for each in (one, two)]
    if all(spaces):
        return "" if spaces[0] == spaces[1] else _numbered_apart(one, two)
    return {"particle": _apart, "micrograph": _renamed}.get(family(one), _other_files)(one, two)


def _numbered_apart(one: Dataset, two: Dataset) -> str:
    """Say what is known of sets numbered in two runs: they are one picking all the same if each common id lies where it did before."""
    places = _common_places(one, two)
    if places is None or places.is_empty():
        return "their items were numbered apart, as those of different pickings are"
    return _astray(one, two, places, 0.0)


def on_trust(one: Dataset, two: Dataset) -> bool:
    """Return whether nothing but the ids themselves says that equal ids of two sets name the same item."""
    if all("id_space" in each.meta for each in (one, two)):
        return False
    if family(one) == "particle":
        return not all({"x", "y"} <= each.schema.keys() for each in (one, two)) and bool(_other_files(one, two, _IMAGE))
    return family(one) == "micrograph" and None in (name_column(one), name_column(two))


def _apart(one: Dataset, two: Dataset) -> str:
    """Compare where particles lie, in Å, or in the pixels of the first where one set does not tell its own."""
    places = _common_places(one, two)
    return _renamed(one, two) if places is None else _astray(one, two, places, _ASTRAY)


def _common_places(one: Dataset, two: Dataset) -> pl.DataFrame | None:
    """Return where the items of common ids lie in both sets, px; None where a set does not tell."""
    if not all({"x", "y"} <= each.schema.keys() for each in (one, two)):
        return None
    return one.scan(["x", "y"]).join(two.scan(["x", "y"]), on="id").drop_nulls().collect()


def _astray(one: Dataset, two: Dataset, both: pl.DataFrame, most: float) -> str:
    """Say so if more than the part `most` of common ids are farther apart than centring can move them."""
    if both.is_empty():
        return ""
    scales = [set(coordinate_scales(each).values()) for each in (one, two)]
    starts = [_offsets(each) for each in (one, two)]
    known = all(len(each) == 1 and None not in each for each in scales) and all(len(each) == 1 for each in starts)
    first, second = (each.pop() for each in scales) if known else (1.0, _ratio(both))
    (x_one, y_one), (x_two, y_two) = (each.pop() if known else (0.0, 0.0) for each in starts)
    limit = max(_FAR, *(float(each.meta.get("diameter") or 0.0) for each in (one, two)))
    x = pl.col("x") * first + x_one - pl.col("x_right") * second - x_two
    y = pl.col("y") * first + y_one - pl.col("y_right") * second - y_two
    off = (x**2 + y**2).sqrt()
    far = both.select((off > limit).sum()).item()
    if far <= most * both.height:
        return ""
    return f"{far} of their {both.height} common ids lie at other places, as those of different pickings do"


def coordinate_scales(dataset: Dataset) -> dict[int, float | None]:
    """Return the Å per pixel of a set's ``x`` and ``y`` in each optics group, None where a group does not tell."""
    names = ("micrograph_pixel_size", "rlnMicrographPixelSize", *(["pixel_size"] if dataset.kind == "coordinates" else []))
    return {group["optics_group"]: next((float(group[name]) for name in names if group.get(name)), None) for group in dataset.optics}


def _offsets(dataset: Dataset) -> set[tuple[float, float]]:
    """Return where the first pixels of a set's micrographs lie, Å; 0 where their borders were not cropped."""
    return {(float(group.get("offset_x") or 0.0), float(group.get("offset_y") or 0.0)) for group in dataset.optics}


def _ratio(both: pl.DataFrame) -> float:
    ratio = both.filter(pl.col("x_right") > 0).select((pl.col("x") / pl.col("x_right")).median()).item()
    return float(ratio or 1.0)


def name_column(dataset: Dataset) -> str | None:
    """Return the column that names the movie or micrograph of each item; None where there is none."""
    return next((name for name in _NAMES if name in dataset.schema), None)


def _renamed(one: Dataset, two: Dataset) -> str:
    """Compare the names of movies or micrographs, and what was in their files when they were imported."""
    names = [name_column(each) for each in (one, two)]
    if None not in names and (row := _first_unlike(one, two, str(names[0]), str(names[1]))):
        return f"id {row[0]} is of {row[1]} in one and of {row[2]} in the other"
    for name in _CONTENTS:
        if all(name in each.schema for each in (one, two)) and (row := _first_unlike(one, two, name, name)):
            return f"the files of id {row[0]} differ"
    return ""


def _first_unlike(one: Dataset, two: Dataset, of_one: str, of_two: str) -> tuple[Any, ...] | None:
    """Return the first id whose columns are unlike in two sets, with both values."""
    frames = [each.scan([name]).select("id", value=pl.col(name)) for each, name in ((one, of_one), (two, of_two))]
    unlike = frames[0].join(frames[1], on="id").filter(pl.col("value") != pl.col("value_right"))
    return next(unlike.sort("id").head(1).collect().iter_rows(), None)


def _other_files(one: Dataset, two: Dataset, columns: list[str] | None = None) -> str:
    columns = columns or _FILES[one.kind]
    if not all(set(columns) <= each.schema.keys() for each in (one, two)):
        return "their files are not known"
    rows = [each.scan(columns).select("id", *columns) for each in (one, two)]
    same = rows[0].join(rows[1], on=["id", *columns]).select(pl.len()).collect().item()
    common = rows[0].join(rows[1], on="id").select(pl.len()).collect().item()
    return "" if same == common else f"{common - same} of their {common} common ids are of different runs, each with numbers of its own"


def content_of(dataset: Dataset) -> str:
    """Return a short hash of all that a set says of its items; where their files lie, and so which run made them, does not count."""
    digest = blake3(dataset.kind.encode())
    rows = dataset.items
    for name in sorted(name for name in rows.columns if not name.endswith("_path")):
        column = rows[name]
        digest.update(name.encode())
        if column.dtype.is_numeric():
            digest.update(column.is_null().to_numpy().tobytes())
            digest.update(column.fill_null(0).to_numpy().tobytes())
        else:
            digest.update(_text(column).encode())
    return digest.hexdigest()[:16]


def _text(column: pl.Series) -> str:
    values: list[Any] = column.to_list()
    return "\0".join(map(repr, values))
