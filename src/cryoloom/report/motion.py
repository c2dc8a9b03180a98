"""The panels of aligned movies: trajectories, spectra before and after, and the table."""

from typing import Any

import polars as pl

from cryoloom.report.panels import Histogram, ImageGrid, TableView, Trajectory
from cryoloom.spec import Panel

SPECTRA = 6
"""Micrographs whose spectra are shown: those that moved least."""


def trajectories(rows: pl.DataFrame, pixel_size: float) -> list[Panel]:
    """Return the paths of the micrographs of median and of largest motion; `pixel_size` is the movies', Å."""
    rows = rows.sort("motion_total")
    panels: list[Panel] = []
    for label, place in (("median", rows.height // 2), ("largest", rows.height - 1)):
        row = rows.row(place, named=True)
        x, y = ([-value * pixel_size for value in row[f"shift_{axis}"]] for axis in "xy")
        caption = f"{row['motion_total']:.1f} Å in all; the {label} motion of the set. Green: first frame, red: last."
        panels.append(Trajectory(title=f"Motion of {row['micrograph_name']}", x=x, y=y, caption=caption))
    return panels


def spectra(names: list[str], images: list[Any]) -> Panel:
    """Return the pictures of power spectra, half aligned and half as recorded."""
    return ImageGrid(
        title="Power spectra", images=images, size=150, captions=names,
        caption="Left half aligned, right half not: rings reach further on the left.",
    )  # fmt: skip


def lengths(rows: pl.DataFrame, columns: tuple[str, ...] = ()) -> list[Panel]:
    """Return how far the micrographs moved, as a histogram and as a table with further `columns`."""
    rows = rows.sort("motion_total")
    names = ("micrograph_name", "motion_total", "motion_early", "motion_late", "local_motion", *columns, "bad_pixels")
    return [
        Histogram(title="Accumulated motion", values=rows["motion_total"].to_list(), label="Å"),
        TableView(title="Micrographs", columns={name: rows[name].to_list() for name in names}),
    ]
