"""How the values of one column are spread."""

import numpy as np

from cryoloom.report.figure import PALETTE, chart, mark
from cryoloom.spec import Panel


class Histogram(Panel):
    """Counts of `values` in equal bins; non-finite values are left out and counted in the caption.

    With `counts`, `values` are the middles of equal bins that were counted already.
    """

    title: str
    values: list[float]
    label: str
    caption: str = ""
    bins: int = 40
    marks: dict[str, float] = {}
    counts: list[float] = []

    def html(self) -> str:
        """Draw the chart as SVG."""
        values = np.asarray(self.values, dtype=float)
        with chart(height=2.6) as (axes, drawing):
            if self.counts:
                width = values[1] - values[0] if len(values) > 1 else 1.0
                axes.bar(values, self.counts, width, color=PALETTE[0], edgecolor="white", linewidth=0.4)
            else:
                axes.hist(values[np.isfinite(values)], bins=self.bins, color=PALETTE[0], edgecolor="white", linewidth=0.4)
                axes.locator_params(axis="y", integer=True)
            mark(axes, self.marks)
            axes.set_xlabel(self.label)
            axes.set_ylabel("count")
        return drawing.svg
