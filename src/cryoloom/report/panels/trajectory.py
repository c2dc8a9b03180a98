"""How a micrograph moved while it was recorded, in Cartesian and in polar form."""

import numpy as np

from cryoloom.report.figure import chart
from cryoloom.spec import Panel


class Trajectory(Panel):
    """Shift of each frame in Å; the first frame is marked green, the last red."""

    title: str
    x: list[float]
    y: list[float]
    caption: str = ""

    def html(self) -> str:
        """Draw both charts side by side as SVG."""
        x, y = np.asarray(self.x), np.asarray(self.y)
        with chart(2.6, 2.6) as (axes, cartesian):
            axes.plot(x, y, marker="o", markersize=3)
            axes.plot(x[:1], y[:1], "o", color="#5b8e7d", markersize=6)
            axes.plot(x[-1:], y[-1:], "o", color="#d1495b", markersize=6)
            axes.set_xlabel("x shift (Å)")
            axes.set_ylabel("y shift (Å)")
            axes.set_aspect("equal", adjustable="datalim")
        with chart(2.6, 2.6, polar=True) as (axes, polar):
            angle, radius = np.arctan2(y - y[0], x - x[0]), np.hypot(x - x[0], y - y[0])
            axes.plot(angle, radius, marker="o", markersize=3)
            axes.plot(angle[-1:], radius[-1:], "o", color="#d1495b", markersize=6)
            axes.tick_params(labelsize=7)
        return f'<div class="pair">{cartesian.svg}{polar.svg}</div>'
