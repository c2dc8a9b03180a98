"""Particle tables of other programs in our columns and units, before their images are looked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data.columns import COLUMNS, relion_names
from cryoloom.formats.relion_optics import with_optics
from cryoloom.formats.sources import item_names
from cryoloom.formats.star import demand_numbers, read_star
from cryoloom.spec import Failure

_OURS = {relion: ours for ours, relion in relion_names().items()}
_IN_PIXELS = {"rlnOriginX": "origin_x_px", "rlnOriginY": "origin_y_px"}
"""Of RELION 3.0 and before."""
_RESERVED = {column.name for column in COLUMNS} | {"image_file", "micrograph_file", "images", "broken", "dark", "why"}
_TOGETHER = (
    ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"),
    ("rlnOriginXAngst", "rlnOriginYAngst"),
    ("rlnOriginX", "rlnOriginY"),
    ("rlnAngleRot", "rlnAngleTilt"),
    ("rlnCoordinateX", "rlnCoordinateY"),
)


@dataclass(frozen=True)
class ParticleTable:
    """What a program says of its particles.

    Attributes
    ----------
    items
        One row a particle in the file's order: ``image_file`` (as written there), ``stack_index`` (from 0), ``micrograph_file`` (empty
        if unknown), ``optics_group``, our names of all columns we know, and the others under their own names. ``id`` where the file has it;
        ``origin_x_px``, ``origin_y_px`` instead of ``origin_x``, ``origin_y`` while the pixel size is not known.
    optics
        Optics groups; values that the file does not tell are missing or None.
    """

    items: pl.DataFrame
    optics: list[dict[str, Any]]


def read_particles_star(path: Path) -> ParticleTable:
    """Read particles of RELION 3.1 and later (optics groups) or 3.0 and earlier (one table, origins in px).

    Raises
    ------
    Failure
        ``star-no-particles`` without ``rlnImageName`` or without rows, ``star-column`` without a column that another one needs,
        and what `read_star`, `demand_numbers` and `with_optics` raise.
    """
    blocks = read_star(path)
    rows = next((frame for frame in blocks.values() if "rlnImageName" in frame.columns), None)
    if rows is None:
        found = ", ".join(f"data_{name}" for name in blocks)
        raise Failure("star-no-particles", f"{path}: no table with rlnImageName; it holds {found}.", "Give a particles STAR file.")
    if rows.is_empty():
        raise Failure("star-no-particles", f"{path}: its table of particles has no rows.", "Give a table with particles.")
    demand_numbers(rows, (label for label in _OURS if not label.endswith("Name")), path)
    demand_companions(rows, _TOGETHER, path)
    rows, optics = with_optics(rows, blocks, path)
    rows = without_our_names(rows)
    micrograph = rows["rlnMicrographName"] if "rlnMicrographName" in rows.columns else pl.lit("")
    names = {**_IN_PIXELS, **_OURS} if "rlnOriginXAngst" not in rows.columns else _OURS
    items = rows.rename({name: ours for name, ours in names.items() if name in rows.columns})
    items = items.drop("rlnImageName").with_columns(*image_places(rows["rlnImageName"], path), micrograph_file=micrograph)
    if "defocus_u" in items.columns and "phase_shift" not in items.columns:
        items = items.with_columns(phase_shift=pl.lit(0.0))
    return ParticleTable(origins_in_angstrom(items.drop("rlnMicrographName", strict=False), optics), optics)


def without_our_names(rows: pl.DataFrame, *, except_for: tuple[str, ...] = ()) -> pl.DataFrame:
    """Drop columns that go by a name of ours in a file of somebody else: a ``stack_path`` there must not decide what is read or copied."""
    return rows.drop([name for name in rows.columns if name not in except_for and (name in _RESERVED or name.endswith("_path"))])


def image_places(images: pl.Series, path: Path) -> list[pl.Series]:
    """Return ``image_file`` and ``stack_index`` (from 0) of names like ``000001@file``; a bare file is its first image.

    Raises
    ------
    Failure
        ``star-image-name`` naming what is neither.
    """
    place = images.str.splitn("@", 2).struct.unnest()
    bare = place["field_1"].is_null()
    file = place["field_1"].fill_null(place["field_0"]).alias("image_file")
    index = (place["field_0"].cast(pl.Int64, strict=False) - 1).zip_with(~bare, pl.repeat(0, len(images), dtype=pl.Int64, eager=True))
    if index.has_nulls():
        bad = images.filter(index.is_null())[0]
        raise Failure("star-image-name", f"{path}: {images.name} {bad!r} is not number@file.", "Correct the table.")
    return [file, index.alias("stack_index")]


def demand_companions(rows: pl.DataFrame, together: Iterable[tuple[str, ...]], path: Path) -> None:
    """Refuse half a defocus or half an origin: it would be taken for none.

    Raises
    ------
    Failure
        ``star-column``, when a table has some labels of one tuple of `together` and not all.
    """
    for labels in together:
        there = [label for label in labels if label in rows.columns]
        if there and len(there) < len(labels):
            missing = ", ".join(label for label in labels if label not in there)
            raise Failure("star-column", f"{path}: has {', '.join(there)} but no {missing}.", "Add what is missing, or leave out the rest.")


def origins_in_angstrom(items: pl.DataFrame, optics: list[dict[str, Any]]) -> pl.DataFrame:
    """Turn ``origin_x_px``, ``origin_y_px`` into ``origin_x``, ``origin_y`` once the pixel size of every optics group is known."""
    sizes = {group["optics_group"]: group.get("pixel_size") for group in optics}
    if "origin_x_px" not in items.columns or any(size is None for size in sizes.values()):
        return items
    scale = pl.col("optics_group").replace_strict(sizes, return_dtype=pl.Float64)
    angstrom = [(pl.col(f"origin_{axis}_px") * scale).alias(f"origin_{axis}") for axis in "xy"]
    return items.with_columns(angstrom).drop("origin_x_px", "origin_y_px")


def with_identities(items: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with ``id``, ``micrograph_id`` and ``micrograph_name``.

    Ids that the file carries stay if they are whole and unique; their upper bits then are the micrograph's id where each micrograph has
    one of its own. Otherwise micrographs (or stacks, where the micrograph is not known) are numbered from 1 in order of name, and
    particles within them in the file's order: ``id = micrograph_id << 20 | number``.
    """
    source = pl.when(pl.col("micrograph_file") == "").then("image_file").otherwise("micrograph_file")
    items = items.with_columns(_source=source)
    files = sorted(set(items["_source"].to_list()), key=lambda text: (Path(text).name, text))
    names = pl.DataFrame({"_source": files, "micrograph_name": item_names([Path(file) for file in files])})
    items = items.join(names.with_row_index("micrograph_id", 1), on="_source", how="left", maintain_order="left")
    items = items.with_columns(pl.col("micrograph_id").cast(pl.Int64)).drop("_source")
    if "id" in items.columns:
        kept = items["id"].dtype == pl.Int64 and not items["id"].has_nulls() and items["id"].is_unique().all()
        if kept:
            return _micrographs_of_ids(items)
        items = items.drop("id")
    number = pl.int_range(pl.len()).over("micrograph_id")
    return items.with_columns(id=pl.col("micrograph_id") * (1 << 20) + number)


def _micrographs_of_ids(items: pl.DataFrame) -> pl.DataFrame:
    upper = items.select("micrograph_name", upper=pl.col("id") // (1 << 20)).unique()
    one_to_one = upper["micrograph_name"].is_unique().all() and upper["upper"].is_unique().all() and (upper["upper"] > 0).all()
    return items.with_columns(micrograph_id=pl.col("id") // (1 << 20)) if one_to_one else items


def wrapped(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return angles in (-180, 180]."""
    return -((-degrees + 180.0) % 360.0 - 180.0)
