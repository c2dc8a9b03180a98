"""The look of every chart: one palette, one type size, drawn to inline SVG that names no fonts of this machine."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GLOBAL_STYLE = re.compile(r"<style[^>]*>\s*\*\{[^}]*\}\s*</style>")
"""What matplotlib says of every element; inside a page it would mean the page's too, so the chart itself says it."""
PALETTE = ("#1f6f8b", "#d1495b", "#edae49", "#5b8e7d", "#7d5ba6", "#66717e")

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
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
    "legend.frameon": False,
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
        svg = text[text.index("<svg") :]
        drawing.svg = _GLOBAL_STYLE.sub("", svg, count=1).replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
