"""Directions as a rose."""

import numpy as np

from cryoloom.report.figure import chart
from cryoloom.spec import Panel


class Rose(Panel):
    """How many of `angles` (° from +x towards +y, y down as in the image) lie in each of `bins` directions."""

    title: str
    angles: list[float]
    caption: str = "Lobes are packing or lattices; scattered particles make a circle."
    bins: int = 24

    def html(self) -> str:
        """Draw one petal a direction, its area the count."""
        width = 2 * np.pi / self.bins
        counts, edges = np.histogram(np.deg2rad(self.angles) % (2 * np.pi), bins=self.bins, range=(0, 2 * np.pi))
        with chart(3.0, 3.0, polar=True) as (axes, drawing):
            axes.bar(edges[:-1], np.sqrt(counts), width=width, align="edge", edgecolor="white", linewidth=0.4)
            axes.set(theta_direction=-1, yticks=[])
        return drawing.svg
