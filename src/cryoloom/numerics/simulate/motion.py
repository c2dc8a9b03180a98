"""Motion of the specimen: a global path and a smooth local field.

One sign throughout: a displacement is where the specimen's content *has moved to*, in px of the movie, relative to the first frame, whose
displacement is 0 everywhere. To align frame `f`, move it by minus its displacement; the aligned sum then lies in the first frame's place.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """Displacements of all frames of one movie.

    Parameters
    ----------
    path
        ``(frames, 2)`` global displacement x, y in px.
    field
        ``(2, 6, 3)`` coefficients, px: axis (x, y), spatial term ``1, X, X², Y, Y², XY``, power 1 to 3 of the frame number from 0. `X` and `Y`
        run from -0.5 to 0.5 across the frame. This is RELION's third-order motion model, its 36 numbers in its order.
    own
        ``(frames, particles, 2)`` px by which each particle moves beyond that; None: not at all. Ice and contaminants do not follow.
    """

    path: Array
    field: Array
    own: Array | None = None

    def weights(self, frame: int) -> Array:
        """Return the six spatial coefficients ``(2, 6)`` of `frame`."""
        return self.field @ (float(frame) ** np.array([1.0, 2.0, 3.0]))

    def local(self, frame: int, x: Array, y: Array, width: int, height: int) -> tuple[Array, Array]:
        """Return the local displacement in px of content that was at `x`, `y` (px) in the first frame."""
        across, down = np.asarray(x) / width - 0.5, np.asarray(y) / height - 0.5
        terms = np.stack([np.ones_like(across), across, across**2, down, down**2, across * down])
        moved = np.tensordot(self.weights(frame), terms, axes=1)
        return moved[0], moved[1]


def draw_motion(frames: int, largest_global: float, largest_local: float, rng: np.random.Generator) -> Motion:
    """Draw a motion as beams induce it: fast at first, then a steady drift with some wander.

    The global path ends up between 0.4 and 1 times `largest_global` px from its start at its farthest; the local field, without a mean over the
    frame, is between 0.5 and 1 times `largest_local` px at its strongest place.
    """
    time = np.arange(frames, dtype=np.float64)
    settle = 1.0 - np.exp(-time / max(1.0, 0.2 * frames))
    kick, drift = rng.normal(size=(2, 2))
    # Random walks of decreasing step, each frame from the last.
    wander = np.cumsum(rng.normal(size=(frames, 2)) * np.exp(-time / frames)[:, None], axis=0)
    path = settle[:, None] * kick + (time / max(1, frames - 1))[:, None] * 0.6 * drift + 0.05 * (wander - wander[0])
    farthest = np.linalg.norm(path, axis=1).max()
    path *= largest_global * rng.uniform(0.4, 1.0) / farthest if farthest > 0.0 else 0.0

    space = rng.normal(size=(2, 6)) * np.array([0.0, 1.0, 2.0, 1.0, 2.0, 2.0])
    space[:, 0] = -(space[:, 2] + space[:, 4]) / 12.0
    # 3u - 3u² + u³ with u = frame / last: quick, then at rest.
    last = max(1, frames - 1)
    course = np.array([3.0 / last, -3.0 / last**2, 1.0 / last**3])
    motion = Motion(path, space[:, :, None] * course)
    grid_x, grid_y = np.meshgrid(np.linspace(0.0, 1.0, 33), np.linspace(0.0, 1.0, 33))
    strongest = np.hypot(*motion.local(frames - 1, grid_x, grid_y, 1, 1)).max()
    size = largest_local * rng.uniform(0.5, 1.0) / strongest if strongest > 0.0 else 0.0
    return Motion(path, motion.field * size)


def draw_own_motion(places: Array, frames: int, largest: float, reach: float, rng: np.random.Generator) -> Array:
    """Draw motions ``(frames, particles, 2)`` px of particles at `places` ``(particles, 2)`` that near ones share.

    Each ends `largest` px from its start (root mean square), quick at first; those less than `reach` (in the unit of `places`) apart go much the same way.
    """
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    shared = np.linalg.cholesky(np.exp(-0.5 * (apart / reach) ** 2) + 1e-6 * np.eye(len(places)))
    time = np.arange(frames) / max(1, frames - 1)
    settle = (1.0 - np.exp(-4.0 * time)) / (1.0 - np.exp(-4.0))
    # A swing that is over at the end, so that paths are not straight.
    courses = np.stack([settle, 0.4 * np.sin(np.pi * time)])
    ends = shared @ rng.normal(size=(2, 2, len(places), 1))
    return largest / np.sqrt(2.0) * np.einsum("cf,capx->fpa", courses, ends)


@njit(cache=True, nogil=True)
def warp(image, weights, margin, width, height):
    """Return `image` (a frame with `margin` px around it) with its content moved by the local field, by cubic convolution (Keys 1981).

    Parameters
    ----------
    image
        ``(height + …, width + …)`` float32; the frame's first sample is at ``[margin, margin]``.
    weights
        ``(2, 6)`` of `Motion.weights`. Displacements under a few px that vary over hundreds: the content arriving at a place is taken to have
        been displaced by the field at that place.
    """
    rows, columns = image.shape
    out = np.empty_like(image)
    for i in range(rows):
        down = (i - margin) / height - 0.5
        for j in range(columns):
            across = (j - margin) / width - 0.5
            x, y = float(j), float(i)
            x -= (
                weights[0, 0]
                + across * (weights[0, 1] + across * weights[0, 2] + down * weights[0, 5])
                + down * (weights[0, 3] + down * weights[0, 4])
            )
            y -= (
                weights[1, 0]
                + across * (weights[1, 1] + across * weights[1, 2] + down * weights[1, 5])
                + down * (weights[1, 3] + down * weights[1, 4])
            )
            left, top = int(np.floor(x)), int(np.floor(y))
            fx, fy = np.float32(x - left), np.float32(y - top)
            wx0, wx1, wx2, wx3 = _cubic(fx)
            wy0, wy1, wy2, wy3 = _cubic(fy)
            if left >= 1 and left + 2 < columns and top >= 1 and top + 2 < rows:
                total = np.float32(0.0)
                for k in range(4):
                    row = image[top - 1 + k]
                    value = wx0 * row[left - 1] + wx1 * row[left] + wx2 * row[left + 1] + wx3 * row[left + 2]
                    total += value * (wy0 if k == 0 else wy1 if k == 1 else wy2 if k == 2 else wy3)
                out[i, j] = total
            else:
                out[i, j] = image[min(max(top, 0), rows - 1), min(max(left, 0), columns - 1)]
    return out


@njit(cache=True, nogil=True, forceinline=True)
def _cubic(t):
    a, b = np.float32(0.5), np.float32(1.0)
    return (
        a * t * (-b + t * (2 * b - t)),
        b + a * t * t * (-5 * b + 3 * b * t),
        a * t * (b + t * (4 * b - 3 * b * t)),
        a * t * t * (t - b),
    )
