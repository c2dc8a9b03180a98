"""How likely images are as views of a map whatever their pose: every pose of a grid weighed.

Gaussians at the peaks of the likelihood do not tell that where images hardly tell their pose: those of a weak or smooth map are wider than all poses there
are, and much of the likelihood lies beside the few peaks that are kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.coarse import IMAGES, Gallery, norm_terms, shift_factors, shifted_rows
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.stochastic import softmax
from cryoloom.numerics.parallel import blocks, ordered

Array = NDArray[np.float64]

STRONGEST = 4.0
"""Largest factor on a shell in one step."""


@dataclass(frozen=True)
class Marginal:
    """Some images beside every pose of a grid. Memory: 4 bytes a pose for eight images a thread.

    Attributes
    ----------
    images, rows
        The set, and which of it.
    noise
        ``E|N|²`` of the whole image, ``(groups, shells)``.
    shifts, spread
        ``(T, 2)`` px, and the deviation of their Gaussian prior.
    threads
        The result does not depend on it.
    """

    images: ImageSet
    rows: NDArray[np.int64]
    noise: Array
    shifts: Array
    spread: float
    threads: int = 1

    def evidence(self, gallery: Gallery) -> Array:
        """Return how much more likely each image is as a view of the map than as noise, natural logarithms, ``(n,)``."""
        return np.concatenate(list(ordered(lambda part: self._weighed(gallery, part)[3], blocks(len(self.rows), IMAGES), self.threads)))

    def shell_factors(self, gallery: Gallery) -> Array:
        """Return the factors on the map's shells, 0 to the gallery's last, that make the images likelier: a step of expectation-maximisation."""
        plane = gallery.plane

        def work(part: slice) -> Array:
            shifted, scores, weight, _, each = self._weighed(gallery, part)
            cross = ((shifted.T @ scores) * gallery.slices).sum(dim=1, dtype=torch.float64).reshape(2, -1).sum(dim=0)
            power = ((weight.T @ each) * gallery.power).sum(dim=1, dtype=torch.float64)
            return np.stack([np.bincount(plane.shell, one.numpy(), minlength=plane.last + 1) for one in (cross, power)])

        cross, power = np.sum(list(ordered(work, blocks(len(self.rows), IMAGES), self.threads)), axis=0)
        there = power > 1e-6 * power.max()
        return np.clip(np.divide(cross, power, where=there, out=np.zeros_like(power)), 0.0, STRONGEST)

    def _weighed(self, gallery: Gallery, part: slice) -> tuple[Tensor, Tensor, Tensor, Array, Tensor]:
        """Return a block at every shift ``(B · T, 2K)``, each pose's weight ``(B · T, R)``, the images' ``(B, K)``, evidence, and ``(B, R)`` over shifts."""
        poses = gallery.slices.shape[1]
        data, weight = self.images.prepare(self.rows[part], gallery.plane, self.noise)
        shifted = shifted_rows(data, shift_factors(gallery.plane, self.shifts))
        scores, norms = shifted @ gallery.slices, norm_terms(gallery, weight)
        penalty = 0.5 * (self.shifts**2).sum(axis=1) / self.spread**2
        each, best, gain = np.zeros((len(data), poses), np.float32), np.zeros(len(data)), np.zeros(len(data))
        softmax(scores.numpy(), norms.numpy(), penalty.astype(np.float32), np.zeros(poses, np.float32), each, best, gain)
        return shifted, scores, torch.from_numpy(weight), gain - np.log(np.exp(-penalty).mean()), torch.from_numpy(each)
