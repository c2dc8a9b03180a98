"""The panels of pickers: where, how sure, how many, and what was picked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import Coordinates
from cryoloom.data.marks import BOX
from cryoloom.report.panels import Bars, Histogram, ImageGrid, LinePlot, MarkedImage, Series
from cryoloom.spec import Panel

SHOWN = 24
"""Boxes in the gallery."""
FINE = 36
"""Pixels across a box of the gallery."""

Reader = Callable[[Path], Any]
"""Returns the image in a file, its pixels in ``data``."""


def picks_panel(coordinates: Coordinates, read: Reader) -> list[Panel]:
    """Return the micrograph with the median number of picks, circles of the particle's diameter on it; nothing where there are no picks."""
    mine = _typical(coordinates)
    if mine.is_empty():
        return []
    row = mine.row(0, named=True)
    return [
        MarkedImage(
            title=f"Picks on {row['micrograph_name']}", image=_image(coordinates, mine, read), x=mine["x"].to_list(), y=mine["y"].to_list(),
            radius=_across(coordinates, mine) / 2, scores=mine["score"].to_list() if mine["score"].null_count() == 0 else [],
            caption="The micrograph with the median number of picks; circles have the diameter given, and go from orange to green with the score.",
        )
    ]  # fmt: skip


def picking_panels(coordinates: Coordinates, read: Reader) -> list[Panel]:
    """Return picks over a micrograph, their scores, how many each micrograph has, and boxes from the surest to the least sure."""
    mine = _typical(coordinates)
    if mine.is_empty():
        return []
    picks = coordinates.items
    counts = picks.group_by("micrograph_id", "micrograph_name").len().sort("micrograph_id")
    names, numbers = counts["micrograph_name"].to_list(), [float(count) for count in counts["len"]]
    scores = picks["score"].drop_nulls()
    spread = [Histogram(title="Scores", values=scores.to_list(), label="score")] if scores.n_unique() > 1 else []
    bars = Bars(title="Picks in each micrograph", values=numbers, names=names, label="picks")
    return [*picks_panel(coordinates, read), *spread, bars, _gallery(_image(coordinates, mine, read), mine, _across(coordinates, mine))]


def learning_panel(scores: NDArray[np.float64], precision: NDArray[np.float64], recall: NDArray[np.float64]) -> Panel:
    """Return how good picks down to each score are: each example is judged by a model that was not shown it."""
    curves = [Series("precision", scores.tolist(), precision.tolist()), Series("recall", scores.tolist(), recall.tolist())]
    caption = "Of the places that the model learned from, each left out in turn; another specimen, or other contaminants, may differ."
    return LinePlot(
        title="Expected by cross-validation", series=curves, x_label="least score", y_label="share", caption=caption, y_range=(0.0, 1.02)
    )


def _typical(coordinates: Coordinates) -> pl.DataFrame:
    """Return the picks of the micrograph with the median number, the surest first."""
    picks = coordinates.items
    counts = picks.group_by("micrograph_id", maintain_order=True).len().sort("len", "micrograph_id")
    if counts.is_empty():
        return picks
    mine = picks.filter(pl.col("micrograph_id") == counts["micrograph_id"][counts.height // 2])
    return mine.sort("score", descending=True, nulls_last=True, maintain_order=True)


def _image(coordinates: Coordinates, mine: pl.DataFrame, read: Reader) -> NDArray[np.generic]:
    return np.squeeze(read(coordinates.file(mine["micrograph_path"][0])).data)


def _across(coordinates: Coordinates, mine: pl.DataFrame) -> float:
    """Return the particle's diameter, px of the micrograph."""
    return mine["diameter"][0] / float(coordinates.groups[mine["optics_group"][0]]["pixel_size"])


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
    """Average blocks of pixels until about `FINE` lie across: noise hides what was picked."""
    factor = max(1, len(box) // FINE)
    side = len(box) // factor * factor
    return box[:side, :side].astype(np.float32).reshape(side // factor, factor, side // factor, factor).mean(axis=(1, 3))
