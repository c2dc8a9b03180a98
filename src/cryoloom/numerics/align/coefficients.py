"""Image transforms as lists of coefficients sorted by radius: a band limit is a prefix of every array.

The list holds the Hermitian-unique half plane (``kx > 0``, or ``kx = 0`` and ``ky >= 0``) inside Nyquist, the coefficient 0 first; along
a ring it follows the angle, so that neighbours in the list are neighbours in the map's transform. Shell ``s`` is ``round(|k|)``.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.fourier.transforms import centred_irfft2, centred_rfft2
from cryoloom.numerics.masks.soft import cosine_edge

Coefficients = NDArray[np.complex64]


@dataclass(frozen=True)
class HalfPlane:
    """The coefficients of images of `box` pixels out to shell `last`.

    Attributes
    ----------
    box, last
        Box in px; last shell, at most ``box // 2``.
    kx, ky
        Integer frequencies, cycles per box, float32, shape ``(K,)``.
    shell
        int16, shape ``(K,)``, never falling.
    """

    box: int
    last: int
    kx: NDArray[np.float32]
    ky: NDArray[np.float32]
    shell: NDArray[np.int16]

    @classmethod
    def of(cls, box: int, last: int) -> "HalfPlane":
        """List the coefficients; `last` beyond Nyquist is cut to it."""
        last = min(last, box // 2)
        ky, kx = (grid.ravel() for grid in np.meshgrid(np.arange(-last, last + 1), np.arange(last + 1), indexing="ij"))
        radius = np.hypot(kx, ky)
        kept = (np.round(radius) <= last) & (radius < box / 2) & ((kx > 0) | (ky >= 0))
        kx, ky, radius = kx[kept], ky[kept], radius[kept]
        order = np.lexsort((np.arctan2(ky, kx), np.round(radius)))
        kx, ky = kx[order], ky[order]
        return cls(box, last, kx.astype(np.float32), ky.astype(np.float32), np.round(radius[order]).astype(np.int16))

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Return how many coefficients have shell ≤ s, for s = 0 … `last`."""
        return np.searchsorted(self.shell, np.arange(self.last + 1), side="right")

    @cached_property
    def radius(self) -> float:
        """Return the largest ``|k|`` listed."""
        return float(np.hypot(self.kx, self.ky).max())

    def within(self, last: int) -> "HalfPlane":
        """Return the prefix out to shell `last`."""
        count = self.ends[min(last, self.last)]
        return HalfPlane(self.box, min(last, self.last), self.kx[:count], self.ky[:count], self.shell[:count])

    def of_images(self, images: NDArray[np.float32]) -> Coefficients:
        """Return the unnormalised transforms ``(n, K)`` of images ``(n, box, box)``, phase origin at the image centre."""
        transforms = centred_rfft2(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))).numpy()
        return np.ascontiguousarray(transforms[:, self.ky.astype(np.int64) % self.box, self.kx.astype(np.int64)])

    def images(self, coefficients: Coefficients) -> NDArray[np.float32]:
        """Return the images ``(n, box, box)`` that have coefficients ``(n, K)``, and nothing beyond: the inverse of `of_images`."""
        ky, kx = self.ky.astype(np.int64), self.kx.astype(np.int64)
        transforms = np.zeros((len(coefficients), self.box, self.box // 2 + 1), np.complex64)
        transforms[:, ky % self.box, kx] = coefficients
        axis = kx == 0  # its lower half is not listed
        transforms[:, -ky[axis] % self.box, 0] = coefficients[:, axis].conj()
        return centred_irfft2(torch.from_numpy(transforms), (self.box, self.box)).numpy()

    def shell_power(self, coefficients: Coefficients) -> NDArray[np.float64]:
        """Return the mean ``|X|²`` a shell of each image, ``(n, last + 1)``."""
        power = coefficients.real.astype(np.float64) ** 2 + coefficients.imag.astype(np.float64) ** 2
        starts = np.concatenate([[0], self.ends[:-1]])
        return np.add.reduceat(power, starts, axis=1) / np.diff(self.ends, prepend=0)


def circular_mask(box: int, diameter: float, edge: float) -> NDArray[np.float32]:
    """Return a soft circle of `diameter` px about the image centre, with a raised cosine `edge` px wide outside it, ``(box, box)``."""
    axis = np.arange(box, dtype=np.float32) - box // 2
    return cosine_edge(np.hypot(axis[:, None], axis[None, :]) - diameter / 2, edge)


def background(images: NDArray[np.float32], diameter: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each image outside a circle of `diameter` px (of the corners at least)."""
    box = images.shape[-1]
    axis = np.arange(box) - box // 2
    outside = np.hypot(axis[:, None], axis[None, :]) > min(diameter / 2, 0.95 * box / 2)
    pixels = images[:, outside]
    return pixels.mean(axis=1, dtype=np.float64), pixels.std(axis=1, dtype=np.float64)
