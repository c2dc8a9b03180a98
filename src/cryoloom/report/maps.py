"""Maps before and after a step, as panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cryoloom.report.panels import ImageGrid, MapSlices
from cryoloom.spec import Panel

SHOWN = 24
"""Maps of a set that are drawn."""


def map_panel(title: str, maps: Sequence[Any], labels: Sequence[str], caption: str = "") -> Panel:
    """Return slices of one map ``(d, d, d)`` along its axes, or the middle slice across z of each of several."""
    if len(maps) == 1:
        return MapSlices(title=title, volume=maps[0], caption=caption)
    images = [np.asarray(each[len(each) // 2]) for each in maps[:SHOWN]]
    return ImageGrid(title=title, images=images, captions=list(labels[:SHOWN]), caption=caption)
