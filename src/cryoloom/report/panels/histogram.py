"""How the values of one column are spread."""

import numpy as np

from cryoloom.report.figure import chart
from cryoloom.spec import Panel

LETTER, LINE = 0.0135, 0.09
"""Size of a letter and of a line of marks, in parts of the chart."""
PAPER = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
"""Behind the words of marks, which may lie on bars."""


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
                axes.bar(values, self.counts, width, color="#1f6f8b", edgecolor="white", linewidth=0.4)
            else:
                axes.hist(values[np.isfinite(values)], bins=self.bins, color="#1f6f8b", edgecolor="white", linewidth=0.4)
            low, high = axes.get_xlim()
            ends: list[float] = []
            for name, mark in sorted(self.marks.items(), key=lambda pair: pair[1]):
                axes.axvline(mark, color="#d1495b", linewidth=1.0)
                # Words that would lie on others go a line down.
                row = next((row for row, end in enumerate(ends) if mark > end), len(ends))
                ends[row : row + 1] = [mark + LETTER * (len(name) + 1) * (high - low)]
                place = (mark, 1.0 - LINE * row)
                axes.annotate(name, place, xycoords=("data", "axes fraction"), va="top", fontsize=8, color="#d1495b", bbox=PAPER)
            axes.set_xlabel(self.label)
            axes.set_ylabel("count")
        return drawing.svg
