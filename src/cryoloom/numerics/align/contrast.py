"""Whether particles are bright: the middle of their images against what is around it, all orientations together."""

import numpy as np

from cryoloom.numerics.align.coefficients import circular_mask
from cryoloom.numerics.align.images import ImageSet

SAMPLE = 1024
WITHIN = 0.7
"""Of the mask's radius: where most of a particle's density is."""
SURE = 5.0
"""Standard errors by which the middle must be darker for particles to be called dark."""


def look_dark(images: ImageSet, radius: float) -> bool:
    """Return whether particles that fill a circle of `radius` px are darker than what is around them, as low frequencies see it.

    The mean of an image is not looked at: backgrounds were set to zero by its rim.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))
    plane = images.plane.within(max(2, round(2 * images.plane.box / radius)))
    disc = plane.of_images(circular_mask(plane.box, 2 * WITHIN * radius, 3.0)[None])[0]
    disc[0] = 0
    each = (images.storage.take(rows, len(plane.kx), whole=True) * disc.conj()).real.sum(axis=1, dtype=np.float64)
    return bool(each.mean() < -SURE * each.std() / np.sqrt(len(each)))
