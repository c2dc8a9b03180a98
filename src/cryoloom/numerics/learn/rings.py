"""What the networks of refine.deep_align see of a particle: its low-passed image, at several shifts, on rings about the middle.

A turn of the particle moves the values along the rings.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.coarse import shift_factors
from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane

Array = NDArray[np.float64]

PASSED = 0.2
"""Cycles per pixel of the working sampling beyond which the networks see nothing; published: 0.15."""
SAMPLES = 2.2
"""Samples a period of the finest detail, along the rings and across them: more than two, so that what lies between them is there too."""


@dataclass(frozen=True)
class Rings:
    """Rings about the middle of a particle's image, and how an image is read on them.

    Attributes
    ----------
    plane
        Coefficients of the images that are seen.
    radius
        Of the outermost ring, px.
    shifts
        Looks: what is added to the image in each, ``(T, 2)`` px, none in the first.
    """

    plane: HalfPlane
    radius: float
    shifts: Array

    @property
    def rings(self) -> int:
        """Return how many rings there are."""
        return math.ceil(self.radius * SAMPLES * self.plane.last / self.plane.box)

    @property
    def places(self) -> int:
        """Return how many places each ring has, an even number."""
        return 2 * math.ceil(math.pi * self.radius * SAMPLES * self.plane.last / self.plane.box)

    @property
    def weights(self) -> Tensor:
        """Return the part of the circle's area that each ring stands for, ``(rings,)``."""
        middles = torch.arange(self.rings) + 0.5
        return middles / middles.sum()

    def read(self, coefficients: Coefficients) -> Tensor:
        """Return the values of images ``(n, K)`` on the rings, ``(n, rings, places)``."""
        values = torch.from_numpy(np.ascontiguousarray(coefficients).view(np.float32)) @ self._matrix
        return values.reshape(-1, self.rings, self.places)

    def seen(self, coefficients: Coefficients) -> Tensor:
        """Return all looks at images ``(n, K)``, one after the other, ``(n, T · rings, places)``: of mean 0 and standard deviation 1 in the first."""
        moved = coefficients[:, None] * shift_factors(self.plane, self.shifts)
        looks = self.read(moved.reshape(-1, coefficients.shape[1])).reshape(len(coefficients), len(self.shifts), self.rings, self.places)
        weights = self.weights[:, None] / self.places
        looks = looks - (looks[:, 0] * weights).sum(dim=(1, 2))[:, None, None, None]
        spread = (looks[:, 0].square() * weights).sum(dim=(1, 2)).clamp(min=1e-20).sqrt()
        return (looks / spread[:, None, None, None]).flatten(1, 2)

    @cached_property
    def _matrix(self) -> Tensor:
        """Return what takes real and imaginary parts, one after the other, to the values on the rings, ``(2K, rings · places)``."""
        angle = torch.arange(self.places) * (2 * math.pi / self.places)
        radius = (torch.arange(self.rings)[:, None] + 0.5) * (self.radius / self.rings)
        x, y = (radius * torch.cos(angle)).flatten(), (radius * torch.sin(angle)).flatten()
        kx, ky = torch.from_numpy(self.plane.kx)[:, None], torch.from_numpy(self.plane.ky)[:, None]
        phase = (2 * math.pi / self.plane.box) * (kx * x + ky * y)
        double = torch.where((kx == 0) & (ky == 0), 1.0, 2.0)
        return torch.stack([double * torch.cos(phase), -double * torch.sin(phase)], dim=1).flatten(0, 1).contiguous()
