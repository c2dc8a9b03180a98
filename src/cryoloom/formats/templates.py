"""Templates read from class averages or a map, checked, and brought to the pixel size that picking works at."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.data import Classes2D, Classes3D, Volume
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.stack import read_particles
from cryoloom.spec import Failure

if TYPE_CHECKING:
    from cryoloom.numerics.picking.bank import Bank

Images = NDArray[np.float32]


def averages(classes: Classes2D, diameter: float, warn: Callable[[str], None]) -> tuple[Images, list[int], float]:
    """Return the class averages that can be templates, their class ids, and their pixel size in Å; `warn` is told which cannot.

    Raises
    ------
    Failure
        ``no-templates`` when none is left, ``template-pixel-size`` without one, ``template-small`` for boxes smaller than the particle.
    """
    chosen = classes.select(classes.enabled()["id"])
    size = _pixel_size(classes)
    images = read_particles(chosen)
    numbers = chosen.items["class_id"].to_list()
    usable = np.isfinite(images).all(axis=(1, 2)) & (np.ptp(np.nan_to_num(images), axis=(1, 2)) > 0) if len(images) else np.zeros(0, bool)
    counted = np.array([count is None or count > 0 for count in chosen.items["count"]], dtype=bool)
    for number, fine, members in zip(numbers, usable, counted, strict=True):
        if not fine or not members:
            reason = "has no members" if not members else "is constant, or holds values that are not numbers"
            warn(f"Class {number} {reason} and is no template.")
    kept = usable & counted
    if not kept.any():
        raise Failure("no-templates", f"None of {len(classes)} class averages can be a template.", "Select classes that show particles.")
    _refuse_small(images.shape[-1], size, diameter)
    return images[kept], [number for number, keep in zip(numbers, kept, strict=True) if keep], size


def template_map(maps: Volume | Classes3D, diameter: float) -> tuple[Images, float]:
    """Return a map to project, the first or the largest class, and its pixel size in Å.

    Raises
    ------
    Failure
        ``map-unusable`` for a map of one value, or with values that are not finite; ``template-small`` for a box smaller than the particle.
    """
    rows = maps.enabled() if "enabled" in maps.items.columns else maps.items
    row = rows.sort("count", descending=True).row(0, named=True) if "count" in rows.columns else rows.row(0, named=True)
    image = read_mrc(maps.file(row["volume_path"]))
    data = np.asarray(image.data, dtype=np.float32)
    if not np.isfinite(data).all() or data.max() <= data.min():
        raise Failure("map-unusable", f"{row['volume_path']} is constant or holds values that are not finite.", "Choose another map.")
    size = float(maps.meta.get("pixel_size") or image.pixel_size)
    _refuse_small(data.shape[0], size, diameter)
    return data, size


def bank_of(path: Path, step: float) -> "tuple[Bank, float]":
    """Return the bank of a stack of templates turned in steps of `step` degrees, and their pixel size in Å; made once in a process."""
    return _bank(path, path.stat().st_mtime_ns, step)


@lru_cache(maxsize=1)
def _bank(path: Path, written: int, step: float) -> "tuple[Bank, float]":
    from cryoloom.numerics.picking.bank import build_bank

    image = read_mrc(path)
    return build_bank(np.ascontiguousarray(image.data, dtype=np.float32), step), float(image.pixel_size)


def _pixel_size(classes: Classes2D) -> float:
    found: Any = classes.meta.get("pixel_size") or next((group.get("pixel_size") for group in classes.optics or ()), None)
    if not found:
        raise Failure("template-pixel-size", "The class averages do not say their pixel size.", "Import them with one.")
    return float(found)


def _refuse_small(box: int, pixel_size: float, diameter: float) -> None:
    if box * pixel_size < diameter:
        raise Failure(
            "template-small", f"A template of {box} px of {pixel_size:g} Å is {box * pixel_size:.0f} Å across, the particle {diameter:g} Å.",
            "Give a smaller diameter, or templates in a box that holds the particle.",
        )  # fmt: skip
