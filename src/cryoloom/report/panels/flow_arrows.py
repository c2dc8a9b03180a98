"""An image with the field of motion on it: one arrow a place."""

from typing import Any

import numpy as np

from cryoloom.report.raster import png_address, shrink, to_grey
from cryoloom.spec import Panel

LONGEST = 0.8
"""Length of the longest arrow, in distances of arrows."""


class FlowArrows(Panel):
    """A micrograph and displacements ``dx``, ``dy`` (rows of columns, px) at places evenly over it; row 0 at the top."""

    title: str
    image: Any
    dx: list[list[float]]
    dy: list[list[float]]
    caption: str = ""
    largest: int = 480

    def html(self) -> str:
        """Draw the image small, the arrows as SVG over it, enlarged so that the longest nearly reaches the next."""
        full = np.asarray(self.image)
        height, width = full.shape
        address = png_address(to_grey(shrink(full, self.largest), low=1.0, high=99.0))
        dx, dy = np.asarray(self.dx), np.asarray(self.dy)
        rows, columns = dx.shape
        longest = float(np.hypot(dx, dy).max(initial=0.0))
        scale = LONGEST * min(width / columns, height / rows) / longest if longest > 0 else 0.0
        lines = []
        for row in range(rows):
            for column in range(columns):
                x, y = (column + 0.5) * width / columns, (row + 0.5) * height / rows
                end = x + scale * dx[row, column], y + scale * dy[row, column]
                lines.append(
                    f'<path d="M{x:.1f} {y:.1f}L{end[0]:.1f} {end[1]:.1f}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="{width / 250:.1f}"/>'
                )
        told = f"Longest arrow: {longest:.2f} px, drawn {scale:.0f} times as long; dots are the beginnings."
        return (
            f'<svg class="marked" viewBox="0 0 {width} {height}" role="img"><image href="{address}" width="{width}" height="{height}" '
            f'preserveAspectRatio="none"/><g fill="#ffd166" stroke="#ffd166" stroke-width="{max(width, height) / 250:.1f}">{"".join(lines)}</g>'
            f"</svg><p class='more'>{told}</p>"
        )
