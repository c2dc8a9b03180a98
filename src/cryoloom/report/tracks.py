"""Motion of particles over their micrographs."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.panels import ImageGrid

SIDE, LONGEST = 220, 0.08
"""Pixels of a picture, and the longest motion as a part of it."""


def tracks_over_micrographs(
    titles: list[str], places: list[NDArray[np.float64]], tracks: list[NDArray[np.float64]], *, title: str, caption: str
) -> ImageGrid:
    """Return a picture a micrograph: the ways ``(n, F, 2)`` Å of its particles from their `places` ``(n, 2)``, enlarged, the last frames brightest."""
    images, captions = [], []
    for name, place, track in zip(titles, places, tracks, strict=True):
        extent = max(float(np.ptp(place, axis=0).max()), 1e-6)
        longest = max(float(np.linalg.norm(track, axis=2).max()), 1e-6)
        at = LONGEST + (1 - 2 * LONGEST) * (place - place.min(axis=0)) / extent
        fine = np.linspace(0, track.shape[1] - 1, 24 * track.shape[1])
        low = np.minimum(fine.astype(int), track.shape[1] - 2) if track.shape[1] > 1 else np.zeros(len(fine), int)
        part = (fine - low)[None, :, None]
        ways = track[:, low] * (1 - part) + track[:, np.minimum(low + 1, track.shape[1] - 1)] * part
        columns, rows = np.clip((SIDE * (at[:, None] + ways / longest * LONGEST)).astype(int), 0, SIDE - 1).transpose(2, 0, 1)
        image = np.zeros((SIDE, SIDE))
        np.maximum.at(image, (rows, columns), np.broadcast_to(0.35 + 0.65 * fine / max(fine[-1], 1e-9), rows.shape))
        images.append(image)
        captions.append(f"{name}: up to {longest:.1f} Å")
    return ImageGrid(title=title, images=images, captions=captions, caption=caption, size=240)
