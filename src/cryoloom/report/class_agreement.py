"""The panels of compared classifications: what pairs of classes have in common, and what became of each class."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.numerics.align.contingency import Contingency
from cryoloom.report.panels import ImageGrid, TableView
from cryoloom.spec import Panel

CELLS = 40
"""Pairs of classes that are listed."""


def class_agreement_panels(
    tables: Sequence[tuple[int, int, Contingency]],
    judged: Sequence[pl.DataFrame],
    averages: Sequence[tuple[pl.Series, NDArray[np.float32]]],
) -> list[Panel]:
    """Return the panels.

    Parameters
    ----------
    tables
        Of each pair of classifications, by their places from 0.
    judged
        Of each classification ``class_id``, ``junk``, ``agreed``, ``common`` and ``reason``, in the order of the tables' classes.
    averages
        Class numbers and averages ``(K, box, box)`` of the first classifications.
    """
    panels: list[Panel] = []
    for one, two, table in tables:
        panels += _common(one, two, table, judged[one], judged[two])
    for number, each in enumerate(judged):
        if number < len(averages):
            panels.append(_averages(number, each, *averages[number]))
        worst = each.sort("junk", "class_id", descending=[True, False])
        names = {"class_id": "class", "common": "particles", "junk": "junk", "agreed": "kept", "reason": "why"}
        panels.append(
            TableView(
                title=f"Classes of set {number + 1}",
                columns={label: worst[name].to_list() for name, label in names.items()},
                limit=len(worst),
            )
        )
    return panels


def _common(one: int, two: int, table: Contingency, first: pl.DataFrame, second: pl.DataFrame) -> list[Panel]:
    """Return the contingency table as a picture, and the pairs of classes that have most in common beyond chance."""
    counts, deviations, expected = table.counts, table.deviations, table.expected
    rows, columns = (np.argsort(each["junk"].to_numpy(), kind="stable") for each in (first, second))
    order = np.argsort(-deviations, axis=None, kind="stable")[:CELLS]
    cells = [(int(place) // counts.shape[1], int(place) % counts.shape[1]) for place in order if deviations.flat[place] > 0]
    name = f"sets {one + 1} and {two + 1}"
    listed = {
        f"class of set {one + 1}": [int(first["class_id"][row]) for row, _ in cells],
        f"class of set {two + 1}": [int(second["class_id"][column]) for _, column in cells],
        "in common": [int(counts[cell]) for cell in cells],
        "by chance": [round(float(expected[cell]), 1) for cell in cells],
        "deviations": [round(float(deviations[cell]), 1) for cell in cells],
        "probability": [f"{table.by_chance(*cell):.1e}" for cell in cells],
    }
    said = (
        f"The classifications {table.verdict}: adjusted Rand index {table.adjusted_rand:.2f}, mutual information {table.mutual_information:.2f}, "
        f"probability by chance {table.significance:.2g}."
    )
    return [
        ImageGrid(
            title=f"Contingency of {name}", images=[np.log1p(counts[np.ix_(rows, columns)]).astype(np.float32)], size=320, captions=[f"{counts.shape}"],
            caption=f"Rows: classes of set {one + 1}, columns: of set {two + 1}, the least junk first; brighter is more in common. {said}",
        ),
        TableView(title=f"Classes in common of {name}", columns=listed, caption="Pairs of classes that have most in common beyond chance.", limit=CELLS),
    ]  # fmt: skip


def _averages(number: int, judged: pl.DataFrame, numbers: pl.Series, averages: NDArray[np.float32]) -> ImageGrid:
    table = pl.DataFrame({"class_id": numbers}).with_row_index("place").join(judged, on="class_id").sort("junk", "class_id")
    return ImageGrid(
        title=f"Class averages of set {number + 1}", images=[averages[place] for place in table["place"]], size=90,
        good=(table["junk"] <= 0.5).to_list(), captions=[f"{row['common']}, {row['junk']:.2f}" for row in table.iter_rows(named=True)],
        caption="The least junk first. Captions: particles in common, share of junk. Green frames are good.",
    )  # fmt: skip
