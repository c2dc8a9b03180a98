"""Other centres for aligned particles: the origins that bring a point of the average or map to the middle of the box."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.euler import euler_to_matrix

Array = NDArray[np.float64]


def recentred(origins: Array, angles: Array, points: Array) -> Array:
    """Return the origins ``(n, 2)``, Å, that centre `points` instead of the centre of what the images were aligned to.

    Parameters
    ----------
    origins
        ``(n, 2)`` Å, of the alignment.
    angles
        ``(n, 3)`` rot, tilt, psi in degrees; of 2D alignments rot = tilt = 0.
    points
        ``(n, 3)`` or ``(3,)`` Å from the centre of the reference; of 2D alignments z = 0.
    """
    matrices = euler_to_matrix(*angles.T)
    return origins - np.einsum("nij,nj->ni", matrices, np.broadcast_to(points, (len(origins), 3)))[:, :2]


def centre_of_mass(average: NDArray[np.float32]) -> Array:
    """Return the centre (x, y) of what is bright in a class average ``(n, n)``, px from ``n // 2``; the centre where nothing is.

    What stands out by more than a standard deviation of the disc counts, as far as it stands out: noise and the dark rim that the CTF leaves do not.
    """
    box = average.shape[-1]
    axis = np.arange(box) - box // 2
    disc = axis[:, None] ** 2 + axis**2 < (box / 2) ** 2
    values = average[disc].astype(np.float64)
    weight = np.where(disc, np.clip(average - values.mean() - values.std(), 0, None), 0.0)
    total = weight.sum()
    if total <= 0:
        return np.zeros(2)
    return np.array([(weight * axis).sum(), (weight * axis[:, None]).sum()]) / total
