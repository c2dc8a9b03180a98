"""A bank of templates in all in-plane rotations, compressed to what they have in common.

Hundreds of views in tens of rotations of a particle some low-pass lengths across have only one to two hundred independent components: one
correlation by FFT for each of these, and a matrix product, give the scores of all templates (Castaño-Díez et al. and others use such bases;
here it is the eigenvectors of the bank's own Gram matrix).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.fourier.grids import hermitian_weights, radius_2d, shells_2d
from cryoloom.numerics.picking.templates import SAMPLING, Images, turned

KEPT = 0.995
"""Share of the templates' energy that the components hold."""

EDGE = 40.0
"""Steepness of the end of the band, per cycle a pixel."""


@dataclass(frozen=True)
class Bank:
    """Templates as sums of components.

    Attributes
    ----------
    components
        ``(k, b, b)`` orthonormal.
    weights
        ``(m, k)`` of each template; templates of one view follow each other, one for each in-plane angle.
    spectra
        ``(views, s)`` energy of each view at frequency ``s / b`` cycles a pixel, summed over the ring.
    angles
        ``(a,)`` degrees, an even number.
    """

    components: Tensor
    weights: Tensor
    spectra: Tensor
    angles: np.ndarray

    @property
    def box(self) -> int:
        """Side of the components in px."""
        return int(self.components.shape[-1])

    def half(self, weights: Tensor) -> Tensor:
        """Return every other in-plane angle of `weights` ``(m, k)``: enough where particles are still sought."""
        return weights.reshape(-1, len(self.angles), weights.shape[1])[:, ::2].reshape(-1, weights.shape[1])


def build_bank(images: Images, step: float) -> Bank:
    """Turn templates ``(n, b, b)``, bright particles, by about `step` degrees over the whole circle and compress them."""
    count = 2 * max(1, round(180.0 / step))
    angles = np.arange(count) * (360.0 / count)
    box = images.shape[-1]
    all_turned = _emphasised(turned(images, angles).reshape(-1, box, box))
    flat = all_turned.reshape(len(all_turned), -1)
    values, vectors = torch.linalg.eigh((flat.T @ flat).to(torch.float64))
    share = torch.cumsum(values.flip(0), 0) / values.sum()
    kept = int((share < KEPT).sum()) + 1
    components = vectors.flip(1)[:, :kept].T.to(torch.float32)
    weights = flat @ components.T
    rings = shells_2d(box).flatten()
    power = torch.fft.rfft2(all_turned[::count]).abs() ** 2 * hermitian_weights(box) / box**2
    spectra = torch.zeros((len(images), int(rings.max()) + 1)).index_add_(1, rings, power.reshape(len(images), -1))
    return Bank(components.reshape(kept, box, box), weights, spectra, angles)


def emphasis(radius: Tensor) -> Tensor:
    """Return the gain at `radius` cycles a pixel that the bank holds its templates with, about what whitening and CTF will do to them.

    Without it, the components would be chosen for the coarsest detail alone.
    """
    return radius + 0.02


def band(radius: Tensor) -> Tensor:
    """Return 1 for frequencies that are used, falling to 0 at the end of the band."""
    return 1.0 / (1.0 + torch.exp(EDGE * (radius - SAMPLING)))


def _emphasised(images: Tensor) -> Tensor:
    box = int(images.shape[-1])
    radius = radius_2d(box, box)
    return torch.fft.irfft2(torch.fft.rfft2(images) * emphasis(radius) * band(radius), s=(box, box))
