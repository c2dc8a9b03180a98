"""Where the particles were seen from."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.cells import equal_cells
from cryoloom.report.figure import chart
from cryoloom.spec import Panel

SIDE = 9.0
"""Degrees a side of the cells of the polar chart."""


class AngularDistribution(Panel):
    """Views by `rot` and `tilt` (degrees) in cells of equal area; of `values`, one a view, the median in each cell.

    With `polar`, a polar chart of the views too, tilt being the radius and rot the angle.
    """

    title: str
    rot: list[float]
    tilt: list[float]
    caption: str = ""
    polar: bool = False
    values: list[float] = []
    label: str = "particles"

    def html(self) -> str:
        """Draw counts, or medians, over rot and cos tilt, so that equal areas are equal cells."""
        from matplotlib.ticker import MaxNLocator

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
                bar = axes.figure.colorbar(cells, ax=axes, label=self.label, shrink=0.9)
                if not self.values:
                    bar.locator = MaxNLocator(integer=True)
        return f'<div class="pair">{drawing.svg}{_disc(rot, cosine)}</div>' if self.polar else drawing.svg


def _disc(rot: NDArray[np.float64], cosine: NDArray[np.float64]) -> str:
    """Draw how many times as many views as even ones each cell has, the pole of tilt 0 in the middle and that of 180 around."""
    cells = equal_cells(SIDE)
    counts = np.bincount(cells.of(_directions(np.deg2rad(rot), cosine)), minlength=cells.count)
    turns, tilts = np.deg2rad(np.arange(-180.0, 181.0, 3.0)), np.arange(0.0, 181.0, 3.0)
    middles = np.cos(np.deg2rad((tilts[:-1] + tilts[1:]) / 2.0))
    shown = cells.of(_directions(*np.meshgrid((turns[:-1] + turns[1:]) / 2.0, middles)))
    with chart(3.4, 3.1, polar=True) as (axes, drawing):
        mesh = axes.pcolormesh(turns, tilts, counts[shown] / max(counts.mean(), 1e-9), cmap="viridis", rasterized=True)
        axes.set_yticks([45, 90, 135], ["45", "90", "135"])
        axes.tick_params(labelsize=7)
        axes.grid(False)
        if axes.figure is not None:
            axes.figure.colorbar(mesh, ax=axes, label="times as many as even", shrink=0.8)
    return drawing.svg


def _directions(rot: NDArray[np.float64], cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors ``(..., 3)`` of rot in radians and the cosine of tilt."""
    sine = np.sqrt(np.clip(1.0 - cosine**2, 0.0, 1.0))
    return np.stack([sine * np.cos(rot), sine * np.sin(rot), cosine], axis=-1)
