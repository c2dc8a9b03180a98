"""Poses of the truth, written out from the axis rotations and not shared with the product's geometry."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# rot, tilt (and an unused psi) of the two views that a preferred-orientation set shows most, degrees.
PREFERRED = np.array([(30.0, 40.0, 0.0), (-100.0, 80.0, 0.0)])


def pose_matrix(rot: float, tilt: float, psi: float) -> Array:
    """Return ``A = Rz(psi) · Ry(tilt) · Rz(rot)`` of angles in degrees, RELION's matrix: map coordinates to image coordinates."""
    return _about_z(psi) @ _about_y(tilt) @ _about_z(rot)


def uniform_poses(count: int, rng: np.random.Generator) -> Array:
    """Return rot, tilt, psi in degrees ``(count, 3)``, uniform over the rotations."""
    rot, psi = rng.uniform(-180.0, 180.0, (2, count))
    tilt = np.rad2deg(np.arccos(rng.uniform(-1.0, 1.0, count)))
    return np.stack([rot, tilt, psi], axis=1)


def preferred_poses(count: int, share: float, spread: float, rng: np.random.Generator) -> Array:
    """Return poses of which `share` look within `spread` degrees of `PREFERRED` directions (uniform in the caps), the rest uniform."""
    poses = uniform_poses(count, rng)
    poles = viewing_directions(PREFERRED)
    chosen = rng.random(count) < share
    pole = poles[rng.integers(0, len(poles), count)]
    off = np.arccos(rng.uniform(np.cos(np.deg2rad(spread)), 1.0, count))
    side = np.cross(pole, rng.normal(size=(count, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    view = np.cos(off)[:, None] * pole + np.sin(off)[:, None] * side
    poses[chosen, 0] = np.rad2deg(np.arctan2(view[:, 1], view[:, 0]))[chosen]
    poses[chosen, 1] = np.rad2deg(np.arccos(view[:, 2]))[chosen]
    return poses


def viewing_directions(poses: Array) -> Array:
    """Return the third rows of the pose matrices, the projection directions ``(n, 3)`` in the map frame."""
    rot, tilt = np.deg2rad(poses[:, 0]), np.deg2rad(poses[:, 1])
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)


def rotation_about(axis: Array, degrees: float) -> Array:
    """Return the matrix that turns column vectors by `degrees` about `axis`, counter-clockwise seen from its tip."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _about_z(degrees: float) -> Array:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def _about_y(degrees: float) -> Array:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
