"""An image with circles on it: picks over a micrograph."""

from typing import Any

import numpy as np

from cryoloom.report.raster import png_address, shrink, to_grey
from cryoloom.spec import Panel


class MarkedImage(Panel):
    """A micrograph and circles of `radius` px at (x, y) px of the full image, coloured by `scores` if there are any; row 0 at the top.

    A `brightness` below 1 leaves room for circles that lie on what is bright.
    """

    title: str
    image: Any
    x: list[float]
    y: list[float]
    radius: float
    scores: list[float] = []
    caption: str = ""
    largest: int = 720
    brightness: float = 1.0

    def html(self) -> str:
        """Draw the image small, the circles as SVG over it."""
        full = np.asarray(self.image)
        height, width = full.shape
        grey = to_grey(shrink(full, self.largest), low=1.0, high=99.0)
        address = png_address((self.brightness * grey).astype(np.uint8))
        colours = [f' stroke="{_colour(score)}"' for score in self.scores] or [""] * len(self.x)
        circles = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{self.radius:.1f}"{colour}/>'
            for x, y, colour in zip(self.x, self.y, colours, strict=True)
        )
        return (
            f'<svg class="marked" viewBox="0 0 {width} {height}" role="img"><image href="{address}" width="{width}" height="{height}" '
            f'preserveAspectRatio="none"/><g fill="none" stroke="#7cf29a" stroke-width="{max(width, height) / 500:.1f}">{circles}</g></svg>'
        )


def _colour(score: float) -> str:
    """Return orange for 0, green for 1, and what lies between: told apart by brightness, too."""
    share = min(max(score, 0.0), 1.0)
    low, high = (230, 97, 1), (124, 242, 154)
    return "#" + "".join(f"{round(one + share * (two - one)):02x}" for one, two in zip(low, high, strict=True))
