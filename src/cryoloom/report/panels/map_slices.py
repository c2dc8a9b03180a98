"""Central slices of a map along its three axes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.colours import coloured, legend
from cryoloom.report.raster import png_address, to_grey
from cryoloom.spec import Panel


class MapSlices(Panel):
    """Slices through the centre of a cubic map ``[z, y, x]``, one grey scale for all.

    With `limits` in colours between these two values, which `label` names in the legend; voxels that are 0 stay white.
    """

    title: str
    volume: Any
    caption: str = ""
    size: int = 220
    limits: tuple[float, float] | None = None
    label: str = ""

    def html(self) -> str:
        """Draw z, y and x slices side by side."""
        volume = np.asarray(self.volume)
        middle = volume.shape[0] // 2
        slices = np.stack([volume[middle], volume[:, middle], volume[:, :, middle]])
        pictures = to_grey(slices, low=0.1, high=99.9) if self.limits is None else _in_colours(slices, *self.limits)
        cells = [
            f'<figure class="cell" style="width:{self.size}px"><img src="{png_address(pixels)}" width="{self.size}" alt="slice"><figcaption>'
            f"across {axis}</figcaption></figure>"
            for axis, pixels in zip("zyx", pictures, strict=True)
        ]
        below = "" if self.limits is None else legend(*self.limits, self.label)
        return f'<div class="grid">{"".join(cells)}</div>{below}'


def _in_colours(slices: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    shades = np.where(slices[..., None] == 0, 1.0, coloured(slices, low, high))
    return np.rint(255 * shades).astype(np.uint8)
