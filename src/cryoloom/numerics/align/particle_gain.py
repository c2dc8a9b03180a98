"""How much likelier particles become by a map, whatever its grey scale."""

import numpy as np

from cryoloom.numerics.align.coarse import Gallery, search
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.parallel import blocks
from cryoloom.numerics.reconstruct.grids import Map, reference_grid

ORDER, STEPS = 2, 24
"""HEALPix order and in-plane steps: 15 degrees."""
REACH = 0.06
"""Largest shift, as a fraction of the box."""
BLOCK = 32


def particle_gain(images: ImageSet, volume: Map, radius: float) -> float:
    """Return the mean log-likelihood gained over noise by the best pose of a 15-degree grid, the map at its best grey scale for each image.

    Parameters
    ----------
    volume
        ``(box, box, box)``, on the images' grid.
    radius
        Of the particle, px.
    """
    plane = images.plane
    seen = (volume * spherical_mask(plane.box, radius, 3.0)).astype(np.float32)
    gallery = Gallery.of(reference_grid(seen, plane.radius, plane.box), plane, rotation_grid(ORDER, STEPS))
    noise, shifts = images.total_power(), disc_lattice(REACH * plane.box, max(1.0, 0.375 * plane.box / plane.last))
    gains = []
    for part in blocks(len(images), BLOCK):
        data, weight = images.prepare(np.arange(part.start, part.stop), plane, noise)
        gains.append(search(gallery, data, weight, shifts, 1, correlate=True)[2][:, 0])
    return float(np.maximum(np.concatenate(gains), 0.0).mean(dtype=np.float64))
