"""Galleries: many small images on one sheet, and what stands beside each.

Class averages, particles and maps (their middle slices) are shown as they are, row 0 at the top; coordinates as what lies around them on their micrograph.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.app.images import Images, image_column
from cryoloom.app.outputs import OutputRef
from cryoloom.app.pages import page
from cryoloom.data.identity import coordinate_scales
from cryoloom.data.places import on_micrographs
from cryoloom.formats.mrc import open_mrc
from cryoloom.numerics.particles.extract import cut_boxes
from cryoloom.report.raster import shrink, to_grey
from cryoloom.server.render.asset import Asset, Rendered, demand_size, encoded, file_stamp, json_asset
from cryoloom.server.render.sources import behind, file_of
from cryoloom.spec import WrongUse

CAPTIONS = (
    "class_id", "count", "distribution", "resolution", "quality", "good", "estimated_resolution", "accuracy_rotations", "accuracy_translations",
    "micrograph_id", "micrograph_name", "x", "y", "score", "enabled",
)  # fmt: skip
"""Columns whose values go with an image, where its set has them."""
SHARP = ("classes2d", "classes3d", "volume", "mask")
"""Kinds of images without noise, which PNG suits; others are sent as JPEG."""
WHOLE = ("movies", "micrographs")
"""Kinds whose images are too large to be read by the hundred; those of micrographs have thumbnails of their own."""
ROOM = 1.5
"""Sides of a box around a coordinate, diameters."""
UNKNOWN = 200.0
"""Å taken for the diameter of what was picked where it is not told."""
_EMPTY = 128


@dataclass(frozen=True)
class Wish:
    """Which images, in which order, how many beside each other, and the px that the side of one may have at most."""

    offset: int = 0
    limit: int = 128
    columns: int = 16
    size: int = 96
    sort: str = ""
    descending: bool = False
    where: str = ""


@dataclass(frozen=True)
class Sheet:
    """A page of a gallery: what `app.pages.page` says of it, its ids in order, and the files that its images lie in."""

    output: OutputRef
    wish: Wish
    table: Mapping[str, Any]
    files: Sequence[Path]

    @property
    def ids(self) -> list[int]:
        """Return the ids of the images, the first at the upper left, row after row."""
        return [row[0] for row in self.table["rows"]]

    @property
    def stamp(self) -> tuple[Any, ...]:
        """Return what decides it."""
        return (self.output.hash, repr(self.wish), *(file_stamp(path) for path in self.files))


def sheet(output: OutputRef, wish: Wish) -> Sheet:
    """Return a page of the images of a set.

    Raises
    ------
    WrongUse
        ``no-images``, ``too-large``, ``bad-page``, and what is wrong with the rule or the column.
    Failure
        ``file-cleaned``, ``file-missing``.
    """
    if wish.limit < 1 or wish.columns < 1 or wish.size < 8:
        raise WrongUse("bad-page", f"{wish.limit} images of {wish.size} px, {wish.columns} a row: nothing to be seen.", "Ask for more.")
    demand_size(wish.columns * math.ceil(wish.limit / wish.columns) * wish.size**2, "Ask for fewer or smaller images.")
    column = image_column(output.dataset)
    if output.kind in WHOLE or not column and output.kind != "coordinates":
        raise WrongUse("no-images", f"There is no gallery of {output.kind}.", "Class averages, particles, coordinates and maps have one.")
    shown = [name for name in CAPTIONS if name in output.dataset.schema]
    choice = {"where": wish.where, "sort": wish.sort, "descending": wish.descending}
    table = page(output, columns=["id", *shown, *([column] if column else [])], offset=wish.offset, limit=wish.limit, **choice)
    if column:
        files = [file_of(output, path, "image") for path in dict.fromkeys(row[-1] for row in table["rows"])]
        rows = [row[:-1] for row in table["rows"]]
        return Sheet(output, wish, {**table, "columns": table["columns"][:-1], "rows": rows}, files)
    return Sheet(output, wish, table, [])


def picture(wanted: Sheet, kind: str = "") -> Asset:
    """Return a sheet as one picture: PNG for what has no noise, JPEG for the rest, unless a format is asked for."""

    def make() -> Rendered:
        cell, images = _cell(wanted), list(_grey_images(wanted))
        columns = min(wanted.wish.columns, max(len(images), 1))
        canvas = np.full((max(math.ceil(len(images) / columns), 1) * cell, columns * cell), _EMPTY, dtype=np.uint8)
        for number, image in enumerate(images):
            top, left = (place * cell + (cell - side) // 2 for place, side in zip(divmod(number, columns), image.shape, strict=True))
            canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
        told = {"X-Cell": str(cell), "X-Columns": str(columns), "X-Count": str(len(images))}
        return encoded(canvas, kind or ("png" if wanted.output.kind in SHARP else "jpeg"), told)

    return Asset((*wanted.stamp, "sprite", kind), make)


def captions(wanted: Sheet) -> Asset:
    """Return what goes with a sheet: ``of``, ``count`` (images that follow the rule), ``offset``, ``cell`` (px a side), ``columns`` and ``items``.

    Each item has ``id``, ``column`` and ``row`` of its cell, and under ``values`` those of `CAPTIONS` that there are; ``described`` tells their units.
    """

    def make() -> Mapping[str, Any]:
        names = [column["name"] for column in wanted.table["columns"]]
        columns = min(wanted.wish.columns, max(len(wanted.ids), 1))
        return {
            **{name: wanted.table[name] for name in ("output", "of", "count", "offset")},
            "cell": _cell(wanted),
            "columns": columns,
            "described": {column["name"]: column for column in wanted.table["columns"][1:]},
            "items": [
                {"id": row[0], "column": number % columns, "row": number // columns, "values": dict(zip(names[1:], row[1:], strict=True))}
                for number, row in enumerate(wanted.table["rows"])
            ],
        }

    return json_asset((*wanted.stamp, "captions"), make)


def _cell(wanted: Sheet) -> int:
    """Return the side of a cell: the size asked for, or less where images are smaller or halve to less."""
    if not wanted.ids:
        return wanted.wish.size
    if not wanted.files:
        scales = [scale for scale in coordinate_scales(wanted.output.dataset).values() if scale]
        return min(wanted.wish.size, _side(wanted.output, min(scales, default=1.0)))
    side = max(Images(wanted.output.dataset, wanted.ids[:1])[0].shape[-2:])
    return min(side // math.ceil(side / wanted.wish.size), wanted.wish.size)


def _grey_images(wanted: Sheet) -> list[NDArray[np.uint8]]:
    if not wanted.ids:
        return []
    cell = _cell(wanted)
    images = Images(wanted.output.dataset, wanted.ids) if wanted.files else _around(wanted)
    flat = [np.asarray(each if each.ndim == 2 else each[len(each) // 2], dtype=np.float32) for each in images]
    return [to_grey(shrink(each, cell)) for each in flat]


def _side(output: OutputRef, pixel_size: float) -> int:
    return max(8, round(ROOM * float(output.meta.get("diameter") or UNKNOWN) / pixel_size))


def _around(wanted: Sheet) -> list[NDArray[Any]]:
    """Return what lies around coordinates, in their order: boxes of `ROOM` diameters or what more fills a cell; beyond the border the nearest pixel."""
    output, micrographs, cell = wanted.output, behind(wanted.output, "micrographs"), _cell(wanted)
    dataset, source = output.dataset, micrographs.dataset
    ids = pl.Series("id", wanted.ids, dtype=pl.Int64)
    rows = dataset.scan().filter(pl.col("id").is_in(ids.implode())).collect()
    places = on_micrographs(rows, coordinate_scales(dataset), source)  # pyright: ignore[reportArgumentType] (of the kind asked for)
    files = source.scan(["micrograph_path", "pixel_size"]).select("micrograph_path", "pixel_size", micrograph_id="id").collect()
    places = places.join(files, on="micrograph_id", how="left", maintain_order="left")
    found: dict[int, NDArray[Any]] = {}
    for (path, pixel_size), group in places.group_by("micrograph_path", "pixel_size", maintain_order=True):
        image = open_mrc(file_of(micrographs, str(path), "micrograph")).data
        factor = math.ceil(_side(output, float(pixel_size)) / cell)  # pyright: ignore[reportArgumentType]
        centres = np.rint(group.select("x", "y").to_numpy()).astype(np.int64)
        for number, centre in zip(group["id"].to_list(), centres, strict=True):
            found[number] = shrink(cut_boxes(image, centre[None], cell * factor)[0], cell)
    blank = np.full((2, 2), np.nan, dtype=np.float32)  # of a micrograph that is not in the set
    return [found.get(number, blank) for number in wanted.ids]
