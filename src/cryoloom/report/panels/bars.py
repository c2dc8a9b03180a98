"""One bar an item, in order: picks per micrograph."""

import numpy as np

from cryoloom.report.figure import PALETTE, chart
from cryoloom.spec import Panel


class Bars(Panel):
    """A number of each item; those more than three robust standard deviations from the median are named and stand out."""

    title: str
    values: list[float]
    names: list[str]
    label: str
    caption: str = ""

    def html(self) -> str:
        """Draw the chart as SVG."""
        values = np.asarray(self.values, dtype=float)
        middle = np.median(values) if len(values) else 0.0
        spread = 1.4826 * np.median(np.abs(values - middle)) if len(values) else 0.0
        strays = np.abs(values - middle) > max(3.0 * spread, 1.0)
        with chart(height=2.6) as (axes, drawing):
            axes.bar(np.arange(1, len(values) + 1), values, color=np.where(strays, PALETTE[1], PALETTE[0]), width=0.9)
            for place in np.flatnonzero(strays)[:8]:
                axes.annotate(self.names[place], (place + 1, values[place]), ha="center", va="bottom", fontsize=7)
            axes.set_xlabel("micrograph")
            axes.set_ylabel(self.label)
        return drawing.svg
