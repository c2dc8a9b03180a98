"""What the noise of a reference does to poses: a sample of images, looked at in references that differ by nothing but noise.

The curvature of an image's posterior takes the reference for exact, which is wrong in two ways. Noise in the reference is steep as well, and makes poses
look better known than they are; or a filter that holds it down makes the reference flat, and poses look worse. What two independent references have in
common tells the curvature of the signal alone. And the noise moves poses. Images find slightly different ones in two independent references; their own noise
is the same in both, as far as it meets the signal, and cancels in the difference, which is what the references' noise has done. Both together are the
error: to the first order, with a reference P = S + n, an image's noise e moves a pose by (∂S, e) / (∂S, ∂S) as it would without n, and by
(∂n, e) - (∂S, n), over the same, because of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.expectation import FINAL_STEPS
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import refine_candidates
from cryoloom.numerics.align.posterior import Candidates, Posterior
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.reconstruct.grids import Map, reference_grid

Array = NDArray[np.float64]
Grid = NDArray[np.float32]

SAMPLE = 100
"""Images looked at."""
STRAY = 4.0
"""Times the median difference, beyond which an image has gone to another peak and says nothing."""


@dataclass(frozen=True)
class Sample:
    """Some images at their best poses.

    Attributes
    ----------
    plane, data, weight
        The coefficients compared, and the images prepared for it, ``(m, coefficients)`` each.
    prior, mates
        Of their poses, see `PosePrior`.
    rotations, shifts, variances
        ``(m, 1, 3, 3)``, ``(m, 1, 2)`` px; and of an axis of rotation (radians²) and of shift (px²), as the posterior has them, ``(m, 2)``.
    """

    plane: HalfPlane
    data: NDArray[np.complex64]
    weight: NDArray[np.float32]
    prior: Array
    mates: Array
    rotations: Array
    shifts: Array
    variances: Array

    @classmethod
    def of(cls, images: ImageSet, rows: NDArray[np.int64], plane: HalfPlane, noise: Array, prior: PosePrior, found: Posterior) -> "Sample":
        """Take at most `SAMPLE` of `rows`, evenly spaced; `noise` is ``E|N|²`` of the whole image, ``(groups, shells)``."""
        some = rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))]
        data, weight = images.prepare(some, plane, noise)
        poses = found.rotations[some, :1], found.shifts[some, :1]
        return cls(plane, data, weight, prior.rows(some), prior.mates, *poses, _variances(found.covariances[some, 0]))

    def inflation(self, halves: tuple[Map, Map], box: int) -> Array:
        """Return by how much variances (rotation, shift) would be larger in a reference without noise, ``(2,)``; infinite where there is no signal.

        `halves` are unfiltered maps of independent noise. A curvature is a square: that of their mean less that of half their difference is their product.
        """
        first, second = halves
        grids = (reference_grid(0.5 * one, self.plane.radius, box) for one in (first + second, first - second))
        mean, difference = (self._refined(grid, 0).curvatures[:, 0] for grid in grids)
        signal = mean - difference
        known = np.linalg.eigvalsh(signal)[:, 0] > 0
        variances = np.full((len(signal), 2), np.inf)
        variances[known] = _variances(np.linalg.inv(signal[known]))
        return np.median(variances / self.variances, axis=0)

    def differences(self, grids: Iterable[Grid]) -> Array:
        """Return the variance of the difference of an axis of rotation (radians²) and of shift (px²) of poses found in two references, ``(2,)``."""
        first, second = (self._refined(grid, FINAL_STEPS) for grid in grids)
        # |R - S|² = 8 sin²(angle / 2), which keeps small angles exact.
        chord = np.linalg.norm(first.rotations[:, 0] - second.rotations[:, 0], axis=(1, 2)) / np.sqrt(8.0)
        turned = 2.0 * np.arcsin(np.clip(chord, 0.0, 1.0))
        moved = np.linalg.norm(first.shifts[:, 0] - second.shifts[:, 0], axis=1)
        return np.array([_mean_square(turned) / 3.0, _mean_square(moved) / 2.0])

    def _refined(self, grid: Grid, steps: int) -> Candidates:
        poses = Candidates.of(self.rotations, self.shifts, np.ones(len(self.data), np.int64))
        refine_candidates(
            grid, self.plane.kx, self.plane.ky, len(self.plane.kx), self.plane.box, self.data, self.weight, self.prior, self.mates, steps,
            poses.rotations, poses.shifts, poses.costs, poses.curvatures, poses.found,
        )  # fmt: skip
        return poses


def _variances(covariances: Array) -> Array:
    axes = np.diagonal(covariances, axis1=1, axis2=2)
    return np.stack([axes[:, :3].mean(axis=1), axes[:, 3:].mean(axis=1)], axis=-1)


def _mean_square(distances: Array) -> float:
    return float(np.mean(distances[distances <= STRAY * np.median(distances)] ** 2))
