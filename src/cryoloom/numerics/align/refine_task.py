"""What stays the same through a refinement: its images, its halves and their folds, its masks, and what it was told."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.parallel import Threads, Workplace
from cryoloom.numerics.reconstruct.grids import Map

JOIN = 40.0
"""Å; coarser shells are averaged over the halves unless a task says otherwise."""


@dataclass(frozen=True)
class Task:
    """What stays the same through a refinement.

    Attributes
    ----------
    images, half
        The set, and which half (0 or 1) an image belongs to, ``(n,)``.
    pixel_size, mask_diameter
        Å/px, Å.
    initial_lowpass
        Å, of the reference.
    seed, threads
        The result depends on the first only.
    mask
        Soft mask ``(box, box, box)`` of the references; when None, a sphere of `mask_diameter`.
    follow_surface
        Lay a mask around the surface of both halves' mean on the references as soon as it is known well enough; only without `mask`.
    iterations
        Most iterations before the last one.
    folds
        Parts of a half set. An image is compared with a reference made from the other parts of its half: its own noise, averaged into the
        reference at its last pose, would otherwise hold it there. 1 for no parts.
    group
        Symmetry imposed on every map; poses are sought, kept and compared in its asymmetric unit.
    alike
        Which images share a grey scale, ``(n,)`` from 0; when None, all of them.
    near
        Start from given poses, and look for better ones near them only.
    solvent_fsc
        Take the halves' correlation under `mask`, corrected by phase randomisation.
    prior
        Of the given poses; None: nothing is known but that shifts are small.
    relaxed
        Group whose mates of an image's last pose are tried as well.
    join
        Å; coarser shells are averaged over the halves.
    regularisation
        Factor on the signal-to-noise ratio that the halves' curve stands for.
    reach
        px, largest shift sought at first; None for what a centred box needs.
    elsewhere
        Where blocks are computed if not in threads of this process; the result does not depend on it.
    """

    images: ImageSet
    half: NDArray[np.int64]
    pixel_size: float
    mask_diameter: float
    initial_lowpass: float
    seed: int
    threads: int = 1
    mask: Map | None = None
    follow_surface: bool = True
    iterations: int = 25
    folds: int = 4
    group: PointGroup = C1
    alike: NDArray[np.int64] | None = None
    near: bool = False
    solvent_fsc: bool = False
    prior: PosePrior | None = None
    relaxed: PointGroup = C1
    join: float = JOIN
    regularisation: float = 1.0
    reach: float | None = None
    elsewhere: Workplace | None = None

    @property
    def place(self) -> Workplace:
        """Return where blocks are computed."""
        return self.elsewhere or Threads(self.threads)

    def sent(self) -> "Task":
        """Return the task as whoever computes a block needs it."""
        return replace(self, elsewhere=None)

    @property
    def given(self) -> bool:
        """Return whether images come with poses that mean something."""
        return self.near or self.prior is not None

    @property
    def box(self) -> int:
        """Return the images' box."""
        return self.images.plane.box

    @property
    def radius(self) -> float:
        """Return the mask's radius in px."""
        return self.mask_diameter / 2 / self.pixel_size

    @cached_property
    def fold(self) -> NDArray[np.int64]:
        """Return the fold of every image, random within its half, ``(n,)``."""
        fold = np.zeros(len(self.images), np.int64)
        rng = np.random.default_rng([self.seed, 1 << 16])
        for half in (0, 1):
            rows = rng.permutation(np.flatnonzero(self.half == half))
            fold[rows] = np.arange(len(rows)) % self.folds
        return fold

    def sphere(self, box: int) -> Map:
        """Return the soft sphere at a working box."""
        scale = box / self.box
        return spherical_mask(box, self.radius * scale, max(5.0 * scale, 3.0))

    def solvent(self, box: int) -> Map:
        """Return the mask of the references at a working box."""
        if self.mask is None:
            return self.sphere(box)
        return np.clip(resample_volume(torch.from_numpy(self.mask.astype(np.float32)), box).numpy(), 0.0, 1.0)

    def rows(self, half: int, fold: int) -> NDArray[np.int64]:
        """Return the images of a fold of a half."""
        return np.flatnonzero((self.half == half) & (self.fold == fold))

    def shell(self, resolution: float) -> int:
        """Return the shell of a resolution in Å, between 1 and Nyquist."""
        return int(np.clip(round(self.box * self.pixel_size / resolution), 1, self.images.plane.last))
