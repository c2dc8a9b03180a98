"""Sets of images as EMPIAR's deposition form asks for them: what they are, how they are stored, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.formats.mrc import read_mrc_header
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

CATEGORIES = {
    "movies": "micrographs - multiframe",
    "micrographs": "micrographs - single frame",
    "particles": "picked particles - single frame - processed",
}
_COLUMNS = {"movies": "movie_path", "micrographs": "micrograph_path", "particles": "stack_path"}
_FORMATS = {".mrc": "MRC", ".mrcs": "MRCS", ".st": "MRCS", ".tif": "TIFF", ".tiff": "TIFF", ".eer": "EER", ".dm4": "DM4", ".dm3": "DM3"}
_PACKED = {".gz", ".bz2"}
_VOXELS = {
    0: "SIGNED BYTE",
    1: "SIGNED 16 BIT INTEGER",
    2: "32 BIT FLOAT",
    6: "UNSIGNED 16 BIT INTEGER",
    12: "16 BIT FLOAT",
    101: "UNSIGNED 4 BIT INTEGER",
}


@dataclass(frozen=True)
class ImageSet:
    """`told`: the form's fields; `files`: ``file`` (relative to the set's directory), ``bytes`` of each."""

    told: Mapping[str, Any]
    files: pl.DataFrame


def image_set(dataset: Dataset, name: str) -> ImageSet:
    """Describe the enabled rows of `dataset`, which is called `name`: ``movies``, ``micrographs`` or ``particles``.

    Raises
    ------
    Failure
        ``file-missing``.
    """
    rows = dataset.enabled()
    paths = [dataset.file(path).resolve() for path in rows[_COLUMNS[name]].unique(maintain_order=True)]
    for path in paths:
        if not path.is_file():
            raise Failure("file-missing", f"{path}: there is no such file.", "Restore it; a linked original may have been moved.")
    directory = Path(commonpath([path.parent for path in paths]))
    kinds = sorted({_format(path) for path in paths})
    first = rows.row(0, named=True)
    header = read_mrc_header(paths[0]) if kinds[0].startswith("MRC") else None
    width, height = (first.get("width"), first.get("height")) if name != "particles" else (first.get("box_size"),) * 2
    told = {
        "name": name,
        "directory": str(directory),
        "category": CATEGORIES[name],
        "header_format": ", ".join(kinds),
        "data_format": ", ".join(kinds),
        "num_images_or_tilt_series": rows.height,
        "frames_per_image": int(first.get("frames") or 1) if name == "movies" else 1,
        "voxel_type": "" if header is None else _VOXELS.get(header.mode, f"MRC mode {header.mode}"),
        "pixel_width": first.get("pixel_size"),
        "pixel_height": first.get("pixel_size"),
        "image_width": width,
        "image_height": height,
        "details": _details(first),
        "micrographs_file_pattern": f"*{paths[0].suffix}",
    }
    listed = {"file": [path.relative_to(directory).as_posix() for path in paths], "bytes": [path.stat().st_size for path in paths]}
    return ImageSet(told, pl.DataFrame(listed))


def _format(path: Path) -> str:
    suffixes = [each for each in path.suffixes if each.lower() not in _PACKED]
    return _FORMATS.get(suffixes[-1].lower() if suffixes else "", path.suffix.lstrip(".").upper())


def _details(row: Mapping[str, Any]) -> str:
    """Return what the form has no field for."""
    words = {
        "voltage": "{:g} kV",
        "cs": "Cs {:g} mm",
        "amplitude_contrast": "amplitude contrast {:g}",
        "dose_per_frame": "{:g} e/Å² a frame",
    }
    return ", ".join(text.format(row[name]) for name, text in words.items() if row.get(name) is not None)
