"""Panels of ranked first maps: verdicts, slices, what they leave unexplained, and how alike they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.data import Volume
from cryoloom.report.panels import AngularDistribution, ImageGrid, LinePlot, Notice, Series, TableView
from cryoloom.spec import Panel

MOST = 8
"""Maps that are shown in pictures."""
TRIPLES = 4
"""Averages of each map but the best, worst explained first, that are shown."""
Read = Callable[[str], NDArray[np.float32]]

COLUMNS = {
    "rank": "rank",
    "name": "candidate",
    "verdict": "verdict",
    "correlation": "correlation with averages",
    "ball_correlation": "of a ball",
    "line_agreement": "agreement at its poses",
    "outline": "outline",
    "coverage": "coverage of directions",
    "map_correlation": "correlation with the best",
    "best_resolution": "FSC 0.5 with the best (Å)",
    "mirrored": "hand changed",
    "other_hand": "correlation of its other hand",
}


def ranking_panels(volumes: Volume, resolution: float, read: Read) -> list[Panel]:
    """Return the panels of candidates, the best first, judged at `resolution` Å; `read` returns the content of a file of theirs."""
    table, meta = volumes.items, volumes.meta
    names = table["name"].to_list()
    columns = dict(COLUMNS)
    if table["particle_gain"].null_count() == 0:
        columns["particle_gain"] = "gain of particles"
    if meta["symmetry"].upper() != "C1":
        columns["symmetry_correlation"] = f"with its {meta['symmetry']} copy"
    curves = [Series(name, [(k + 1) / len(values) for k in range(len(values))], values) for name, values in meta["correlations"].items()]
    panels: list[Panel] = [
        _best(table.row(0, named=True)),
        TableView(title="Verdicts", columns={"candidate": names, "verdict": table["verdict"].to_list(), "why": table["reason"].to_list()}),
        TableView(
            title="Scores",
            columns={label: table[name].to_list() for name, label in columns.items()},
            caption="Correlations weigh every shell alike, so filtered maps have lower ones. Agreement: 0 is chance, 1 what averages of this noise can "
            "reach. Outline: with the map that the averages make at these poses.",
        ),
        _slices(volumes, read),
        *_leftovers(volumes, read),
        LinePlot(
            title="How well each explains the averages",
            x_label="part of the averages",
            y_label="correlation",
            series=curves,
            caption=f"A curve a candidate: its averages in the order of their correlation with its projections, to {resolution:g} Å.",
        ),
    ]
    if len(names) > 1:
        panels += _likeness(volumes, resolution)
    for row in table.head(MOST).iter_rows(named=True):
        rot, tilt = meta["directions"][row["name"]]
        covered = f"Those that it gives the averages cover {row['coverage']:.0%} of its transform."
        panels.append(AngularDistribution(title=f"Viewing directions: {row['name']}", rot=rot, tilt=tilt, caption=covered))
    return panels


def _best(row: dict[str, Any]) -> Panel:
    if row["verdict"] == "good":
        return Notice(level="good", text=f"{row['name']} is the best of the good candidates.")
    return Notice(
        level="warning",
        text=f"No candidate is good. The best, {row['name']}, is {row['verdict']}: {row['reason']}. Make other maps, or other averages.",
    )


def _likeness(volumes: Volume, resolution: float) -> list[Panel]:
    """Show how alike the maps are, each with the best and all with each other."""
    table, meta = volumes.items, volumes.meta
    names = table["name"].to_list()
    series = [
        Series(row["name"], [shell / (row["box_size"] * meta["pixel_size"]) for shell in range(len(row["best_fsc"]))], row["best_fsc"])
        for row in table[1:].iter_rows(named=True)
    ]
    matrix = {name: list(column) for name, column in zip(names, zip(*meta["pairwise"], strict=True), strict=True)}
    return [
        LinePlot(
            title="Shell correlation with the best",
            x_label="resolution (Å)",
            y_label="FSC",
            resolution_axis=True,
            levels={"0.5": 0.5},
            y_range=(-0.2, 1.05),
            series=series,
        ),
        TableView(
            title="Correlations of the maps",
            columns={"": names, **matrix},
            caption=f"Laid on the best, in its hand, to {resolution:g} Å. Maps of different origin that are alike speak for each other.",
        ),
    ]


def _slices(volumes: Volume, read: Read) -> Panel:
    """Show central slices of the maps as they were laid on the best."""
    images, captions, good = [], [], []
    for row in volumes.items.head(MOST).iter_rows(named=True):
        data = read(row["volume_path"])
        middle = len(data) // 2
        images += [data[middle], data[:, middle], data[:, :, middle]]
        captions += [f"{row['name']}, across {axis}" for axis in "zyx"]
        good += [row["verdict"] != "bad"] * 3
    return ImageGrid(
        title="Maps, laid on the best", images=images, captions=captions, good=good, size=130, caption="Central slices; bad maps are faded."
    )


def _leftovers(volumes: Volume, read: Read) -> list[Panel]:
    """Show projection, average and difference of the averages that a map explains worst."""
    panels: list[Panel] = []
    for row in volumes.items.head(MOST).iter_rows(named=True):
        pictures = read(row["worst_path"])
        triples = pictures.reshape(-1, 3, *pictures.shape[1:])[: None if row["rank"] == 1 else TRIPLES]
        panels.append(
            ImageGrid(
                title=f"Worst explained: {row['name']}", images=[image for triple in triples for image in triple], size=96,
                captions=[f"class {number}: {what}" for number in row["worst_classes"][: len(triples)] for what in ("projection", "average", "difference")],
                caption="Projection of the map, the average laid on it, and what is left, worst first; each with its own greys. Differences of a right map "
                "show no particle.",
            )
        )  # fmt: skip
    return panels
