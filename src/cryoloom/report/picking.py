"""The panels of a picking: where, how sure, how many, and what was picked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import Coordinates, Micrographs
from cryoloom.data.picking import BOX
from cryoloom.report.panels import Bars, Histogram, ImageGrid, LinePlot, MarkedImage, Series
from cryoloom.spec import Panel

SHOWN = 24
"""Boxes in the gallery."""

Reader = Callable[[Path], Any]


def picking_panels(micrographs: Micrographs, picks: Coordinates, read: Reader) -> list[Panel]:
    """Return picks over a micrograph, their scores, how many each micrograph has, and boxes from the surest to the least sure.

    Parameters
    ----------
    read
        Returns the image ``(h, w)`` in a file.
    """
    rows = picks.items
    if rows.is_empty():
        return []
    counts = rows.group_by("micrograph_id", "micrograph_name").len().sort("micrograph_id")
    typical = counts.sort("len", "micrograph_id")["micrograph_id"][counts.height // 2]
    diameter = float(picks.meta["diameter"])
    row = micrographs.to_polars().filter(pl.col("id") == typical).row(0, named=True)
    image = np.squeeze(read(micrographs.file(row.get("weighted_path") or row["micrograph_path"])))
    mine = rows.filter(pl.col("micrograph_id") == typical).sort("score", descending=True, nulls_last=True)
    across = diameter / row["pixel_size"]
    names, numbers = counts["micrograph_name"].to_list(), [float(count) for count in counts["len"]]
    panels: list[Panel] = [
        MarkedImage(
            title=f"Picks on {row['micrograph_name']}", image=image, x=mine["x"].to_list(), y=mine["y"].to_list(), radius=across / 2,
            scores=mine["score"].fill_null(1.0).to_list(),
            caption="The micrograph with the median number of picks; circles have the particle's diameter, and go from orange to green with the score.",
        )
    ]  # fmt: skip
    scores = rows["score"].drop_nulls()
    if scores.n_unique() > 1:
        panels.append(Histogram(title="Scores", values=scores.to_list(), label="score"))
    panels.append(Bars(title="Picks in each micrograph", values=numbers, names=names, label="picks"))
    return [*panels, _gallery(image, mine, across)]


def _gallery(image: NDArray[np.generic], picks: pl.DataFrame, across: float) -> Panel:
    """Return boxes of one micrograph, evenly from the first to the last pick; `across` is the diameter, px."""
    half = max(4, round(BOX * across / 2))
    height, width = image.shape
    inside = picks.filter(pl.col("x").is_between(half, width - 1 - half) & pl.col("y").is_between(half, height - 1 - half))
    inside = inside[sorted({round(place) for place in np.linspace(0, inside.height - 1, SHOWN)})] if inside.height else inside
    boxes, words = [], []
    for x, y, score in inside.select("x", "y", "score").iter_rows():
        column, row = round(x), round(y)
        boxes.append(_calm(image[row - half : row + half, column - half : column + half]))
        words.append("" if score is None else f"{score:.2f}")
    return ImageGrid(title="Boxes by score", images=boxes, captions=words, caption="Of the same micrograph, the surest first.", size=72)


def _calm(box: NDArray[np.generic]) -> NDArray[np.float32]:
    """Average blocks of pixels until about 36 lie across: noise hides what was picked."""
    factor = max(1, len(box) // 36)
    side = len(box) // factor * factor
    return box[:side, :side].astype(np.float32).reshape(side // factor, factor, side // factor, factor).mean(axis=(1, 3))


def learning_panel(scores: Sequence[float], precision: Sequence[float], recall: Sequence[float]) -> Panel:
    """Return how good picks down to each score are: each example is judged by a model that was not shown it."""
    curves = [Series("precision", list(scores), list(precision)), Series("recall", list(scores), list(recall))]
    caption = "Of the places that the model learned from, each left out in turn; another specimen, or other contaminants, may differ."
    return LinePlot(
        title="Expected by cross-validation", series=curves, x_label="least score", y_label="share", caption=caption, y_range=(0.0, 1.02)
    )
