"""Micrograph tables of other programs in our columns and units, before their images are looked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data.columns import relion_names
from cryoloom.formats.relion_optics import with_optics
from cryoloom.formats.star import demand_numbers, read_star
from cryoloom.spec import Failure

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
