"""Numbers as colours: one scale for slices, surfaces and their legends, the browser's own."""

from html import escape

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.raster import png_address

PALETTE = "viridis"


def coloured(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.float32]:
    """Return red, green and blue from 0 to 1, ``(..., 3)``, of values between two limits; those beyond have the colour of the nearer one."""
    from matplotlib import colormaps

    part = np.clip((np.asarray(values, np.float64) - low) / max(high - low, 1e-12), 0.0, 1.0)
    return colormaps[PALETTE](part)[..., :3].astype(np.float32)


def legend(low: float, high: float, label: str) -> str:
    """Return a bar of colours with its ends written beside it, as HTML."""
    pixels = np.rint(255 * coloured(np.linspace(low, high, 160), low, high)).astype(np.uint8)
    picture = png_address(np.repeat(pixels[None], 10, axis=0))
    return (
        f'<p class="caption">{low:.3g} <img src="{picture}" width="160" height="10" alt="colours from {low:.3g} to {high:.3g}"> {high:.3g} '
        f"{escape(label)}</p>"
    )
