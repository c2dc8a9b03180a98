"""How well poses agree with the truth, once the frame that no experiment can know has been taken out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.euler import flip_hand, geodesic_angle
from cryoloom.numerics.geometry.rotations import median_rotation, nearest_rotation
from cryoloom.numerics.geometry.symmetry import C1, PointGroup

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PoseAgreement:
    """Result of `compare_poses`.

    Attributes
    ----------
    angles
        Geodesic angle of every particle, degrees.
    shifts
        Distance of the origins of every particle, in the unit given (Å).
    rotation
        Q of ``A ≈ A_true · Q`` (of the mirrored truth when `mirrored`): a map refined in the poses' frame, turned by Q, lies on the truth.
    offset
        3D displacement u of the map, ``d - d_true ≈ (A · u)`` in x and y.
    mirrored
        Whether the other hand of the truth fits better.
    """

    angles: Array
    shifts: Array
    rotation: Array
    offset: Array
    mirrored: bool


JUDGED = 1000
"""Most particles that a start is judged by."""


def compare_poses(
    matrices: Array, origins: Array, true_matrices: Array, true_origins: Array, *, either_hand: bool = True, group: PointGroup = C1
) -> PoseAgreement:
    """Compare poses with the truth after removing a global rotation, a displacement of the map and, if asked, its hand.

    Parameters
    ----------
    matrices, true_matrices
        ``(n, 3, 3)``, map to image coordinates.
    origins, true_origins
        ``(n, 2)``, x and y to be added to the image, in one unit.
    either_hand
        Also try the poses of the mirrored map and keep the better.
    group
        Symmetry of the true map in the frame of the true poses: of the mates ``A_true · R`` the nearest is taken.

    Returns
    -------
    PoseAgreement
        The frame is the one of the smallest median angle found from several starts, so that outliers do not spoil it.

    Raises
    ------
    ValueError
        If the arrays differ in length or are empty.
    """
    if len(matrices) != len(true_matrices) or not len(matrices):
        raise ValueError(f"poses and true poses must be equally many and not none; got {len(matrices)} and {len(true_matrices)}")
    candidates = []
    for mirrored in (False, True) if either_hand else (False,):
        mates = group.mates(np.asarray(true_matrices))
        mates = flip_hand(mates) if mirrored else mates
        rotation = _common_rotation(np.swapaxes(mates, -1, -2) @ np.asarray(matrices)[:, None])
        angles = geodesic_angle(np.asarray(matrices)[:, None], mates @ rotation).min(axis=1)
        candidates.append((float(np.median(angles)), mirrored, rotation, angles))
    _, mirrored, rotation, angles = min(candidates, key=lambda found: found[0])
    offset, shifts = _common_offset(np.asarray(matrices), np.asarray(origins) - np.asarray(true_origins), angles)
    return PoseAgreement(angles, shifts, rotation, offset, mirrored)


def _common_rotation(relative: Array) -> Array:
    """Find Q near most of ``A_trueᵀ · A`` ``(n, mates, 3, 3)``, one mate each: the best of the chordal mean and some members, then the median."""
    judged = relative[:: -(-len(relative) // JUDGED)]
    members = judged[np.linspace(0, len(judged) - 1, min(len(judged), 200)).astype(int), 0]
    starts = np.concatenate([nearest_rotation(relative[:, 0].mean(axis=0))[None], members])
    costs = [np.median(_nearest(judged, start)[1]) for start in starts]
    nearest, angles = _nearest(relative, starts[int(np.argmin(costs))])
    near = angles <= max(2.0 * float(min(costs)), 1.0)
    return median_rotation(nearest[near], starts[int(np.argmin(costs))])


def _nearest(relative: Array, rotation: Array) -> tuple[Array, Array]:
    """Return the mates ``(n, 3, 3)`` nearest to a rotation, and their angles to it."""
    traces = relative.reshape(*relative.shape[:2], 9) @ rotation.ravel()
    chosen = np.argmax(traces, axis=1)
    rows = np.arange(len(relative))
    return relative[rows, chosen], np.rad2deg(np.arccos(np.clip((traces[rows, chosen] - 1.0) / 2.0, -1.0, 1.0)))


def _common_offset(matrices: Array, difference: Array, angles: Array) -> tuple[Array, Array]:
    """Solve ``difference ≈ (A · u)_xy`` over the well-oriented half, reweighted towards the median distance."""
    rows = matrices[:, :2, :]
    good = (angles <= np.median(angles)).astype(float)
    offset, weights = np.zeros(3), good
    for _ in range(30):
        normal = np.einsum("n,nij,nik->jk", weights, rows, rows) + 1e-9 * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("n,nij,ni->j", weights, rows, difference))
        distance = np.linalg.norm(difference - rows @ offset, axis=1)
        weights = good / np.maximum(distance, 1e-3)
    return offset, np.linalg.norm(difference - rows @ offset, axis=1)
