"""Micrographs in miniature with what is masked in them, and what was kept and left out."""

from html import escape
from typing import Any

import numpy as np

from cryoloom.report.raster import png_address, to_grey
from cryoloom.spec import Panel

TINT = (0.86, 0.15, 0.15)
"""Of what is masked, red, green, blue."""


class MaskedImages(Panel):
    """Images ``(h, w)``, masks of the same shapes, and points ``(x, y)`` in px of the images; row 0 at the top."""

    title: str
    images: list[Any]
    masks: list[Any]
    kept: list[list[tuple[float, float]]]
    dropped: list[list[tuple[float, float]]]
    captions: list[str]
    caption: str = ""
    size: int = 230

    def html(self) -> str:
        """Draw each image tinted where it is masked, the points as SVG over it."""
        cells = []
        for image, mask, kept, dropped, words in zip(self.images, self.masks, self.kept, self.dropped, self.captions, strict=True):
            grey = to_grey(np.asarray(image), low=1.0, high=99.0).astype(np.float32)
            share = np.where(np.asarray(mask), np.float32(0.45), np.float32(0.0))[:, :, None]
            colours = (1.0 - share) * grey[:, :, None] + share * 255.0 * np.array(TINT, dtype=np.float32)
            height, width = grey.shape
            radius = max(width, height) / 90
            dots = "".join(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" stroke="{colour}"/>'
                for points, colour in ((kept, "#7cf29a"), (dropped, "#ffb347"))
                for x, y in points
            )
            cells.append(
                f'<figure class="cell" style="width:{self.size}px"><svg viewBox="0 0 {width} {height}" width="{self.size}" role="img">'
                f'<image href="{png_address(np.rint(colours).astype(np.uint8))}" width="{width}" height="{height}"/>'
                f'<g fill="none" stroke-width="{radius / 3:.1f}">{dots}</g></svg><figcaption>{escape(words)}</figcaption></figure>'
            )
        return f'<div class="grid">{"".join(cells)}</div>'
