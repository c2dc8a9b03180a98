"""Micrograph tables of other programs in our columns and units, before their images are looked for; and what writers of such tables share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import CTFs, Micrographs
from cryoloom.data.columns import relion_names
from cryoloom.formats.relion_optics import with_optics
from cryoloom.formats.relion_tables import enabled, place_image
from cryoloom.formats.star import demand_numbers, read_star
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

_CTF = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_resolution", "ctf_score")
_LABELS = {relion: ours for ours, relion in relion_names().items() if ours in _CTF}
_GCTF = {"rlnFinalResolution": "ctf_resolution"}
"""Gctf and RELION 3.0 wrote the resolution of the fit under this name."""


@dataclass(frozen=True)
class MicrographTable:
    """What a program says of its micrographs.

    Attributes
    ----------
    items
        One row a micrograph: ``micrograph_file`` (as written there), ``optics_group``, and the columns of its transfer function where the
        file has them (``defocus_u`` ... in Å and degrees).
    optics
        Optics groups; values that the file does not tell are missing or None.
    """

    items: pl.DataFrame
    optics: list[dict[str, Any]]


def read_micrographs_star(path: Path) -> MicrographTable:
    """Read micrographs of RELION 3.1 and later (optics groups), or of RELION 3.0, Gctf and others (one table).

    Raises
    ------
    Failure
        ``star-no-micrographs`` without ``rlnMicrographName``, and what `read_star`, `demand_numbers` and `with_optics` raise.
    """
    blocks = read_star(path)
    rows = next((frame for frame in blocks.values() if _of_micrographs(frame)), None)
    if rows is None:
        found = ", ".join(f"data_{name}" for name in blocks)
        raise Failure("star-no-micrographs", f"{path}: no table of micrographs; it holds {found}.", "Give a micrographs STAR file.")
    labels = {**{name: ours for name, ours in _GCTF.items() if "rlnCtfMaxResolution" not in rows.columns}, **_LABELS}
    demand_numbers(rows, labels, path)
    rows, optics = with_optics(rows, blocks, path, size=("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"))
    items = rows.select(
        micrograph_file="rlnMicrographName",
        optics_group="rlnOpticsGroup",
        **{ours: pl.col(name).cast(pl.Float64) for name, ours in labels.items() if name in rows.columns},
    )
    if "defocus_u" in items.columns and "phase_shift" not in items.columns:
        items = items.with_columns(phase_shift=pl.lit(0.0))
    return MicrographTable(items, optics)


def _of_micrographs(frame: pl.DataFrame) -> bool:
    return "rlnMicrographName" in frame.columns and not {"rlnImageName", "rlnCoordinateX", "rlnMicrographCoordinates"} & set(frame.columns)


def with_transfer_functions(dataset: Micrographs | CTFs, related: Mapping[str, Dataset]) -> tuple[Micrographs, pl.DataFrame]:
    """Return micrographs, and their enabled rows with the columns of their transfer functions, those without one left out.

    Transfer functions are joined to the micrographs of `related`; micrographs to the latest transfer functions there, and where there are
    none their rows stay as they are.

    Raises
    ------
    Failure
        ``export-micrographs`` for transfer functions without micrographs.
    """
    micrographs, ctfs = (micrographs_of(related), dataset) if isinstance(dataset, CTFs) else (dataset, related.get("ctfs"))
    items = enabled(micrographs)
    if not isinstance(ctfs, CTFs):
        return micrographs, items
    fits = enabled(ctfs).drop("id", "enabled", "fail_reason", "optics_group", "micrograph_name", strict=False)
    fits = fits.drop([name for name in fits.columns if name in items.columns and name != "micrograph_id"])
    return micrographs, items.join(fits, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")


def micrographs_of(related: Mapping[str, Dataset]) -> Micrographs:
    """Return the micrographs that CTFs or positions are written with.

    Raises
    ------
    Failure
        ``export-micrographs`` when there are none.
    """
    micrographs = related.get("micrographs")
    if not isinstance(micrographs, Micrographs):
        raise Failure("export-micrographs", "CTFs are written with their micrographs, and there are none.", "Export all outputs: all.")
    return micrographs


def on_micrographs(
    items: pl.DataFrame, groups: Mapping[int, Mapping[str, Any]], micrographs: Dataset | None, *, picked_at: str
) -> pl.DataFrame:
    """Return `items` with ``x`` and ``y`` in px of the micrographs that are written with them, whichever they were picked on.

    Pixels of another size, and borders or regions that were cropped of the one or the other, move places. Those on other micrographs stay.

    Parameters
    ----------
    groups
        Optics groups of the items.
    picked_at
        Names the value of these that is the pixel size of the places; the micrographs' own where it is missing.
    """
    if micrographs is None or not {"x", "y", "optics_group", "micrograph_name"} <= set(items.columns):
        return items
    picked = [(number, group.get(picked_at), *start_of(group)) for number, group in groups.items()]
    there = [(number, group["pixel_size"], *start_of(group)) for number, group in micrographs.groups.items()]
    of_group = {"optics_group": items.schema["optics_group"]}
    tables = [
        pl.DataFrame(rows, schema=of_group | dict.fromkeys((f"_{of}_size", f"_{of}_x", f"_{of}_y"), pl.Float64), orient="row")
        for of, rows in (("picked", picked), ("there", there))
    ]
    named = micrographs.items.select("micrograph_name", pl.col("optics_group").cast(of_group["optics_group"]))
    named = named.unique("micrograph_name", keep="first").join(tables[1], on="optics_group").drop("optics_group")
    rows = items.join(tables[0], on="optics_group", how="left", maintain_order="left")
    rows = rows.join(named, on="micrograph_name", how="left", maintain_order="left")
    size = pl.col("_there_size")
    scale = pl.col("_picked_size").fill_null(size) / size
    moved = {axis: pl.col(axis) * scale + (pl.col(f"_picked_{axis}") - pl.col(f"_there_{axis}")) / size for axis in "xy"}
    return rows.with_columns(pl.coalesce(place, axis).alias(axis) for axis, place in moved.items()).select(items.columns)


def start_of(group: Mapping[str, Any]) -> tuple[float, float]:
    """Return where the first pixel of a group's micrographs lies in them as recorded, Å."""
    return float(group.get("offset_x") or 0.0), float(group.get("offset_y") or 0.0)


def place_micrographs(micrographs: Micrographs, items: pl.DataFrame, directory: Path) -> list[str]:
    """Place the micrographs of `items`, dose-weighted where they are, and return where each lies below `directory`."""
    sizes = micrographs.of_groups("pixel_size")
    files = []
    for row in items.iter_rows(named=True):
        files.append(f"micrographs/{row['micrograph_name']}.mrc")
        best = row.get("weighted_path") or row["micrograph_path"]
        place_image(micrographs.file(best), directory / files[-1], sizes[row["optics_group"]])
    return files
