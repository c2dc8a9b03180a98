"""Maps of more and more particles: how far two of them agree, and how far maps of nothing but noise do that was aligned to a reference.

After Heymann 2015, doi:10.3934/biophy.2015.1.21. The two maps of a measurement are made of disjoint particles, one of each half of the refinement.
Every repeat takes the particles of each half in an order of its own and adds them to the sums once, reading the maps off whenever the next number of
particles is reached: one pass a repeat. Noise takes the places of the images: white, with the transfer functions of the particles that it stands
for, in the pose in which it is most like the reference.

Memory: two grids of sums for each half (see `kernels.grid_bytes`), beside the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.align.projection_matching import Frame, Views, image_views, map_views, match
from cryoloom.numerics.align.storage import Preparation, Streamed
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.cells import equal_cells
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.sphere import disc_lattice
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.reconstruct.grids import Map
from cryoloom.numerics.reconstruct.kernels import empty_grid
from cryoloom.numerics.reconstruct.sums import divided

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

THRESHOLDS = (0.5, 0.143)
"""Of the shell correlation."""
EDGE = 5.0
"""px of the sphere's edge."""


@dataclass(frozen=True)
class Poses:
    """Rotations ``(n, 3, 3)`` and shifts ``(n, 2)`` in px of images."""

    rotations: Array
    shifts: Array

    def of(self, rows: Rows) -> "Poses":
        """Return those of some images."""
        return Poses(self.rotations[rows], self.shifts[rows])


@dataclass(frozen=True)
class Maps:
    """How maps are made of images and compared.

    Attributes
    ----------
    plane
        Coefficients inserted.
    box
        Voxels of the maps, of the images' extent.
    extent
        Å, of a side of the box.
    mask
        ``(box, box, box)``, laid on both maps before they are compared.
    group
        Symmetry imposed.
    threads
        The result does not depend on it.
    """

    plane: HalfPlane
    box: int
    extent: float
    mask: Map
    group: PointGroup = C1
    threads: int = 1

    @property
    def finest(self) -> float:
        """Return the resolution in Å that the maps can reach."""
        return self.extent / self.plane.last

    def resolutions(
        self, images: ImageSet, noise: Array, poses: Poses, orders: tuple[Rows, Rows], counts: Sequence[int]
    ) -> dict[float, list[float]]:
        """Return, for each of `THRESHOLDS`, the resolutions in Å of the maps of the first 1, 2, … `counts` images of two orders.

        Parameters
        ----------
        images, poses
            The set, and the poses of all its images.
        noise
            ``E|N|²``, ``(groups, shells)``.
        orders
            Rows of the two halves.
        counts
            Rising.
        """
        sums = [empty_grid(self.plane.radius, 4) for _ in orders]
        found: dict[float, list[float]] = {level: [] for level in THRESHOLDS}
        for start, end in zip((0, *counts[:-1]), counts, strict=True):
            rows = np.concatenate([order[start:end] for order in orders])
            here, every = poses.of(rows), np.arange(len(rows))
            points = Points(every, here.rotations.astype(np.float32), here.shifts, np.ones(len(rows)), np.zeros((len(rows), 3)))
            lanes = np.repeat(np.arange(2), end - start)
            added = accumulate(
                images, rows, points, self.plane, noise, lanes, group=self.group, at_once=min(self.threads, 2)
            )  # fmt: skip
            for total, one in zip(sums, added, strict=True):
                total += one
            maps = [divided(total, self.plane.last, self.box, images.plane.box, group=self.group) * self.mask for total in sums]
            curve = fourier_shell_correlation(*maps)[: self.plane.last + 1]
            for level, values in found.items():
                values.append(resolution_at(curve, level, self.box, self.extent / self.box, interpolated=True))
        return found


def orders_of(halves: tuple[Rows, Rows], seed: int, repeat: int, most: int) -> tuple[Rows, Rows]:
    """Return `most` rows of each half in the order of a repeat."""
    rng = np.random.default_rng([seed, repeat])
    first, second = (rng.permutation(half)[:most] for half in halves)
    return first, second


def shuffled(poses: Poses, halves: tuple[Rows, Rows], seed: int) -> Poses:
    """Return the poses dealt out anew among the images of each half."""
    rng = np.random.default_rng([seed, 1])
    dealt = np.arange(len(poses.rotations))
    for half in halves:
        dealt[half] = rng.permutation(half)
    return poses.of(dealt)


def noise_images(images: ImageSet, seed: int) -> ImageSet:
    """Return white noise of variance 1 in the place of every image, with its transfer function; made when it is asked for."""
    box = images.plane.box

    def drawn(rows: Rows) -> NDArray[np.float32]:
        return np.stack([np.random.default_rng([seed, 2, row]).standard_normal((box, box), np.float32) for row in rows.tolist()])

    storage = Streamed(drawn, np.arange(len(images)), Preparation(images.plane, float(box)))
    return replace(images, storage=storage, premultiplied=np.zeros_like(images.premultiplied), scale=np.ones_like(images.scale))


def white(images: ImageSet) -> Array:
    """Return ``E|N|²`` of white noise of variance 1, ``(groups, shells)``."""
    return np.full((len(images.premultiplied), images.plane.last + 1), float(images.plane.box) ** 2)


@dataclass(frozen=True)
class Gallery:
    """A reference seen from all sides.

    Attributes
    ----------
    frame, views
        In what it is compared, and its projections.
    rotations
        Of these, psi being 0, ``(directions, 3, 3)``.
    shifts
        Tried, ``(T, 2)`` px.
    """

    frame: Frame
    views: Views
    rotations: Array
    shifts: Array

    @classmethod
    def of(cls, reference: Map, box: int, last: int, radius: float, step: float, reach: float, group: PointGroup = C1) -> "Gallery":
        """Project a reference ``(d, d, d)`` from directions `step` degrees apart, one of each that the group makes equal.

        Parameters
        ----------
        box
            Of the images, px.
        last
            Last ring compared.
        radius
            Of the particle, px.
        reach
            Largest shift tried, px.
        """
        directions = equal_cells(step).centres
        directions = directions[group.in_unit(directions)]
        rot = np.rad2deg(np.arctan2(directions[:, 1], directions[:, 0]))
        rotations = euler_to_matrix(rot, np.rad2deg(np.arccos(directions[:, 2])), np.zeros(len(rot)))
        frame = Frame(box, min(last, box // 2 - 1), min(radius, box / 2 - 3), 2 * round(180.0 / step))
        shifts = disc_lattice(reach, max(1.0, reach / 3.0))
        return cls(frame, map_views(frame, reference, rotations), rotations, shifts)

    def best_poses(self, images: ImageSet, rows: Rows, threads: int = 1) -> Poses:
        """Return the pose in which each of some images is most like the reference seen through its transfer function."""
        plane = images.plane
        transfer = images.transfers.take(rows, len(plane.kx))
        # The correlation of an image with a view times the CTF is that of the image times the CTF with the view.
        filtered = plane.images(images.storage.take(rows, len(plane.kx), whole=True) * transfer)
        found = match(self.frame, image_views(self.frame, filtered), self.views, self.shifts, threads=threads)
        best = found.correlation.argmax(axis=1)
        row = np.arange(len(rows))
        level = np.zeros(len(rows))
        rotations = euler_to_matrix(level, level, found.psi[row, best]) @ self.rotations[best]
        return Poses(rotations, self.shifts[found.shift[row, best]])
