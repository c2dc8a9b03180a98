"""One bar an item, in order: picks per micrograph."""

import numpy as np

from cryoloom.report.figure import PALETTE, chart
from cryoloom.spec import Panel

LETTERS = 48
"""Letters of all names that find room below the bars; above, the bars have numbers."""


class Bars(Panel):
    """A number of each item; those more than three robust standard deviations from the median are named and stand out.

    With `bands`, the least and largest number that each would have by chance, the bands are drawn and those outside of theirs stand out.
    """

    title: str
    values: list[float]
    label: str
    names: list[str] = []
    caption: str = ""
    item: str = "micrograph"
    bands: list[tuple[float, float]] = []

    def html(self) -> str:
        """Draw the chart as SVG."""
        values = np.asarray(self.values, dtype=float)
        middle = np.median(values) if len(values) else 0.0
        spread = 1.4826 * np.median(np.abs(values - middle)) if len(values) else 0.0
        low, high = np.asarray(self.bands, dtype=float).reshape(-1, 2).T
        strays = (values < low) | (values > high) if self.bands else np.abs(values - middle) > max(3.0 * spread, 1.0)
        named = bool(self.names) and sum(map(len, self.names)) <= LETTERS
        with chart(height=2.6) as (axes, drawing):
            axes.bar(np.arange(1, len(values) + 1), values, color=np.where(strays, PALETTE[1], PALETTE[0]), width=0.9)
            if self.bands:
                centre = (low + high) / 2
                axes.errorbar(np.arange(1, len(values) + 1), centre, high - centre, fmt="none", ecolor="#333f48", capsize=3, elinewidth=1.0)
            for place in np.flatnonzero(strays)[:8] if self.names and not named else []:
                axes.annotate(self.names[place], (place + 1, values[place]), ha="center", va="bottom", fontsize=7)
            if named:
                axes.set_xticks(np.arange(1, len(values) + 1), self.names)
            else:
                axes.locator_params(axis="x", integer=True)
            axes.set_xlabel(self.item)
            axes.set_ylabel(self.label)
        return drawing.svg
