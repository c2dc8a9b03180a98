"""The look of every chart: one palette, one type size, drawn to inline SVG that names no fonts of this machine."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GLOBAL_STYLE = re.compile(r"<style[^>]*>\s*\*\{[^}]*\}\s*</style>")
"""What matplotlib says of every element; inside a page it would mean the page's too, so the chart itself says it."""
PALETTE = ("#1f6f8b", "#d1495b", "#edae49", "#5b8e7d", "#7d5ba6", "#66717e")
_THEMED = {"#1f6f8b": "blue", "#333f48": "ink", "#66717e": "soft", "#e3e7ea": "line", "#ffffff": "paper"}
"""Colours that a page may have otherwise, such as a dark one, by its own name of each (`panels.css`)."""
PAPER = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
"""Behind the words of marks, which may lie on what is drawn."""
LETTER, LINE = 0.0135, 0.09
"""Size of a letter and of a line of marks, in parts of the chart."""

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": "#333f48",
    "svg.fonttype": "none",
    "svg.hashsalt": "cryoloom",
    "text.parse_math": False,  # names come from files, and may hold a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#66717e",
    "axes.labelcolor": "#333f48",
    "axes.grid": True,
    "grid.color": "#e3e7ea",
    "grid.linewidth": 0.7,
    "xtick.color": "#66717e",
    "ytick.color": "#66717e",
    "legend.facecolor": "#ffffff",  # behind its words, which may lie on curves
    "legend.edgecolor": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
}


class Drawing:
    """Receives the SVG text when the `chart` block ends."""

    svg: str = ""


@contextmanager
def chart(width: float = 4.8, height: float = 3.1, *, polar: bool = False) -> Iterator[tuple["Axes", Drawing]]:
    """Open axes `width` × `height` inches; on leaving, ``drawing.svg`` holds the finished SVG element."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(projection="polar" if polar else None)
        drawing = Drawing()
        yield axes, drawing
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        text = buffer.getvalue()
        svg = _GLOBAL_STYLE.sub("", text[text.index("<svg") :], count=1)
        for colour, name in _THEMED.items():
            svg = svg.replace(f": {colour}", f": var(--{name}, {colour})")
        drawing.svg = svg.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)


def mark(axes: "Axes", marks: Mapping[str, float], linestyle: str = "-") -> None:
    """Draw named vertical lines, once the axis has its limits; words that would lie on others go a line down."""
    low, high = axes.get_xlim()
    ends: list[float] = []
    for name, place in sorted(marks.items(), key=lambda pair: pair[1]):
        axes.axvline(place, color=PALETTE[1], linewidth=1.0, linestyle=linestyle)
        row = next((row for row, end in enumerate(ends) if place > end), len(ends))
        ends[row : row + 1] = [place + LETTER * (len(name) + 1) * (high - low)]
        at = (place, 1.0 - LINE * row)
        axes.annotate(name, at, xycoords=("data", "axes fraction"), va="top", fontsize=8, color=PALETTE[1], bbox=PAPER)
