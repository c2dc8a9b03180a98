"""The panels of aligned movies: trajectories, spectra before and after, and the table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from cryoloom.report.panels import FlowArrows, Histogram, ImageGrid, TableView, Trajectory
from cryoloom.spec import Panel

SPECTRA = 6
"""Micrographs whose spectra are shown: those that moved least."""


def panels(rows: pl.DataFrame, pixel_size: float, images: Mapping[str, Any], local: tuple[dict[str, Any], Any, Any] | None) -> list[Panel]:
    """Return the panels of aligned movies.

    Parameters
    ----------
    pixel_size
        Of the movies, Å.
    images
        Pictures of power spectra, by the names of their micrographs.
    local
        Row, image, and displacements of the movie of largest local motion, as `field_arrows` takes them; None where all moved as a whole.
    """
    arrows = [] if local is None else [field_arrows(*local)]
    return [*trajectories(rows, pixel_size), *arrows, spectra(images), *lengths(rows), outliers(rows, pixel_size)]


def trajectories(rows: pl.DataFrame, pixel_size: float) -> list[Panel]:
    """Return the paths of the micrographs of median and of largest motion; `pixel_size` is the movies', Å."""
    rows = rows.sort("motion_total")
    panels: list[Panel] = []
    places = {rows.height - 1: "largest", rows.height // 2: "median"}
    for place, label in sorted(places.items()):
        row = rows.row(place, named=True)
        x, y = ([-value * pixel_size for value in row[f"shift_{axis}"]] for axis in "xy")
        caption = f"{row['motion_total']:.1f} Å in all; the {label} motion of the set. Green: first frame, red: last."
        panels.append(Trajectory(title=f"Motion of {row['micrograph_name']}", x=x, y=y, caption=caption))
    return panels


def spectra(images: Mapping[str, Any]) -> Panel:
    """Return the pictures of power spectra, half aligned and half as recorded, by the names of their micrographs."""
    return ImageGrid(
        title="Power spectra", images=list(images.values()), size=150, captions=list(images),
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


ARROWS = 9
"""Places an axis at which a field is shown."""

JUMP = 10.0
"""Å between two frames beyond which a movie stands out."""

FAR = 4.0
"""Robust standard deviations of the accumulated motion of the set beyond which a movie stands out."""

EVEN = 4.0
"""Å of accumulated motion that is within the common run in any set."""


def field_arrows(row: dict[str, Any], image: Any, moved: Any) -> Panel:
    """Return the local motion of a micrograph: `moved` are its displacements at even places of all frames, ``(n, rows, columns, 2)`` px."""
    path = np.asarray(moved)[-1] - np.asarray(moved)[0]
    path = path - path.mean(axis=(0, 1))
    return FlowArrows(
        title=f"Local motion of {row['micrograph_name']}", image=image, dx=path[..., 0].tolist(), dy=path[..., 1].tolist(),
        caption=f"From the first frame to the last, the mean over the frame taken off; the largest of the set, {row['local_motion']:.2f} Å RMS.",
    )  # fmt: skip


def outliers(rows: pl.DataFrame, pixel_size: float) -> Panel:
    """Return the micrographs that stand out of the set, and by what."""
    total = rows["motion_total"].to_numpy()
    middle = float(np.median(total))
    spread = max(1.4826 * float(np.median(np.abs(total - middle))), EVEN / FAR)
    found: dict[str, list[Any]] = {"micrograph_name": [], "motion_total": [], "why": []}
    for row in rows.sort("motion_total", descending=True).iter_rows(named=True):
        steps = np.hypot(np.diff(row["shift_x"]), np.diff(row["shift_y"])) * pixel_size
        reasons = [
            f"{steps.max():.1f} Å between frames {steps.argmax() + 1} and {steps.argmax() + 2} of those used"
            if steps.max(initial=0) > JUMP
            else "",
            f"moved {row['motion_total']:.1f} Å, the median {middle:.1f} Å" if row["motion_total"] > middle + FAR * spread else "",
            "the motion found was worse than none, and refused"
            if row.get("motion_refused")
            else "no motion above the noise"
            if not row["motion_sure"]
            else "",
            f"{row['bad_pixels']} bad pixels" if row["bad_pixels"] > 0.01 * row["width"] * row["height"] else "",
        ]
        if any(reasons):
            found["micrograph_name"].append(row["micrograph_name"])
            found["motion_total"].append(row["motion_total"])
            found["why"].append("; ".join(filter(None, reasons)))
    caption = "" if found["why"] else "None: all micrographs moved alike."
    return TableView(title="Micrographs that stand out", columns=found, caption=caption)
