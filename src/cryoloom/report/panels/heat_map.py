"""A table of numbers as colours: contingency tables, counts over two columns."""

from typing import Any

import numpy as np

from cryoloom.report.figure import chart
from cryoloom.spec import Panel

WRITTEN = 12
"""Rows and columns up to which cells are written into."""

WHITE = "#fefefe"
"""Of letters on dark cells; white itself is what the page's paper is like."""


class HeatMap(Panel):
    """Values ``(rows, columns)``, row 0 at the top, with what is written into each cell where there are few of them.

    Colours run from the least value to the largest, and at least between `limits`.
    `extent` (left, right, bottom, top) makes both axes those of numbers, row 0 at the bottom; `rows` and `columns` then are not used.
    """

    title: str
    values: Any
    label: str
    x_label: str
    y_label: str
    rows: list[str] = []
    columns: list[str] = []
    texts: list[list[str]] = []
    extent: tuple[float, float, float, float] | None = None
    limits: tuple[float, float] | None = None
    caption: str = ""

    def html(self) -> str:
        """Draw the cells as SVG."""
        values = np.asarray(self.values, dtype=float)
        low, high = self.limits or (np.inf, -np.inf)
        low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
        with chart(height=min(2.2 + 0.25 * len(values), 5.0) if self.extent is None else 3.4) as (axes, drawing):
            cells = axes.imshow(
                values, cmap="viridis", vmin=low, vmax=high, aspect="auto", interpolation="nearest", extent=self.extent,
                origin="upper" if self.extent is None else "lower",
            )  # fmt: skip
            if self.extent is None:
                axes.set_xticks(range(len(self.columns)), self.columns)
                axes.set_yticks(range(len(self.rows)), self.rows)
            if self.texts and max(values.shape) <= WRITTEN:
                middle = (low + high) / 2
                for row, words in enumerate(self.texts):
                    for column, text in enumerate(words):
                        colour = WHITE if values[row, column] < middle else "black"
                        axes.annotate(text, (column, row), ha="center", va="center", fontsize=7, color=colour)
            axes.set_xlabel(self.x_label)
            axes.set_ylabel(self.y_label)
            axes.grid(False)
            if axes.figure is not None:
                axes.figure.colorbar(cells, ax=axes, label=self.label, shrink=0.9)
        return drawing.svg
