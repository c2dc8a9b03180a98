"""A map in the grey values of images whose poses are known, and the noise that it leaves in them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.calibrate import grey_scale, grey_scale_at
from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.expectation import residual_power
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.refine import residual_noise
from cryoloom.numerics.align.schedule import coarse_shell
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import Map, reference_grid

Array = NDArray[np.float64]

BLOCK = 256
EDGE = 5.0
"""px, of the sphere inside which a map is compared."""
ORDER, STEP, REACH = 2, 0.375, 3.0
"""Of the search that measures a grey scale: HEALPix order; step of shifts in periods of the finest detail compared; how many steps they reach."""


@dataclass(frozen=True)
class Settled:
    """A reference and its surroundings as images of known poses show them.

    Attributes
    ----------
    grid
        The map to slice, in the images' grey values.
    noise
        ``E|N|²`` of the whole image, ``(groups, shells)``; beyond the band it is the power of the images.
    share
        Part of the images' power that is noise, ``(shells,)``.
    """

    grid: NDArray[np.float32]
    noise: Array
    share: Array

    @classmethod
    def of(cls, images: ImageSet, volume: Map, rotations: Array, shifts: Array, band: int, radius: float, threads: int = 1) -> "Settled":
        """Compare a map with images at their poses.

        Parameters
        ----------
        images
            A set.
        volume
            ``(box, box, box)``, of the images' box and pixel size.
        rotations, shifts
            ``(n, 3, 3)`` and ``(n, 2)`` px.
        band
            Last shell compared.
        radius
            px, of the sphere inside which the map counts.

        Raises
        ------
        ValueError
            If the images do not agree with the map at these poses.
        """
        power, plane = images.total_power(), images.plane.within(band)
        grid = reference_grid((volume * spherical_mask(len(volume), radius, EDGE)).astype(np.float32), plane.radius, len(volume))
        grid *= np.float32(grey_scale_at(images, plane, grid, power, rotations, shifts))
        nothing = np.zeros((len(power), plane.last + 1))

        def left(part: slice) -> tuple[Array, Array]:
            rows, residual, counts = np.arange(part.start, part.stop), nothing.copy(), nothing.copy()
            residual_power(
                grid, plane.kx, plane.ky, plane.shell, plane.box, images.storage.take(rows, len(plane.kx)),
                images.transfers.take(rows, len(plane.kx)), images.group[rows], images.premultiplied, images.scale[rows], nothing,
                rotations[part, None], shifts[part, None], np.ones((len(rows), 1)), residual, counts, np.zeros((len(rows), 2)),
            )  # fmt: skip
            return residual, counts

        residual, counts = nothing.copy(), nothing.copy()
        for one, other in ordered(left, blocks(len(images), BLOCK), threads):
            residual += one
            counts += other
        noise = np.minimum(residual_noise(power, residual, counts, images.coverage), power)
        whole = np.isfinite(power)
        share = np.where(whole, noise, 0.0).sum(axis=0) / np.maximum(np.where(whole, power, 0.0).sum(axis=0), 1e-30)
        return cls(grid, noise, np.where(whole.any(axis=0), share, 1.0))

    @classmethod
    def guessed(cls, images: ImageSet, volume: Map, share: Array, band: int, radius: float) -> "Settled":
        """Compare a map with images whose poses are not known; `share` is known from others, and the grey scale is measured by a search.

        Raises
        ------
        ValueError
            If the images agree with the negative of the map.
        """
        noise, plane, box = images.total_power() * share, images.plane.within(band), len(volume)
        grid = reference_grid((volume * spherical_mask(box, radius, EDGE)).astype(np.float32), plane.radius, box)
        coarse = plane.within(coarse_shell(band, box, radius))
        step = STEP * box / coarse.last
        gallery = Gallery.of(grid, coarse, rotation_grid(ORDER, 6 * 2**ORDER))
        grid *= np.float32(grey_scale(images, gallery, grid, noise, disc_lattice(REACH * step, step)))
        return cls(grid, noise, share)

    def noise_of(self, images: ImageSet) -> Array:
        """Return the noise of other images of the same particle, ``(groups, shells)``: as large a part of their power."""
        return images.total_power() * self.share
