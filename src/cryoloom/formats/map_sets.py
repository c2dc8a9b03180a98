"""Sets of maps of which each is changed in one way: the map, its half maps and its mask keep in step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import Classes3D, Mask, Volume
from cryoloom.data.selections import OF_A_PART
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.spec import Failure, Job

Maps = Volume | Classes3D | Mask
Map = NDArray[np.float32]

FILES = {
    "volume_path": "volume", "unfiltered_path": "unfiltered", "half_map1_path": "half1_unfil", "half_map2_path": "half2_unfil",
    "mask_path": "mask",
}  # fmt: skip
"""Columns of files that are maps, in the order in which they are changed: the map that is shown first. And what the files are called."""
HALVES = ("unfiltered_path", "half_map1_path", "half_map2_path")


@dataclass(frozen=True)
class StoredMap:
    """One map ``(d, d, d)`` as it is stored.

    Attributes
    ----------
    pixel_size, origin
        Å; where the first voxel lies, x, y, z.
    row, column
        The row of the set it belongs to, and the column that names it.
    """

    data: Map
    pixel_size: float
    origin: tuple[float, float, float]
    row: Mapping[str, Any]
    column: str


def rows_of(maps: Maps) -> list[dict[str, Any]]:
    """Return the rows of a set of maps that are in use."""
    rows = maps.enabled() if "enabled" in maps.items.columns else maps.items
    return list(rows.iter_rows(named=True))


def shown_column(maps: Maps) -> str:
    """Return the column of the map that a set shows."""
    return "mask_path" if isinstance(maps, Mask) else "volume_path"


def stored_map(maps: Maps, row: Mapping[str, Any], column: str = "") -> StoredMap:
    """Read one map of a set, the one it shows by default.

    Raises
    ------
    Failure
        ``map-not-cubic``, ``map-nan``, ``map-empty`` and ``pixel-size``.
    """
    column = column or shown_column(maps)
    path = str(row[column])
    image = read_mrc(maps.file(path))
    data = np.ascontiguousarray(image.data, dtype=np.float32)
    if data.ndim != 3 or len(set(data.shape)) != 1:
        shape = " × ".join(str(size) for size in data.shape[::-1])
        raise Failure("map-not-cubic", f"{path}: {shape} voxels; a map must be a cube.", "Import it again, padded to a cube.")
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad:
        raise Failure("map-nan", f"{path}: {bad} of {data.size} voxels are NaN or infinite.", "Run the step that made this map again.")
    if data.min() == data.max():
        raise Failure("map-empty", f"{path}: every voxel is {float(data.flat[0]):g}.", "Check that this is the right map.")
    pixel_size = float(maps.meta.get("pixel_size") or image.pixel_size or 0.0)
    if pixel_size <= 0:
        raise Failure("pixel-size", f"{path}: neither the set nor the header tells its pixel size.", "Import it again with a pixel size.")
    return StoredMap(data, pixel_size, image.header.origin, row, column)


def grid_of(maps: Maps) -> tuple[int, float]:
    """Return box (px) and pixel size (Å, 0 if it is not told) of a set of maps, without reading them."""
    first = next(iter(rows_of(maps)), {})
    return int(first.get("box_size") or maps.meta.get("box_size") or 0), float(maps.meta.get("pixel_size") or 0.0)


def changed_maps(
    job: Job, maps: Maps, change: Callable[[StoredMap], Map], *, pixel_size: float | None = None, kept: tuple[str, ...] = (),
    told: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None, meta: Mapping[str, Any] | None = None,
) -> Volume | Mask:  # fmt: skip
    """Write every map of a set, changed, and return the set of them: masks for masks, volumes for volumes and classes.

    Parameters
    ----------
    change
        Makes the new map of one. What lies at a place, by the header, lies there in both: the origin moves with the box.
    pixel_size
        Of the new maps, Å; None: as before.
    kept
        Columns of maps that stay as they are.
    told
        Further columns of a row, asked for after its maps are made.
    meta
        What is said of the new set, beside what holds of every part of the old one.
    """
    rows, found = rows_of(maps), []
    if not rows:
        raise Failure("no-maps", "The set holds no map.", "Choose a set with maps.")
    for number, row in enumerate(rows):
        job.progress(number, len(rows), f"map {number + 1} of {len(rows)}")
        plain = {name: value for name, value in row.items() if not name.endswith("_path") and name != "border_distance"}
        plain |= {name: row[name] for name in kept if row.get(name)}
        for column, name in FILES.items():
            if row.get(column) and column not in kept:
                old = stored_map(maps, row, column)
                new = change(old)
                size = pixel_size or old.pixel_size
                path = job.output(f"{name}.mrc" if len(rows) == 1 else f"map{int(row['id']):03d}_{name}.mrc")
                write_mrc(path, new, size, volume=True, origin=_moved_origin(old, len(new), size))
                plain |= {column: path.relative_to(job.root).as_posix(), "box_size": len(new)}
        found.append(plain | dict(told(row) if told else {}))
    items = pl.DataFrame(found, infer_schema_length=None)
    _, size = grid_of(maps)
    whole = {name: value for name, value in maps.meta.items() if name in OF_A_PART}
    whole |= {"pixel_size": pixel_size or size or stored_map(maps, rows[0]).pixel_size, "box_size": int(items["box_size"][0])}
    return (Mask if isinstance(maps, Mask) else Volume)(items, job.root, meta=whole | dict(meta or {}))


def _moved_origin(old: StoredMap, box: int, pixel_size: float) -> tuple[float, float, float]:
    """Return the origin of a map whose centre stays where it is."""
    moved = old.pixel_size * (len(old.data) // 2) - pixel_size * (box // 2)
    x, y, z = (round(each + moved, 6) + 0.0 for each in old.origin)
    return x, y, z
