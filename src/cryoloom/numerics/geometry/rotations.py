"""Small rotations as vectors, and the mean of many rotations."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation_from_vector(vectors: Array) -> Array:
    """Return the rotations about `vectors` ``(..., 3)`` by their length in radians: ``exp([v]×)``, shape ``(..., 3, 3)``."""
    v = np.asarray(vectors, dtype=np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    zero = np.zeros(v.shape[:-1])
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    cross = np.stack([np.stack(row, axis=-1) for row in ([zero, -z, y], [z, zero, -x], [-y, x, zero])], axis=-2)
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * cross + second * (cross @ cross)


def vector_from_rotation(matrices: Array) -> Array:
    """Return the vectors ``(..., 3)`` of rotations ``(..., 3, 3)``, of length 0 to π: the inverse of `rotation_from_vector`.

    Within 1e-4 of a half turn the axis is taken from the symmetric part, where its sign is arbitrary.
    """
    m = np.asarray(matrices, dtype=np.float64)
    odd = 0.5 * np.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], axis=-1)
    sine = np.linalg.norm(odd, axis=-1)
    cosine = (np.trace(m, axis1=-2, axis2=-1) - 1) / 2
    angle = np.arctan2(sine, cosine)
    even = 0.5 * (m + np.swapaxes(m, -1, -2)) - cosine[..., None, None] * np.eye(3)
    column = np.take_along_axis(even, np.argmax(np.linalg.norm(even, axis=-2), axis=-1)[..., None, None], axis=-1)[..., 0]
    length = np.linalg.norm(column, axis=-1, keepdims=True)
    half_turn = np.divide(column, length, out=np.zeros_like(column), where=length > 0) * angle[..., None]
    scale = np.divide(angle, sine, out=np.ones_like(angle), where=sine > 1e-12)
    return np.where(((sine < 1e-4) & (cosine < 0))[..., None], half_turn, odd * scale[..., None])


def nearest_rotation(matrices: Array) -> Array:
    """Return the proper rotations closest to matrices ``(..., 3, 3)`` in the least-squares sense."""
    u, _, vt = np.linalg.svd(np.asarray(matrices, dtype=np.float64))
    u[..., :, 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    return u @ vt


def median_rotation(matrices: Array, start: Array, *, iterations: int = 60) -> Array:
    """Return the rotation that minimises the mean geodesic angle to `matrices` ``(n, 3, 3)``, seeking from `start`.

    Weiszfeld's iteration on SO(3): a least-squares mean reweighted by one over the angle, so that outliers do not pull.
    """
    rotation = np.asarray(start, dtype=np.float64)
    for _ in range(iterations):
        vectors = vector_from_rotation(matrices @ rotation.T)
        weights = 1.0 / np.maximum(np.linalg.norm(vectors, axis=1), 1e-4)
        step = (weights[:, None] * vectors).sum(axis=0) / weights.sum()
        rotation = rotation_from_vector(step) @ rotation
        if np.linalg.norm(step) < 1e-7:
            break
    return rotation
