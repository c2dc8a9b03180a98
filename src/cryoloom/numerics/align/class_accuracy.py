"""How exactly the poses of a class are known, in RELION's terms."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.posterior import Posterior
from cryoloom.numerics.geometry.symmetry import PointGroup

Array = NDArray[np.float64]

ODDS = float(np.sqrt(2 * np.log(100.0)))
"""Standard errors at which a pose is a hundred times less likely than the best: 3.03."""
WORST_TURN, WORST_SHIFT = 30.0, 10.0
"""Degrees and px beyond which an error means no more than that nothing is known."""
UNKNOWN = 999.0
"""For a class of less than a hundredth of the images."""


def pose_errors(posterior: Posterior, group: PointGroup) -> Array:
    """Return the standard error of an axis of rotation (radians) and of shift (px) of every image's best pose, ``(n, 2)``.

    That the right pose may be another of those that are likely counts too; mates of the `group` are one pose.
    """
    cosine = group.cosine(posterior.rotations, posterior.rotations[:, :1])
    turn = np.arccos(np.clip(cosine, -1.0, 1.0)) ** 2 / 3.0
    move = ((posterior.shifts - posterior.shifts[:, :1]) ** 2).mean(axis=-1)
    variances = np.diagonal(posterior.covariances, axis1=2, axis2=3)
    each = np.stack([variances[..., :3].mean(axis=-1) + turn, variances[..., 3:].mean(axis=-1) + move], axis=-1)
    return np.sqrt(np.einsum("nc,nck->nk", posterior.weights, each))


def with_reference(errors: Array, inflation: Array, added: Array) -> Array:
    """Return standard errors ``(n, 2)`` as the reference's noise makes them: variances times `inflation` and plus `added`, ``(2,)`` or ``(n, 2)``."""
    return np.sqrt(inflation * errors**2 + added)


def class_accuracy(errors: Array, member: NDArray[np.int64], classes: int) -> tuple[Array, Array]:
    """Return the accuracy of rotations in degrees and of shifts in px of each class, ``(K,)`` each.

    Parameters
    ----------
    errors
        Standard errors of an axis of rotation (radians) and of shift (px) of every image, ``(n, 2)``.
    member
        Class of every image, ``(n,)``.
    classes
        How many.
    """
    turn = np.minimum(ODDS * np.rad2deg(errors[:, 0]), WORST_TURN)
    shift = np.minimum(ODDS * errors[:, 1], WORST_SHIFT)
    count = np.bincount(member, minlength=classes)
    known = count >= 0.01 * len(member)
    means = (np.bincount(member, values, minlength=classes) / np.maximum(count, 1) for values in (turn, shift))
    rotations, shifts = (np.where(known, mean, UNKNOWN) for mean in means)
    return rotations, shifts


def quality(rotations: Array, worse: float) -> Array:
    """Return 1 for the best accuracy, 0.5 for one `worse` times that, 0 where it is unknown, ``(K,)``."""
    ratio = rotations.min() / np.maximum(rotations, 1e-9)
    return np.where(rotations < UNKNOWN, ratio ** (np.log(2) / np.log(worse)), 0.0)
