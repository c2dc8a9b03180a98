"""Single particles in the frames of a movie: cut where a motion puts them, compared with what they should look like, and summed.

Displacements ``(F, n, 2)`` are where particles have moved to since the first frame, in px of the boxes. Memory: two frames, the boxes of one frame, the
models (8 bytes a coefficient and particle) and a window of correlations of every particle and frame.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import shift_factors
from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.fourier.grids import frequencies_2d
from cryoloom.numerics.motion.frames import Frames, Part
from cryoloom.numerics.particles.extract import bin_image, cut_boxes

Array = NDArray[np.float64]
Images = NDArray[np.float32]

OVERSAMPLING = 2.0
"""Of correlations beyond what their band needs, for cubic interpolation."""
SAMPLED = 3
"""Frames that tell the spectrum of the noise."""


@dataclass(frozen=True)
class ParticleFrames:
    """The boxes of some particles in all frames.

    Attributes
    ----------
    frames
        Of the movie.
    ratio
        px of the movie in one of the boxes.
    centres
        px of the boxes at which they are cut in the first frame, ``(n, 2)`` whole numbers.
    box
        px.
    """

    frames: Frames | Part
    ratio: Fraction
    centres: NDArray[np.int64]
    box: int

    def cut(self, number: int, displacement: Array) -> tuple[Images, Array]:
        """Return bright boxes ``(n, box, box)`` of a frame, means taken off, and what whole pixels leave of `displacement` ``(n, 2)``."""
        image = bin_image(np.ascontiguousarray(self.frames.get(number).numpy()), self.ratio)
        whole = np.rint(displacement).astype(np.int64)
        boxes = cut_boxes(image, self.centres + whole, self.box)
        return boxes.mean(axis=(1, 2), keepdims=True) - boxes, displacement - whole

    def coefficients(self, number: int, displacement: Array, plane: HalfPlane) -> Coefficients:
        """Return transforms ``(n, K)`` of a frame's boxes, moved back by `displacement`."""
        boxes, rest = self.cut(number, displacement)
        return plane.of_images(boxes) * shift_factors(plane, -rest)

    def noise(self, displacements: Array, plane: HalfPlane) -> Array:
        """Return the mean power of single frames a shell, nearly all of it noise, ``(last + 1,)``."""
        some = np.unique(np.linspace(0, self.frames.count - 1, SAMPLED).astype(np.int64))
        return np.mean([plane.shell_power(self.coefficients(int(one), displacements[one], plane)).mean(axis=0) for one in some], axis=0)

    def correlations(
        self, displacements: Array, models: Coefficients, weight: Array, plane: HalfPlane, reach: float
    ) -> tuple[Images, float]:
        """Return ``2 Re Σ X* M w`` at displacements beyond the given ones up to `reach` px, ``(F, n, w, w)``, and px from one to the next.

        `models` are ``(n, K)``, `weight` ``(F, K)``.
        """
        size = 2 * int(np.ceil(OVERSAMPLING * (plane.last + 1)))
        step = self.box / size
        half = min(int(np.ceil(reach / step)) + 1, size // 2 - 1)
        around = np.arange(-half, half + 1) % size
        found = np.empty((self.frames.count, len(models), len(around), len(around)), np.float32)
        ky, kx = plane.ky.astype(np.int64), plane.kx.astype(np.int64)
        axis = (kx == 0) & (ky > 0)
        for number in range(self.frames.count):
            cross = self.coefficients(number, displacements[number], plane) * models.conj() * weight[number].astype(np.float32)
            grid = np.zeros((len(models), size, size // 2 + 1), np.complex64)
            grid[:, ky % size, kx] = cross
            grid[:, -ky[axis] % size, 0] = cross[:, axis].conj()
            whole = torch.fft.irfft2(torch.from_numpy(grid), s=(size, size)).numpy() * np.float32(size**2)
            found[number] = whole[:, around[:, None], around]
        return found, step

    def agreement(self, displacements: Array, models: Coefficients, weight: Array, plane: HalfPlane) -> tuple[Array, Array]:
        """Return ``Re Σ X* M w`` and ``Σ |M|² w`` over particles, of every frame and shell ``(F, last + 1)``; `weight` is ``(K,)``."""
        norm = np.bincount(plane.shell, (np.abs(models) ** 2).sum(axis=0, dtype=np.float64) * weight, plane.last + 1)
        cross = np.empty((self.frames.count, plane.last + 1))
        for number in range(self.frames.count):
            images = self.coefficients(number, displacements[number], plane)
            terms = (images.real * models.real + images.imag * models.imag).sum(axis=0, dtype=np.float64)
            cross[number] = np.bincount(plane.shell, terms * weight, plane.last + 1)
        return cross, np.repeat(norm[None], len(cross), axis=0)

    def weighted_sum(self, displacements: Array, weights: Array) -> Images:
        """Return the sums ``(n, box, box)`` of the frames moved back, by `weights` ``(F, shells)`` over whole shells, linear in between."""
        ky, kx = (axis.numpy() for axis in frequencies_2d(self.box, self.box, dtype=torch.float64))
        radius = np.hypot(kx, ky) * self.box
        total = np.zeros((len(self.centres), self.box, self.box // 2 + 1), np.complex64)
        for number in range(self.frames.count):
            boxes, rest = self.cut(number, displacements[number])
            factor = np.interp(radius, np.arange(weights.shape[1]), weights[number]).astype(np.float32)
            for index, (x, y) in enumerate(rest):
                turn = (np.exp(2j * np.pi * ky * y) * np.exp(2j * np.pi * kx * x)).astype(np.complex64)
                total[index] += torch.fft.rfft2(torch.from_numpy(boxes[index])).numpy() * (turn * factor)
        return torch.fft.irfft2(torch.from_numpy(total), s=(self.box, self.box)).numpy()
