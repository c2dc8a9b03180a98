"""A tree of merges: which items are joined at what cost."""

from typing import Any

import numpy as np

from cryoloom.report.figure import PALETTE, chart
from cryoloom.spec import Panel


class Dendrogram(Panel):
    """The tree of `links` ``(n - 1, 4)``, as SciPy's linkage gives them, of n items called `names`; a line `cut` where groups are taken."""

    title: str
    links: Any
    names: list[str]
    label: str
    cut: float | None = None
    caption: str = ""

    def html(self) -> str:
        """Draw the tree as SVG, the items from left to right."""
        from scipy.cluster.hierarchy import dendrogram

        tree: dict[str, Any] = dendrogram(np.asarray(self.links, dtype=float), no_plot=True)
        with chart() as (axes, drawing):
            for x, y in zip(tree["icoord"], tree["dcoord"], strict=True):
                axes.plot(x, y, color=PALETTE[0], linewidth=1.2)
            axes.set_xticks([10.0 * place + 5.0 for place in range(len(self.names))], [self.names[leaf] for leaf in tree["leaves"]])
            axes.tick_params(axis="x", rotation=60 if len(self.names) > 6 else 0, labelsize=7)
            if self.cut is not None:
                axes.axhline(self.cut, color=PALETTE[1], linewidth=0.9, linestyle="--")
            axes.set_ylabel(self.label)
            axes.grid(axis="x", visible=False)
        return drawing.svg
