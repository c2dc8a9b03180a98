"""What all RELION tables of ours share: column names, optics groups; and images placed beside tables of any program."""

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cryoloom.data.columns import relion_names
from cryoloom.files import writing
from cryoloom.formats.mrc import MrcWriter, open_mrc, read_mrc_header
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

_OPTICS = {
    "optics_group_name": "rlnOpticsGroupName",
    "optics_group": "rlnOpticsGroup",
    "original_pixel_size": "rlnMicrographOriginalPixelSize",
    "micrograph_pixel_size": "rlnMicrographPixelSize",
    "voltage": "rlnVoltage",
    "cs": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
    "image_pixel_size": "rlnImagePixelSize",
    "box_size": "rlnImageSize",
    "image_dimensions": "rlnImageDimensionality",
    "phase_flipped": "rlnCtfDataArePhaseFlipped",
    "ctf_premultiplied": "rlnCtfDataAreCtfPremultiplied",
    "beam_tilt_x": "rlnBeamTiltX",
    "beam_tilt_y": "rlnBeamTiltY",
}
_RELION = relion_names()
_FOREIGN = ("rln", "cryoloom")
"""Columns that RELION or an earlier export of ours named; they go out as they came in."""


def optics_table(optics: list[dict[str, Any]], **sizes: Mapping[int, float | int] | float | int) -> pl.DataFrame:
    """Return ``data_optics``: what RELION knows of each group, and what it had itself when it was imported.

    Parameters
    ----------
    optics
        The set's groups.
    sizes
        Further values by our names (``image_pixel_size`` ...): one for all groups, or one a group number.
    """
    rows = []
    for group in optics:
        number = group["optics_group"]
        more = {name: value[number] if isinstance(value, Mapping) else value for name, value in sizes.items()}
        known = {**group, **more}
        row = {relion: known[name] for name, relion in _OPTICS.items() if known.get(name) is not None}
        rows.append({**row, **{name: value for name, value in group.items() if name.startswith("rln") and value is not None}})
    return whole_numbers(pl.DataFrame(rows, infer_schema_length=None))


def original_sizes(sizes: Mapping[int, float], related: Mapping[str, Dataset]) -> dict[int, float]:
    """Return the movies' or micrographs' pixel size of each optics group, the particles' own where neither is known."""
    original = dict(sizes)
    for kind in ("micrographs", "movies"):
        if kind in related:
            original.update(
                {group["optics_group"]: group["pixel_size"] for group in related[kind].optics if group["optics_group"] in sizes}
            )
    return original


def item_table(items: pl.DataFrame, *, leave_out: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return the columns that RELION has names for, under those, and those that were RELION's all along."""
    names = {ours: relion for ours, relion in _RELION.items() if ours in items.columns and ours not in leave_out}
    foreign = [name for name in items.columns if name.startswith(_FOREIGN) and name not in names.values()]
    kept = [ours for ours in names if not items[ours].is_null().all()]
    return whole_numbers(items.select([pl.col(ours).alias(names[ours]) for ours in kept] + [pl.col(name) for name in foreign]))


def whole_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with missing whole numbers as 0, which RELION reads where it could not read ``nan``."""
    return frame.with_columns(pl.col(pl.Int64, pl.Int32, pl.UInt32, pl.UInt64, pl.Boolean).fill_null(0))


def enabled(dataset: Dataset) -> pl.DataFrame:
    """Return the rows of a set that later steps may use."""
    return dataset.items.filter(pl.col("enabled")) if "enabled" in dataset.items.columns else dataset.items


def demand_unmirrored(items: pl.DataFrame, program: str) -> None:
    """Refuse particles that are aligned as mirrored, for a program that has no word for it.

    Raises
    ------
    Failure
        ``export-flip``.
    """
    if "flip" in items.columns and items["flip"].any():
        message = f"{int(items['flip'].sum())} particles are aligned as mirrored; {program} has no word for it."
        raise Failure("export-flip", message, "Classify or align them again, or export them to Xmipp.")


def place_file(source: Path, target: Path) -> Path:
    """Give `source` a second name, `target`; a copy where the file system has no hard links or lies elsewhere.

    Raises
    ------
    Failure
        ``file-missing``.
    """
    source = source.resolve()
    if not source.is_file():
        raise Failure("file-missing", f"{source}: there is no such file.", "Restore it; a linked original may have been moved.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with writing(target) as temporary:
            shutil.copyfile(source, temporary)
    return target


def place_image(source: Path, target: Path, pixel_size: float, *, is_map: bool = False) -> Path:
    """Place an MRC image or stack; one that RELION cannot read (float16, another axis order or byte order, no stamp) is rewritten.

    A map whose header says another pixel size than `pixel_size` Å is rewritten too: RELION takes a map's from there.
    """
    header = read_mrc_header(source)
    plain = header.mode in (0, 1, 2, 6) and not header.notes and source.suffix.lower() not in (".gz", ".bz2")
    usual = header.axes == (1, 2, 3) and header.dtype.isnative and not (header.mode == 0 and header.dtype.kind == "u")
    if plain and usual and not (is_map and pixel_size and abs(header.pixel_size / pixel_size - 1) > 1e-4):
        return place_file(source, target)
    image = open_mrc(source)
    data = image.data if image.data.ndim == 3 else image.data[None]
    with MrcWriter(target, data.shape[1:], pixel_size or header.pixel_size, volume=is_map, origin=header.origin) as writer:
        for section in data:
            writer.append(np.asarray(section, dtype=np.float32))
    return target


def place_stacks(particles: Dataset, items: pl.DataFrame, directory: Path) -> dict[str, str]:
    """Place the stacks of `items` below ``particles/`` and return where each lies: under its own name, numbered where that is not the only one."""
    sizes = particles.of_groups("pixel_size")
    stacks = items.group_by("stack_path", maintain_order=True).agg(pl.col("optics_group").first())
    count = Counter(Path(path).stem for path in stacks["stack_path"])
    seen: Counter[str] = Counter()
    files = {}
    for path, group in stacks.iter_rows():
        stem = Path(path).stem
        seen[stem] += 1
        files[path] = f"particles/{stem}{f'_{seen[stem]}' if count[stem] > 1 else ''}.mrcs"
        place_image(particles.file(path), directory / files[path], sizes[group])
    return files


def stacked_name(stem: str, number: pl.Expr, path: pl.Expr) -> pl.Expr:
    """Return RELION's ``000001@path`` from image numbers counted from 0."""
    return pl.concat_str((number + 1).cast(pl.String).str.zfill(6), pl.lit("@"), path).alias(stem)
