"""Curves in one pair of axes: FSC, Thon ring profiles, convergence."""

from collections.abc import Sequence
from typing import NamedTuple

from cryoloom.report.figure import chart, mark
from cryoloom.spec import Panel


class Series(NamedTuple):
    """One curve, with the errors of its values as bars where they are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    errors: Sequence[float] | None = None


class LinePlot(Panel):
    """Curves over a common axis.

    ``resolution_axis`` labels an axis in 1/Å with the resolutions in Å that its ticks stand for. ``levels`` and ``marks`` are
    labelled horizontal and vertical lines. ``legend_row`` puts the legend in one row at the bottom, for which `y_range` leaves room.
    """

    title: str
    series: list[Series]
    x_label: str
    y_label: str
    caption: str = ""
    resolution_axis: bool = False
    levels: dict[str, float] = {}
    marks: dict[str, float] = {}
    y_range: tuple[float, float] | None = None
    legend_row: bool = False

    def html(self) -> str:
        """Draw the chart as SVG."""
        with chart() as (axes, drawing):
            for curve in self.series:
                dots = "o" if len(curve.x) == 1 else None
                axes.errorbar(curve.x, curve.y, curve.errors, label=curve.name, capsize=2, elinewidth=0.9, marker=dots)
            for name, level in self.levels.items():
                axes.axhline(level, color="#66717e", linewidth=0.9, linestyle="--")
                axes.annotate(name, (1.0, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color="#66717e")
            if self.y_range is not None:
                axes.set_ylim(*self.y_range)
            axes.set_xlabel(self.x_label)
            axes.set_ylabel(self.y_label)
            if self.resolution_axis:
                axes.set_xlim(left=0)
                axes.xaxis.set_major_formatter(lambda value, _: f"{1 / value:.3g}" if value > 1e-9 else "∞")
            elif all(float(x).is_integer() for curve in self.series for x in curve.x):
                axes.locator_params(axis="x", integer=True)
            mark(axes, self.marks, ":")
            if self.legend_row:
                axes.legend(fontsize=7.5, loc="lower center", ncols=len(self.series), columnspacing=1.2, handlelength=1.4)
            elif len(self.series) > 1:
                # The best place takes seconds to find among many points.
                axes.legend(fontsize=8, loc="best" if sum(len(curve.x) for curve in self.series) < 5000 else "upper right")
        return drawing.svg
