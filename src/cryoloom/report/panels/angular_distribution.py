"""Where the particles were seen from."""

import numpy as np

from cryoloom.report.figure import chart
from cryoloom.spec import Panel


class AngularDistribution(Panel):
    """Views by `rot` and `tilt` (degrees) in equal-area cells of the sphere; of `values`, one a view, the median in each cell."""

    title: str
    rot: list[float]
    tilt: list[float]
    caption: str = ""
    values: list[float] = []
    label: str = "particles"

    def html(self) -> str:
        """Draw counts, or medians, over rot and cos tilt, so that equal areas are equal cells."""
        rot = (np.asarray(self.rot) + 180.0) % 360.0 - 180.0
        cosine = np.cos(np.deg2rad(np.asarray(self.tilt)))
        limits = ((-180, 180), (-1, 1))
        if self.values:
            from scipy.stats import binned_statistic_2d

            found = binned_statistic_2d(rot, cosine, self.values, "median", bins=[18, 9], range=limits)  # type: ignore[arg-type]
            shown, rot_edges, cosine_edges = found.statistic, found.x_edge, found.y_edge
        else:
            shown, rot_edges, cosine_edges = np.histogram2d(rot, cosine, bins=(36, 18), range=limits)
        with chart() as (axes, drawing):
            cells = axes.pcolormesh(rot_edges, cosine_edges, shown.T, cmap="viridis", rasterized=True)
            axes.set_xlabel("rot (°)")
            axes.set_ylabel("tilt (°)")
            ticks = [0, 45, 60, 75, 90, 105, 120, 135, 180]
            axes.set_yticks(np.cos(np.deg2rad(ticks)), [str(tick) for tick in ticks])
            axes.set_xticks(range(-180, 181, 60))
            axes.grid(False)
            if axes.figure is not None:
                axes.figure.colorbar(cells, ax=axes, label=self.label, shrink=0.9)
        return drawing.svg
