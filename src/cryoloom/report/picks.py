"""The panels of picks: where they lie, how sure they are, how many a micrograph has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, Micrographs
from cryoloom.report.panels import Histogram, MarkedImage
from cryoloom.spec import Panel


def pick_panels(picks: Coordinates, micrographs: Micrographs, diameter: float, read: Callable[[Path], Any]) -> list[Panel]:
    """Return the micrograph with the median number of picks under circles of `diameter` Å, and the histograms of scores and of counts.

    `read` returns the image ``(h, w)`` of a file.
    """
    items = picks.items
    counts = items.group_by("micrograph_id", maintain_order=True).len().sort("len")
    panels: list[Panel] = []
    if counts.height:
        typical = counts["micrograph_id"][counts.height // 2]
        row = micrographs.items.filter(pl.col("id") == typical).row(0, named=True)
        mine = items.filter(pl.col("micrograph_id") == typical)
        image = read(micrographs.file(row.get("weighted_path") or row["micrograph_path"]))
        pixel_size = float(micrographs.optics[0]["pixel_size"])
        panels.append(
            MarkedImage(
                title=f"Picks on {row['micrograph_name']}", image=image, x=mine["x"].to_list(), y=mine["y"].to_list(),
                radius=diameter / pixel_size / 2, caption="The micrograph with the median number of picks; circles have the diameter given.",
            )
        )  # fmt: skip
    return [
        *panels,
        Histogram(title="Probability", values=items["score"].to_list(), label="probability of being a particle"),
        Histogram(title="Picks in a micrograph", values=[float(count) for count in counts["len"]], label="picks", bins=20),
    ]
