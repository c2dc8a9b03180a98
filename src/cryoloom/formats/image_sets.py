"""Sets of images as EMPIAR's deposition asks for them: what they are, how they are stored, and where."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.formats.empiar import CATEGORIES, FORMATS, VOXELS, coded
from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import read_mrc_header
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

KINDS = {
    "movies": "micrographs - multiframe",
    "micrographs": "micrographs - single frame",
    "particles": "picked particles - single frame - processed",
}
_COLUMNS = {"movies": "movie_path", "micrographs": "micrograph_path", "particles": "stack_path"}
_FORMATS = {".mrc": "MRC", ".mrcs": "MRCS", ".st": "MRCS", ".tif": "TIFF", ".tiff": "TIFF", ".eer": "EER", ".dm4": "DM4", ".dm3": "DM3"}
_PACKED = {".gz", ".bz2"}
_MODES = {12: "16 BIT FLOAT", 101: "4 BIT INTEGER"}
"""Modes of MRC files that are no type of numbers of their own."""
_TYPES = {
    "uint8": "UNSIGNED BYTE", "int8": "SIGNED BYTE", "uint16": "UNSIGNED 16 BIT INTEGER", "int16": "SIGNED 16 BIT INTEGER",
    "uint32": "UNSIGNED 32 BIT INTEGER", "int32": "SIGNED 32 BIT INTEGER", "float32": "32 BIT FLOAT",
}  # fmt: skip


@dataclass(frozen=True)
class ImageSet:
    """`told`: EMPIAR's fields; `files`: ``file`` (relative to the set's directory), ``bytes`` of each; `source`: where that directory is."""

    told: Mapping[str, Any]
    files: pl.DataFrame
    source: Path


def image_set(dataset: Dataset, name: str) -> ImageSet:
    """Describe the enabled rows of `dataset`, which is called `name`: ``movies``, ``micrographs`` or ``particles``.

    The directory is the one that the files have in the archive, ``data/movies``.

    Raises
    ------
    Failure
        ``file-missing``.
    """
    rows = dataset.enabled()
    paths = image_files(dataset, name)
    for path in paths:
        if not path.is_file():
            raise Failure("file-missing", f"{path}: there is no such file.", "Restore it; a linked original may have been moved.")
    source = Path(commonpath([path.parent for path in paths]))
    kinds = " AND ".join(sorted({_format(path) for path in paths}))
    first = rows.row(0, named=True)
    width, height = (first.get("width"), first.get("height")) if name != "particles" else (first.get("box_size"),) * 2
    frames, voxel = _stored(paths[0], int(first.get("frames") or 1) if name == "movies" else 1)
    told = {
        "name": name,
        "directory": f"data/{name}",
        "category": coded(KINDS[name], CATEGORIES),
        "header_format": coded(kinds, FORMATS),
        "data_format": coded(kinds, FORMATS),
        "num_images_or_tilt_series": rows.height,
        "frames_per_image": frames,
        "voxel_type": coded(voxel, VOXELS),
        "pixel_width": first.get("pixel_size"),
        "pixel_height": first.get("pixel_size"),
        "image_width": width,
        "image_height": height,
        "details": _details(first) or None,
    }
    listed = {"file": [path.relative_to(source).as_posix() for path in paths], "bytes": [path.stat().st_size for path in paths]}
    return ImageSet(told, pl.DataFrame(listed), source)


def image_files(dataset: Dataset, name: str) -> list[Path]:
    """Return the files of the enabled rows, each once, where they really lie."""
    return [dataset.file(path).resolve() for path in dataset.enabled()[_COLUMNS[name]].unique(maintain_order=True)]


def pattern_of(each: ImageSet) -> str:
    """Return a pattern of the files of a set, as they lie in the archive."""
    suffixes = {"".join(Path(name).suffixes[-2:]) if Path(name).suffix in _PACKED else Path(name).suffix for name in each.files["file"]}
    deep = "**/" if each.files["file"].str.contains("/", literal=True).any() else ""
    return f"{each.told['directory']}/{deep}*{suffixes.pop() if len(suffixes) == 1 else ''}"


def related(sets: Sequence[ImageSet], poses: str) -> list[dict[str, Any]]:
    """Return the fields of all sets, those of images and of what was picked on them pointing to each other; `poses`: file of the particles."""
    named = {each.told["name"]: each for each in sets}
    images, picked = named.get("micrographs") or named.get("movies"), named.get("particles")
    out = []
    for name, each in named.items():
        links: dict[str, Any] = {}
        if picked is not None and name != "particles":
            links = {"picked_particles_file_pattern": poses, "picked_particles_directory": picked.told["directory"]}
        elif picked is not None and images is not None:
            links = {"micrographs_file_pattern": pattern_of(images)}
        out.append({**each.told, **links})
    return out


def _format(path: Path) -> str:
    suffixes = [each for each in path.suffixes if each.lower() not in _PACKED]
    suffix = suffixes[-1].lower() if suffixes else ""
    return _FORMATS.get(suffix) or re.sub("[^A-Z0-9]", "", suffix.upper()) or "UNKNOWN"


def _stored(path: Path, frames: int) -> tuple[int, str]:
    """Return how many frames an image has, and the type of its numbers."""
    kind = _format(path)
    if kind == "EER":
        return open_movie(path).frames, "ELECTRON EVENTS"
    if kind.startswith("MRC") and (mode := read_mrc_header(path).mode) in _MODES:
        return frames, _MODES[mode]
    return frames, _TYPES.get(open_movie(path).dtype.name, "UNKNOWN")


def _details(row: Mapping[str, Any]) -> str:
    """Return what EMPIAR has no field for."""
    words = {
        "voltage": "{:g} kV",
        "cs": "Cs {:g} mm",
        "amplitude_contrast": "amplitude contrast {:g}",
        "dose_per_frame": "{:g} e/Å² a frame",
    }
    return ", ".join(text.format(row[name]) for name, text in words.items() if row.get(name) is not None)
