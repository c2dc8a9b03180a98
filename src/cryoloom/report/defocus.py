"""Pictures of the defocus of particles over their micrographs."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.panels import ImageGrid

SIDE, DOT = 96, 0.035
"""Pixels of a picture, and the radius of a particle's dot as a part of it."""


def defocus_over_micrographs(
    titles: list[str], places: list[NDArray[np.float64]], offsets: list[NDArray[np.float64]], *, title: str, caption: str
) -> ImageGrid:
    """Return one picture a micrograph: a dot a particle at its place ``(n, 2)``, the brighter the farther from focus it lies (`offsets`, Å)."""
    images, captions = [], []
    for name, place, offset in zip(titles, places, offsets, strict=True):
        extent = max(float(np.ptp(place, axis=0).max()), 1e-6)
        at = (place - place.min(axis=0)) / extent * (1 - 2 * DOT) + DOT
        grid = (np.arange(SIDE) + 0.5) / SIDE
        image = np.full((SIDE, SIDE), float(np.median(offset)))
        for (x, y), value in zip(at, offset, strict=True):
            image[np.hypot(grid[None, :] - x, grid[:, None] - y) < DOT] = value
        images.append(image)
        captions.append(f"{name}: {offset.min():.0f} to {offset.max():.0f} Å")
    return ImageGrid(title=title, images=images, captions=captions, caption=caption, size=170)
