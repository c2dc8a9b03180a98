"""Our sets as Xmipp 3 keeps them: ``.xmd`` and ``.pos``, images beside them, all paths relative to one folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cryoloom.data import Classes2D, CTFs, Mask, Micrographs, Particles, Volume
from cryoloom.data.columns import xmipp_names
from cryoloom.files import make_folder
from cryoloom.formats.coordinates import by_micrograph
from cryoloom.formats.exchange import Writer
from cryoloom.formats.micrograph_table import place_micrographs, with_transfer_functions
from cryoloom.formats.relion import export_relion
from cryoloom.formats.relion_tables import enabled, place_stacks, stacked_name
from cryoloom.formats.star import Block, write_star
from cryoloom.formats.xmipp_geometry import to_xmipp
from cryoloom.tables import Dataset

_FIRST = "# XMIPP_STAR_1 *\n#\n"
_NAMES = xmipp_names()
_CTF = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_score")
_ACQUISITION = ("voltage", "cs", "amplitude_contrast")


def write_xmd(path: Path, blocks: Mapping[str, Block]) -> Path:
    """Write Xmipp's kind of STAR: its first line, labels without numbers."""
    make_folder(path.parent)
    write_star(path, blocks, heading="", first=_FIRST, numbered=False)
    return path


def export_particles(particles: Particles, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``particles.xmd`` and the stacks; positions are whole px, as Xmipp's are."""
    items = enabled(particles)
    groups = particles.groups
    files = place_stacks(particles, items, Path(directory))
    placed = items.with_columns(_file=pl.col("stack_path").replace_strict(files, return_dtype=pl.String))
    image = placed.select(stacked_name("image", pl.col("stack_index"), pl.col("_file")))
    sizes = np.asarray([groups[group]["pixel_size"] for group in items["optics_group"]], dtype=np.float64)
    columns: dict[str, Any] = {"itemId": items["id"], "enabled": [1] * items.height, "image": image["image"]}
    if "micrograph_name" in items.columns:
        columns["micrograph"] = "micrographs/" + items["micrograph_name"] + ".mrc"
    for ours in ("micrograph_id", "class_id"):
        if ours in items.columns and not items[ours].is_null().all():
            columns[_NAMES[ours]] = items[ours]
    columns |= _positions(items) | _acquired(items, groups) | to_xmipp(items, sizes)
    return [write_xmd(Path(directory) / "particles.xmd", {"noname": pl.DataFrame(columns)})]


def export_coordinates(coordinates: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``coordinates/MICROGRAPH.pos``, one a micrograph, in whole px."""
    written = []
    for micrograph, rows in by_micrograph(coordinates):
        table = pl.DataFrame(
            {"itemId": rows["id"], "enabled": [1] * rows.height, **_positions(rows), "micrographId": rows["micrograph_id"]}
        )
        blocks: dict[str, Block] = {"header": pl.DataFrame({"pickingMicrographState": ["Manual"]}), "particles": table}
        written.append(write_xmd(Path(directory) / "coordinates" / f"{micrograph}.pos", blocks))
    return written


def export_micrographs(dataset: Micrographs | CTFs, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``micrographs.xmd`` and the micrographs, with their transfer functions; see `with_transfer_functions`."""
    micrographs, items = with_transfer_functions(dataset, related)
    groups = micrographs.groups
    columns = {
        "itemId": items["id"],
        "enabled": [1] * items.height,
        "micrograph": pl.Series(place_micrographs(micrographs, items, Path(directory)), dtype=pl.String),
        "micrographId": items["id"],
        **_acquired(items, groups),
    }
    return [write_xmd(Path(directory) / "micrographs.xmd", {"noname": pl.DataFrame(columns)})]


def export_classes2d(classes: Classes2D, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``classes.xmd`` with the averages; members carry ``ref`` in the particles."""
    from cryoloom.formats.stack import read_particles, write_stack

    items = classes.items.sort("class_id")
    ordered = Classes2D(items, classes.root, optics=classes.optics, meta=classes.meta)
    size = float(classes.meta.get("pixel_size") or classes.optics[0]["pixel_size"])
    stack = make_folder(Path(directory)) / "classes.mrcs"
    write_stack(stack, read_particles(ordered), size)
    images = [f"{number:06d}@classes.mrcs" for number in range(1, items.height + 1)]
    table = pl.DataFrame({"ref": items["class_id"], "image": images, "classCount": items["count"]})
    return [write_xmd(Path(directory) / "classes.xmd", {"classes": table}), stack]


def export_volume(volume: Volume, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``volumes.xmd`` and the maps with their half maps, plain MRC."""
    maps = export_relion(volume, name, Path(directory), related=related)
    whole = [path.name for path in maps if not path.stem.endswith("_unfil")]
    size = float(volume.meta.get("pixel_size") or 0)
    table = pl.DataFrame({"itemId": volume.items["id"], "enabled": [1] * len(whole), "image": whole, "samplingRate": [size] * len(whole)})
    return [write_xmd(Path(directory) / "volumes.xmd", {"noname": table}), *maps]


def export_mask(mask: Mask, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write the masks, plain MRC."""
    return export_relion(mask, name, Path(directory), related=related)


def _positions(items: pl.DataFrame) -> dict[str, Any]:
    if not {"x", "y"} <= set(items.columns):
        return {}
    found: dict[str, Any] = {_NAMES[axis]: items[axis].round().cast(pl.Int64) for axis in ("x", "y")}
    if "score" in items.columns and not items["score"].is_null().all():
        found[_NAMES["score"]] = items["score"].fill_null(0.0)
    return found


def _acquired(items: pl.DataFrame, groups: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the pixel size and, where there are any, the transfer functions, phase shifts in radians."""
    found: dict[str, Any] = {"samplingRate": [groups[group]["pixel_size"] for group in items["optics_group"]]}
    if "defocus_u" in items.columns:
        for ours in _ACQUISITION:
            found[_NAMES[ours]] = [groups[group].get(ours) for group in items["optics_group"]]
        found |= {_NAMES[ours]: items[ours] for ours in _CTF if ours in items.columns}
        found["ctfSamplingRate"] = found["samplingRate"]
        if "phase_shift" in items.columns:
            found[_NAMES["phase_shift"]] = np.deg2rad(items["phase_shift"].fill_null(0.0).to_numpy())
    return found


WRITERS: dict[str, Writer] = {
    "particles": export_particles,
    "coordinates": export_coordinates,
    "micrographs": export_micrographs,
    "ctfs": export_micrographs,
    "classes2d": export_classes2d,
    "volume": export_volume,
    "mask": export_mask,
}
