"""The panels of extracted particles: a gallery, mean and deviation, backgrounds, counts, and what was left out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from cryoloom.data import Particles
from cryoloom.report.panels import Funnel, Histogram, ImageGrid, TableView
from cryoloom.spec import Panel

SHOWN = 24
"""Particles of the gallery."""
AVERAGED = 1000
"""Particles of mean and deviation."""


def panels(particles: Particles, read: Callable[[Any], Any]) -> list[Panel]:
    """Return all of them; `read` gives the images of rows by their places. Disabled rows have no image and do not count."""
    rows = particles.items.with_row_index("place").filter("enabled")
    some = rows["place"].to_numpy().astype(np.int64)
    shown, averaged = (some[np.linspace(0, len(some) - 1, min(len(some), most)).astype(np.int64)] for most in (SHOWN, AVERAGED))
    gallery, images = list(read(shown)), read(averaged)
    counts = rows.group_by("micrograph_id").len()["len"].cast(pl.Float64).to_list()
    return [
        ImageGrid(title="Particles", images=gallery, size=80, caption=f"{len(gallery)} of {rows.height}, evenly chosen."),
        ImageGrid(
            title="Mean and deviation", images=[images.mean(axis=0), images.std(axis=0)], captions=["mean", "standard deviation"], size=140,
            caption="The mean of centred particles is a round blob in the middle; a ring in the deviation is a neighbour.",
        ),
        Histogram(title="Particles in a micrograph", values=counts, label="particles", bins=20),
        *_backgrounds(rows),
        *_left_out(particles, rows.height),
    ]  # fmt: skip


def _backgrounds(rows: pl.DataFrame) -> list[Panel]:
    words = {
        "background_mean": ("Mean of the backgrounds", "Before they were normalised: a second hump is another thickness of ice or carbon."),
        "background_sigma": ("Deviation of the backgrounds", "Before they were normalised: those far to the right have neighbours, carbon or ice in the box."),
    }  # fmt: skip
    there = {name: told for name, told in words.items() if name in rows.columns}
    return [
        Histogram(title=title, values=rows[name].to_list(), label="grey value", caption=caption) for name, (title, caption) in there.items()
    ]


def _left_out(particles: Particles, kept: int) -> list[Panel]:
    meta = particles.meta
    why = dict(meta["left_out_by"])
    if disabled := len(particles) - kept:
        reason = particles.items.filter(~pl.col("enabled"))["fail_reason"][0]
        why[f"disabled: {reason}"] = disabled
    panels: list[Panel] = [
        Funnel(
            title="From coordinates to particles",
            steps=[("Coordinates", meta["coordinates"], "particles"), ("Extracted", kept, "particles")],
        )
    ]
    if why:
        panels.append(TableView(title="Left out", columns={"why": list(why), "particles": list(why.values())}))
    return panels
