"""Classes of a level, and the levels of a hierarchy, as panels."""

from typing import Any

import polars as pl

from cryoloom.report.panels import Bars, ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Panel

_CURVES = 4


def class_panels(table: pl.DataFrame, averages: Any, title: str, extent: float = 0.0) -> list[Panel]:
    """Return the averages of classes, largest first, and with their `extent` (Å) the correlations of the best.

    Parameters
    ----------
    table
        The classes, in the order of `averages` ``(K, box, box)``.
    """
    table = table.with_row_index("place").sort("count", "class_id", descending=[True, False])
    kept = "kept" in table.columns
    panels: list[Panel] = [
        ImageGrid(
            title=title, images=[averages[place] for place in table["place"]], size=100,
            good=table["good"].to_list() if "good" in table.columns else [],
            captions=[_caption(row, kept) for row in table.iter_rows(named=True)],
            caption="Largest first. Captions: class, particles, " + ("part of the class kept, " if kept else "") + "resolution (half-set FRC 0.5), quality. "
            "Green frames are suggested as good.",
        )
    ]  # fmt: skip
    if extent and "frc" in table.columns:
        panels += [
            correlation_panel(table, extent),
            TableView(title="Classes", columns={
                label: table[name].to_list() for name, label in {
                    "class_id": "class", "count": "particles", "resolution": "resolution (Å, FRC 0.5)", "resolution_0143": "(Å, FRC 0.143)",
                    "similarity": "similarity", "match": "match", "core": "in the core", "stable": "in the stable core", "quality": "quality"}.items()
                if name in table.columns}),
        ]  # fmt: skip
    return panels


def correlation_panel(table: pl.DataFrame, extent: float) -> LinePlot:
    """Return the half-set correlations of the best classes of images `extent` Å wide; classes too small for one of their own share a curve."""
    curves: dict[tuple[float, ...], list[int]] = {}
    for row in table.filter(pl.col("count") > 0).sort("resolution", "class_id").iter_rows(named=True):
        curves.setdefault(tuple(row["frc"]), []).append(row["class_id"])
    best = list(curves.items())[:_CURVES]
    shared = max((len(classes) for _, classes in best), default=0) > 1
    return LinePlot(
        title="Half-set correlation of the best", x_label="resolution (Å)", y_label="FRC", resolution_axis=True, levels={"0.5": 0.5}, y_range=(-0.2, 1.05),
        series=[Series(_named(classes), [(ring + 1) / extent for ring in range(len(frc))], frc) for frc, classes in best],
        caption="Classes of few particles are given the mean curve of all." if shared else "",
    )  # fmt: skip


def sizes_panel(table: pl.DataFrame, caption: str = "") -> Bars:
    """Return how many particles each class holds, the largest first."""
    sizes = table["count"].sort(descending=True).to_list()
    return Bars(title="Sizes of classes", values=sizes, label="particles", item="class, largest first", caption=caption)


def level_panels(table: pl.DataFrame, averages: Any, *, lineage: bool) -> list[Panel]:
    """Return one grid for each level before the last, and where `lineage` what became of each class.

    Parameters
    ----------
    table
        The classes of all levels; those of earlier levels first, in the order of `averages` ``(n, box, box)``.
    """
    panels: list[Panel] = []
    earlier = table.head(len(averages)).with_row_index("place")
    order = _by_descent(table)
    for level in sorted(earlier["level"].unique().to_list()):
        rows = earlier.filter(pl.col("level") == level)
        rows = _in_order(rows, order) if lineage else rows
        ancestry = [f" of {row['parent']}" if lineage and row["parent"] else "" for row in rows.iter_rows(named=True)]
        panels.append(
            ImageGrid(
                title=f"Level {level}: {rows.height} classes", images=[averages[place] for place in rows["place"]], size=80,
                captions=[f"{row['class_id']}{of}: {row['count']}, {row['resolution']:.0f} Å"
                          for row, of in zip(rows.iter_rows(named=True), ancestry, strict=True)],
                caption="Captions: class, " + ("the class before that most of it comes from, " if lineage else "") + "particles, resolution."
                + (" Classes that come from one stand side by side." if lineage else ""),
            )
        )  # fmt: skip
    if lineage:
        children = table.filter(pl.col("parent") > 0)
        children = _in_order(children, order)
        panels.append(
            TableView(title="Hierarchy", limit=600, columns={
                "level": children["level"].to_list(), "class": children["class_id"].to_list(), "comes from": children["parent"].to_list(),
                "by": children["parent_share"].to_list(), "particles": children["count"].to_list()},
                caption="By: the part of the class that was in the class it comes from. Classes of a low part were gathered anew.")
        )  # fmt: skip
    return panels


def _named(classes: list[int]) -> str:
    return f"class {classes[0]}" if len(classes) == 1 else f"{len(classes)} small classes"


def _by_descent(table: pl.DataFrame) -> dict[int, tuple[int, ...]]:
    """Return for each class the line of classes it comes from and itself: sorting by it brings relatives together."""
    lines: dict[int, tuple[int, ...]] = {}
    for row in table.sort("level", "class_id").iter_rows(named=True):
        lines[row["class_id"]] = (*lines.get(row["parent"], ()), row["class_id"])
    return lines


def _in_order(rows: pl.DataFrame, order: dict[int, tuple[int, ...]]) -> pl.DataFrame:
    numbers = rows["class_id"].to_list()
    return rows[sorted(range(rows.height), key=lambda place: order[numbers[place]])]


def _caption(row: dict[str, Any], kept: bool) -> str:
    part = f"{100 * row['kept']:.0f} %, " if kept else ""
    quality = f", {row['quality']:.2f}" if row.get("quality") is not None else ""
    return f"{row['class_id']}: {row['count']}, {part}{row['resolution']:.0f} Å{quality}"
