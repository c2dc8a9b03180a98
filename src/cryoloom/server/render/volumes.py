"""Maps and masks: which there are, their statistics, slices and single values.

Arrays are ``[z, y, x]``. A slice across z has rows along y and columns along x; across y, rows along z and columns along x; across x, rows along z
and columns along y. Row 0 is drawn at the top.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cryoloom.app.images import image_column
from cryoloom.app.outputs import OutputRef
from cryoloom.formats.mrc import open_mrc
from cryoloom.report.raster import grey_between, shrink
from cryoloom.server.render.asset import Asset, Rendered, demand_size, encoded, file_stamp, json_asset
from cryoloom.server.render.cache import rendered_json
from cryoloom.server.render.sources import file_of, row_of
from cryoloom.spec import WrongUse

Axis = Literal["x", "y", "z"]

_NAMES = {"volume_path": "map", "half_map1_path": "half1", "half_map2_path": "half2"}
_NO_MAPS = ("script_path",)
_SAMPLE = 1 << 24
"""Voxels that the level of a surface is taken from, spread evenly; of maps up to 256 a side all."""
ENCLOSED = 0.01
"""Part of the voxels that the suggested surface encloses, as ChimeraX does."""


@dataclass(frozen=True)
class Map:
    """One map of an output: its file, name and pixel size in Å (0: not known)."""

    path: Path
    name: str
    pixel_size: float

    def voxels(self) -> NDArray[Any]:
        """Return its voxels ``[z, y, x]``, on disk where the file allows it."""
        data = open_mrc(self.path).data
        return data if data.ndim == 3 else data[None]

    @property
    def stamp(self) -> tuple[Any, ...]:
        """Return what decides its voxels and their size."""
        return (*file_stamp(self.path), self.pixel_size)


def _columns(output: OutputRef) -> dict[str, str]:
    """Return the columns of maps by our short names, the set's own first."""
    own = image_column(output.dataset)
    if own not in ("volume_path", "mask_path"):
        raise WrongUse("no-volumes", f"{output} is a set of {output.kind}, which has no maps.", "Volumes, masks and 3D classes have some.")
    others = [name for name in output.dataset.schema if name.endswith("_path") and name not in (own, *_NO_MAPS)]
    return {_NAMES.get(name, name.removesuffix("_path")): name for name in (own, *others)}


def find(output: OutputRef, which: str = "", number: int | None = None) -> Map:
    """Return a map of an output.

    Parameters
    ----------
    which
        ``map``, ``half1``, ``half2``, ``unfiltered``, ``mask`` ..., as ``volume.json`` lists them; by default the set's own.
    number
        The id of its row, such as that of a class; the first by default.

    Raises
    ------
    WrongUse
        ``no-volumes``, ``unknown-volume``, ``unknown-id``.
    Failure
        ``file-cleaned``, ``file-missing``, and what is wrong with the file.
    """
    columns = _columns(output)
    name = which or next(iter(columns))
    if name not in columns:
        raise WrongUse("unknown-volume", f"{output} has no {name!r}.", f"There are {', '.join(columns)}.")
    if number is None:
        number = int(output.dataset.ids()[0])
    path = file_of(output, row_of(output.dataset, number, (columns[name],))[columns[name]], f"map {name!r}")
    image = open_mrc(path)
    return Map(path, name, float(output.pixel_size or image.pixel_size))


def maps_of(output: OutputRef) -> list[dict[str, Any]]:
    """Return one entry a row: ``id``, ``which`` (the maps it has) and, of classes, what is known of each."""
    columns = _columns(output)
    numbers = [name for name in ("class_id", "count", "distribution", "estimated_resolution") if name in output.dataset.schema]
    rows = output.dataset.scan([*columns.values(), *numbers]).collect()
    return [
        {"id": row["id"], "which": [short for short, name in columns.items() if row[name]], **{name: row[name] for name in numbers}}
        for row in rows.iter_rows(named=True)
    ]


def described(output: OutputRef, which: str = "", number: int | None = None, mask: Map | None = None) -> Asset:
    """Return what there is, and the numbers of one map.

    ``volumes``: one entry a row, with ``id``, ``which`` (the maps it has) and, of classes, ``class_id``, ``count``, ``distribution`` and
    ``estimated_resolution``. Of the map chosen ``id``, ``name``, ``shape`` (z, y, x), ``pixel_size`` (Å, null where it is not known), ``min``, ``max``,
    ``mean``, ``sigma``, and ``level``, above which 1 % of the voxels lie, those outside of `mask` counted as 0; no more than half of a mask is
    enclosed. The level of a mask itself is 0.5. ``limits`` are there for local resolutions: Å between which colours may run.
    """
    chosen = find(output, which, number)
    there = maps_of(output)

    def make() -> Mapping[str, Any]:
        return {
            "volumes": there,
            "id": there[0]["id"] if number is None else number,
            "name": chosen.name,
            "pixel_size": chosen.pixel_size or None,
            **statistics(chosen),
            "level": 0.5 if chosen.name == "mask" else _level(chosen, mask),
            "limits": output.dataset.meta.get("colour_limits") if chosen.name in ("map", "painter") else None,
        }

    return json_asset((output.hash, *chosen.stamp, chosen.name, number, mask.stamp if mask else None, "described"), make)


