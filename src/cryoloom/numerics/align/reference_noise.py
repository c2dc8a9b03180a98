"""How much of the error of poses is the noise of the reference they were found in.

An image finds slightly different poses in two references that differ by nothing but noise. Its own noise is the same in both and cancels in the
difference, which is therefore what the references' noise has done; a posterior's curvature, which takes the reference for exact, knows nothing of it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.expectation import FINAL_STEPS
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import refine_candidates
from cryoloom.numerics.align.posterior import Candidates

Array = NDArray[np.float64]

SAMPLE = 100
"""Images looked at."""
STRAY = 4.0
"""Times the median difference, beyond which an image has gone to another peak and says nothing."""


def sampled(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most `SAMPLE` of `rows`, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))] if len(rows) else rows


def pose_differences(
    images: ImageSet,
    rows: NDArray[np.int64],
    plane: HalfPlane,
    noise: Array,
    prior: float,
    grids: Iterable[NDArray[np.float32]],
    rotations: Array,
    shifts: Array,
) -> Array:
    """Return by how much the poses that images find in two references differ: variance of an axis of rotation (radians²) and of shift (px²), ``(2,)``.

    Parameters
    ----------
    images, rows
        The set, and which of it.
    plane
        Coefficients compared.
    noise
        ``E|N|²`` of the whole image, ``(groups, shells)``.
    prior
        Precision (1/px²) of the Gaussian prior on shifts.
    grids
        Two references to slice, taken one after the other.
    rotations, shifts
        Poses of these images that are best in either or near it, ``(m, 3, 3)`` and ``(m, 2)`` px.
    """
    if not len(rows):
        return np.zeros(2)
    data, weight = images.prepare(rows, plane, noise)
    turned, moved = [], []
    for grid in grids:
        poses = Candidates.of(rotations[:, None], shifts[:, None], np.ones(len(rows), np.int64))
        refine_candidates(
            grid, plane.kx, plane.ky, len(plane.kx), plane.box, data, weight, prior, FINAL_STEPS,
            poses.rotations, poses.shifts, poses.costs, poses.curvatures, poses.found,
        )  # fmt: skip
        turned.append(poses.rotations[:, 0])
        moved.append(poses.shifts[:, 0])
    # |R - S|² = 8 sin²(angle / 2), which keeps small angles exact.
    chord = np.linalg.norm(turned[0] - turned[1], axis=(1, 2)) / np.sqrt(8.0)
    turn, move = 2.0 * np.arcsin(np.clip(chord, 0.0, 1.0)), np.linalg.norm(moved[0] - moved[1], axis=1)
    return np.array([_mean_square(turn) / 3.0, _mean_square(move) / 2.0])


def _mean_square(distances: Array) -> float:
    return float(np.mean(distances[distances <= STRAY * np.median(distances)] ** 2))
