"""ZYZ Euler angles: ``A(rot, tilt, psi) = Rz(psi) · Ry(tilt) · Rz(rot)``, RELION's and Xmipp's matrix.

``A`` carries map coordinates (x, y, z) into image coordinates; its third row is the projection direction in the map frame.
The central slice of a projection at in-plane frequency ``(kx, ky)`` is the map's transform at ``Aᵀ · (kx, ky, 0)``.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def euler_to_matrix(rot: Array, tilt: Array, psi: Array) -> Array:
    """Return the matrices ``A``, shape ``(..., 3, 3)``, of angles in degrees."""
    a, b, g = (np.deg2rad(np.asarray(angle, dtype=np.float64)) for angle in (rot, tilt, psi))
    ca, sa, cb, sb, cg, sg = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(g), np.sin(g)
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_euler(matrices: Array) -> tuple[Array, Array, Array]:
    """Return ``rot, tilt, psi`` in degrees (tilt in [0, 180], the others in (-180, 180]) of matrices ``(..., 3, 3)``."""
    m = np.asarray(matrices, dtype=np.float64)
    sine = np.hypot(m[..., 2, 0], m[..., 2, 1])
    tilt = np.arctan2(sine, m[..., 2, 2])
    regular = sine > 1e-9
    rot = np.where(regular, np.arctan2(m[..., 2, 1], m[..., 2, 0]), 0.0)
    # At the poles only rot ± psi is defined: all of it goes to psi.
    psi = np.where(regular, np.arctan2(m[..., 1, 2], -m[..., 0, 2]), np.arctan2(-m[..., 1, 0] * np.sign(m[..., 2, 2]), m[..., 1, 1]))
    return tuple(_wrapped(np.rad2deg(angle)) for angle in (rot, tilt, psi))  # type: ignore[return-value]


def _wrapped(degrees: Array) -> Array:
    return -((-degrees + 180.0) % 360.0 - 180.0)


def geodesic_angle(first: Array, second: Array) -> Array:
    """Return the angle in degrees of the rotation between matrices ``(..., 3, 3)``."""
    trace = np.einsum("...ij,...ij->...", first, second)
    return np.rad2deg(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)))


def flip_hand(matrices: Array) -> Array:
    """Return the poses of the mirrored map ``V'(x, y, z) = V(x, y, -z)``: ``M · A · M`` with ``M = diag(1, 1, -1)``."""
    mirror = np.diag([1.0, 1.0, -1.0])
    return mirror @ np.asarray(matrices) @ mirror


def random_rotations(count: int, rng: np.random.Generator) -> Array:
    """Return `count` rotations uniform over SO(3), shape ``(count, 3, 3)``, from unit quaternions."""
    q = rng.normal(size=(count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=-1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=-1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=-2,
    )