def statistics(chosen: Map) -> dict[str, Any]:
    """Return ``shape`` and ``min``, ``max``, ``mean``, ``sigma`` of the voxels that are numbers."""

    def make() -> Mapping[str, Any]:
        voxels = chosen.voxels()
        low, high, total, squares, count = math.inf, -math.inf, 0.0, 0.0, 0
        for section in voxels:  # one at a time: maps may be larger than memory allows several of
            finite = np.asarray(section, dtype=np.float64)
            finite = finite[np.isfinite(finite)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                total, squares, count = total + float(finite.sum()), squares + float(np.square(finite).sum()), count + finite.size
        mean = total / max(count, 1)
        sigma = math.sqrt(max(squares / max(count, 1) - mean * mean, 0.0))
        return {"shape": list(voxels.shape), "min": low if count else 0.0, "max": high if count else 0.0, "mean": mean, "sigma": sigma}

    return rendered_json(json_asset((*chosen.stamp, "statistics"), make, kept=True))


def _level(chosen: Map, mask: Map | None) -> float:
    def make() -> Mapping[str, Any]:
        voxels = chosen.voxels()
        step = math.ceil(voxels.size / _SAMPLE) | 1 if voxels.size > _SAMPLE else 1
        values = np.asarray(voxels, dtype=np.float32).reshape(-1)[::step]
        enclosed = ENCLOSED * values.size
        if mask is not None:
            inside = mask.voxels()
            if inside.shape != voxels.shape:
                message = f"{mask.path} has {inside.shape} voxels, {chosen.path} {voxels.shape}."
                raise WrongUse("shapes-differ", message, "Choose a mask that was made for this map.")
            inside = np.asarray(inside, dtype=np.float32).reshape(-1)[::step]
            values = values * inside
            enclosed = min(enclosed, np.count_nonzero(inside) / 2)
        values = values[np.isfinite(values)]
        place = max(values.size - max(1, round(enclosed)), 0)
        return {"level": float(np.partition(values, place)[place]) if values.size else 0.0}

    stamp = (*chosen.stamp, mask.stamp if mask else None, "level")
    return rendered_json(json_asset(stamp, make, kept=True))["level"]


def cut(voxels: NDArray[Any], axis: Axis, index: int) -> NDArray[Any]:
    """Return one slice; raises `WrongUse`, ``unknown-slice``, for one beyond the map."""
    place = "zyx".index(axis)
    if not 0 <= index < voxels.shape[place]:
        raise WrongUse("unknown-slice", f"There is no slice {index} across {axis}: the map has {voxels.shape[place]}.", "Count from 0.")
    return voxels[(slice(None),) * place + (index,)]


def section(chosen: Map, axis: Axis, index: int | None, kind: str) -> Asset:
    """Return one slice, the middle one by default, grey from the least to the largest value of the whole map (``X-Low``, ``X-High``)."""
    voxels = chosen.voxels()
    shown = voxels.shape["zyx".index(axis)] // 2 if index is None else index
    plane = cut(voxels, axis, shown)
    demand_size(plane.size, "Ask for a brick.")

    def make() -> Rendered:
        return _grey(chosen, np.asarray(plane, dtype=np.float32), kind, {"X-Index": str(shown)})

    return Asset((*chosen.stamp, "slice", axis, shown, kind), make)


def montage(chosen: Map, axis: Axis, count: int, columns: int, size: int) -> Asset:
    """Return evenly spaced slices on one PNG sheet, row after row, each of `size` px a side at most; ``X-Slices`` tells their numbers."""
    voxels = chosen.voxels()
    depth = voxels.shape["zyx".index(axis)]
    if not (1 <= count <= 256 and 1 <= columns <= count and size >= 8):
        raise WrongUse("bad-page", f"{count} slices, {columns} a row, of {size} px: that cannot be drawn.", "Ask for 1 to 256 slices.")
    demand_size(math.ceil(count / columns) * columns * size * size, "Ask for fewer or smaller slices.")
    chosen_slices = sorted({min(int((number + 0.5) * depth / count), depth - 1) for number in range(count)})

    def make() -> Rendered:
        cells = [shrink(np.asarray(cut(voxels, axis, index), dtype=np.float32), size) for index in chosen_slices]
        height, width = cells[0].shape
        canvas = np.full((math.ceil(len(cells) / columns) * height, columns * width), np.nan, dtype=np.float32)
        for number, cell in enumerate(cells):
            row, column = divmod(number, columns)
            canvas[row * height : (row + 1) * height, column * width : (column + 1) * width] = cell
        told = {"X-Slices": ",".join(map(str, chosen_slices)), "X-Cell-Width": str(width), "X-Cell-Height": str(height)}
        return _grey(chosen, canvas, "png", told)

    return Asset((*chosen.stamp, "montage", axis, count, columns, size), make)


def _grey(chosen: Map, plane: NDArray[np.float32], kind: str, headers: Mapping[str, str]) -> Rendered:
    told = statistics(chosen)
    size = {"X-Pixel-Size": f"{chosen.pixel_size:.6g}"} if chosen.pixel_size else {}
    limits = {"X-Low": repr(told["min"]), "X-High": repr(told["max"])}
    return encoded(grey_between(plane, told["min"], told["max"]), kind, {**limits, **size, **headers})


def value(chosen: Map, x: int, y: int, z: int) -> Asset:
    """Return the value of one voxel, null if it is not a number.

    Raises
    ------
    WrongUse
        ``unknown-voxel``.
    """
    voxels = chosen.voxels()
    if not all(0 <= place < side for place, side in zip((z, y, x), voxels.shape, strict=True)):
        raise WrongUse("unknown-voxel", f"There is no voxel x {x}, y {y}, z {z}: the map has {voxels.shape} (z, y, x).", "Count from 0.")
    return json_asset(
        (*chosen.stamp, "value", x, y, z), lambda: {"x": x, "y": y, "z": z, "name": chosen.name, "value": float(voxels[z, y, x])}
    )
