"""Central slices of a map along its three axes."""

from typing import Any

import numpy as np

from cryoloom.report.raster import png_address, to_grey
from cryoloom.spec import Panel


class MapSlices(Panel):
    """Slices through the centre of a cubic map ``[z, y, x]``, one grey scale for all."""

    title: str
    volume: Any
    caption: str = ""
    size: int = 220

    def html(self) -> str:
        """Draw z, y and x slices side by side."""
        volume = np.asarray(self.volume)
        middle = volume.shape[0] // 2
        slices = np.stack([volume[middle], volume[:, middle], volume[:, :, middle]])
        grey = to_grey(slices, low=0.1, high=99.9)
        cells = [
            f'<figure class="cell" style="width:{self.size}px"><img src="{png_address(pixels)}" width="{self.size}" alt="slice"><figcaption>'
            f"across {axis}</figcaption></figure>"
            for axis, pixels in zip("zyx", grey, strict=True)
        ]
        return f'<div class="grid">{"".join(cells)}</div>'
