"""Many small images: class averages, particles, power spectra."""

from html import escape
from typing import Any

import numpy as np

from cryoloom.report.raster import png_address, shrink, to_grey
from cryoloom.spec import Panel


class ImageGrid(Panel):
    """Images ``(h, w)`` with a caption each; ``good`` frames the chosen ones and fades the others.

    Rows of the array go from top to bottom.
    """

    title: str
    images: list[Any]
    captions: list[str] = []
    good: list[bool] = []
    caption: str = ""
    size: int = 110

    def html(self) -> str:
        """Draw each image with its own grey scale."""
        cells = []
        for number, image in enumerate(self.images):
            pixels = to_grey(shrink(np.asarray(image), 2 * self.size))
            state = "" if not self.good else " good" if self.good[number] else " bad"
            words = escape(self.captions[number]) if number < len(self.captions) else ""
            cells.append(
                f'<figure class="cell{state}" style="width:{self.size}px"><img src="{png_address(pixels)}" width="{self.size}" alt="{words}">'
                f"<figcaption>{words}</figcaption></figure>"
            )
        return f'<div class="grid">{"".join(cells)}</div>'
