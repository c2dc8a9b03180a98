"""Picks over a micrograph, for the reports of pickers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Coordinates
from cryoloom.report.panels import MarkedImage
from cryoloom.spec import Panel


def picks_panel(coordinates: Coordinates, read: Callable[[Path], Any]) -> list[Panel]:
    """Return the micrograph with the median number of picks, circles of the particle's diameter on it; nothing where there are no picks.

    `read` returns an image of a file, its pixels in ``data``.
    """
    picks = coordinates.items
    counts = picks.group_by("micrograph_id", maintain_order=True).len().sort("len", "micrograph_id")
    if counts.is_empty():
        return []
    mine = picks.filter(pl.col("micrograph_id") == counts["micrograph_id"][counts.height // 2])
    row = mine.row(0, named=True)
    sizes = {group["optics_group"]: float(group["pixel_size"]) for group in coordinates.optics}
    return [
        MarkedImage(
            title=f"Picks on {row['micrograph_name']}", image=read(coordinates.file(row["micrograph_path"])).data,
            x=mine["x"].to_list(), y=mine["y"].to_list(), radius=row["diameter"] / sizes[row["optics_group"]] / 2,
            caption="The micrograph with the median number of picks; circles have the diameter given.",
        )
    ]  # fmt: skip
