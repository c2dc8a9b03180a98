"""The grey scales of micrographs as a panel."""

import polars as pl

from cryoloom.report.panels import Histogram
from cryoloom.spec import Panel


def grey_scale_panel(particles: pl.DataFrame) -> list[Panel]:
    """Return a histogram of the micrographs' grey scales; nothing where they are all the same."""
    if "grey_scale" not in particles.columns or particles["grey_scale"].n_unique() < 2:
        return []
    by = "micrograph_id" if "micrograph_id" in particles.columns else "optics_group"
    values = particles.group_by(by).agg(pl.col("grey_scale").first()).sort(by)["grey_scale"].to_list()
    caption = "Below one: thicker ice or a lower dose than in the other micrographs. Strays are worth a look."
    return [Histogram(title="Grey scales of micrographs", values=values, label="grey scale", caption=caption)]
