"""How well a map explains images.

The published measure is the correlation of an image with the best of the map's projections. Where images are noisy it misleads: the more a map's
projections differ by noise, the better the best of them fits, and a map that follows noise beats one that does not. The evidence, the likelihood over
all poses instead of at the best one, does not reward that. It is summed over a whole grid of poses, see `marginal`, and asks for a map in the grey values
of the images in every shell: what is noise in a map, or too strong, would count against the rest of it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.calibrate import grey_scale
from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.expectation import BLOCK, Effort, Expectation, Pass
from cryoloom.numerics.align.images import ImageSet, Transfers
from cryoloom.numerics.align.marginal import Marginal
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.align.schedule import coarse_shell
from cryoloom.numerics.filters.maps import multiply_shells
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import Map, reference_grid

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

REACH = 0.1
"""Largest shift sought unless another is asked for, as a fraction of the box."""
JUDGED = 2
"""HEALPix order of the directions over which evidence is summed: what the shells of the first search ask for."""
FITTED, TELLING = 3, 200
"""Steps by which a map's shells are brought to the grey values of the images, and how many of these tell them."""


@dataclass(frozen=True)
class Projecting:
    """How images are compared with any map.

    Attributes
    ----------
    images
        The set; compared to the last shell that its coefficients reach.
    radius
        Of the particle, px of the images.
    order
        HEALPix order of the directions tried first.
    reach
        px, largest shift; None for `REACH`.
    group
        Symmetry of the maps.
    threads
        The result does not depend on it.
    """

    images: ImageSet
    radius: float
    order: int = 2
    reach: float | None = None
    group: PointGroup = C1
    threads: int = 1

    @property
    def band(self) -> int:
        """Return the last shell compared."""
        return self.images.plane.last

    @property
    def coarse(self) -> int:
        """Return the last shell of the search over all orientations."""
        return coarse_shell(self.band, self.images.plane.box, self.radius)

    @cached_property
    def blind(self) -> "Projecting":
        """Return the same without transfer functions, as the published scores have it."""
        images = self.images
        one = Transfers.of(images.plane, images.transfers.pixel_size, images.transfers.optics, images.group, None)
        return replace(self, images=replace(images, transfers=one))

    def scaled(self, volume: Map, noise: Array, turn: Array) -> Map:
        """Return a map ``(b, b, b)`` in the grey values of the images.

        Raises
        ------
        ValueError
            If the images agree with its negative, not with it.
        """
        grid, gallery, lattice = self._searched(volume, turn, self.order)
        return volume * np.float32(grey_scale(self.images, gallery, grid, noise, lattice))

    def fitted(self, volume: Map, rows: Rows, noise: Array, turn: Array) -> Map:
        """Return a map ``(b, b, b)`` in the grey values that make some images likeliest, shell by shell; raises what `scaled` does.

        What of a map's detail the images do not show becomes weak, so that maps of unlike spectra and noise can be compared.
        """
        found = self.scaled(volume, noise, turn)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, TELLING).astype(np.int64))]
        for _ in range(FITTED):
            gallery, over = self._marginal(found, rows, noise, turn)
            factors = over.shell_factors(gallery)
            finer = np.full(len(volume), factors[-1])
            found = multiply_shells(found, np.concatenate([factors, finer]))
        return found

    def aligned(self, volume: Map, rows: Rows, noise: Array, turn: Array) -> Expectation:
        """Return the posterior poses of some images in a map, the grid of orientations turned by `turn` ``(3, 3)``."""
        grid, gallery, lattice = self._searched(volume, turn, self.order)
        effort = Effort(self.band, lattice, PosePrior(shift=1.0 / self._spread**2), correlate=True, group=self.group)
        unknown = np.zeros((len(self.images), 3, 3)), np.zeros((len(self.images), 2))
        over = Pass(self.images, rows, grid, gallery, noise, effort, *unknown, known=False, reliable=self.band)
        return Expectation.joined(list(ordered(over.block, blocks(len(rows), BLOCK), self.threads)))

    def evidence(self, volume: Map, rows: Rows, noise: Array, turn: Array) -> Array:
        """Return how much more likely some images are as views of a map, whatever the pose, than as noise: natural logarithms, ``(n,)``."""
        gallery, over = self._marginal(volume, rows, noise, turn)
        return over.evidence(gallery)

    def correlations(self, volume: Map, rows: Rows, noise: Array, turn: Array) -> Array:
        """Return the correlation of some images with their best projections, frequencies weighed by one over the noise, ``(n,)``."""
        plane, grey = self.images.plane, self.aligned(volume, rows, noise, turn).grey
        found = self.images.storage.take(rows, len(plane.kx))
        inverse = (1.0 / noise)[self.images.group[rows]][:, plane.shell]
        power = ((found.real.astype(np.float64) ** 2 + found.imag.astype(np.float64) ** 2) * inverse).sum(axis=1)
        return grey[:, 0] / np.sqrt(np.maximum(grey[:, 1] * power, 1e-30))

    @property
    def _reach(self) -> float:
        """Return the largest shift sought, px."""
        return REACH * self.images.plane.box if self.reach is None else self.reach

    @property
    def _spread(self) -> float:
        """Return the prior's standard deviation for shifts, px."""
        return 0.5 * self._reach

    def _marginal(self, volume: Map, rows: Rows, noise: Array, turn: Array) -> tuple[Gallery, Marginal]:
        """Return a map's slices at the poses over which evidence is summed, and the images to be compared with them."""
        _, gallery, lattice = self._searched(volume, turn, JUDGED)
        return gallery, Marginal(self.images, rows, noise, lattice, self._spread, self.threads)

    def _searched(self, volume: Map, turn: Array, order: int) -> tuple[NDArray[np.float32], Gallery, Array]:
        """Return a map's grid, its slices at the orientations of a grid, and the shifts tried."""
        plane, full = self.images.plane, self.images.plane.box
        grid = reference_grid(volume, plane.radius, full)
        rotations = rotation_grid(order, 6 * 2**order) @ turn
        rotations = rotations[self.group.in_unit(rotations[:, 0, 2], margin=30.0 / 2**order)]
        step = 0.375 * full / self.coarse
        return grid, Gallery.of(grid, plane.within(self.coarse), rotations), disc_lattice(max(self._reach, step), step)
