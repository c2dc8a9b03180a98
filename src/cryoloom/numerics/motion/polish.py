"""Motion of single particles, from what their frames say and from a prior of smooth motion that near particles share.

Zivanov, Nakane & Scheres 2019 (doi:10.1107/S205225251801463X). Displacements are those of a start, ``p = start + first + Σ v``, with ``v`` the
velocity from frame to frame beyond that of the start. Its prior is normal: particles at a distance d share velocities by ``σ_V² exp(-d / σ_D)``,
and velocities change from frame to frame by σ_A. That precision is diagonal after a turn of the particles (the eigenvectors of the first) and
one of the frames (those of the second), so motions are sought in coordinates in which the prior is one, where the search needs few steps.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]

STEPS = 200
"""Most evaluations of the search."""
EXACT = 2e-9


@dataclass(frozen=True)
class MotionPrior:
    """The prior of the particles of one movie.

    Attributes
    ----------
    particles, frames
        Eigenvectors ``(n, n)`` and ``(F - 1, F - 1)``.
    spread
        Standard deviation of each of their products, ``(F - 1, n)`` px.
    first
        That of the place in the first frame, px.
    """

    particles: Array
    frames: Array
    spread: Array
    first: float

    @classmethod
    def of(cls, places: Array, frames: int, velocity: float, distance: float, acceleration: float, first: float) -> "MotionPrior":
        """Return the prior for particles at `places` ``(n, 2)``.

        `velocity` and `acceleration` are px a frame, `distance` has the unit of the places, `first` is px.
        """
        return cls.of_kin(kinship(places, distance), frames, velocity, acceleration, first)

    @classmethod
    def of_kin(cls, kin: tuple[Array, Array], frames: int, velocity: float, acceleration: float, first: float) -> "MotionPrior":
        """Return the prior for particles whose `kinship` is known."""
        shared, turn = kin
        change = np.diff(np.eye(frames - 1), axis=0)
        rough, course = np.linalg.eigh(change.T @ change)
        precision = rough[:, None].clip(0.0) / acceleration**2 + 1.0 / (velocity**2 * np.maximum(shared, 1e-9))
        return cls(turn, course, 1.0 / np.sqrt(precision), first)

    def motion(self, coordinates: Array) -> Array:
        """Return the displacements ``(F, n, 2)`` beyond the start of whitened `coordinates` ``(F, n, 2)``."""
        velocity = self.particles @ np.tensordot(self.frames, self.spread[..., None] * coordinates[1:], 1)
        first = self.first * coordinates[:1]
        return np.concatenate([first, first + np.cumsum(velocity, axis=0)])

    def back(self, slopes: Array) -> Array:
        """Return the slopes along the coordinates of those along displacements ``(F, n, 2)``: the transpose of `motion`."""
        left = np.cumsum(slopes[::-1], axis=0)[::-1]
        inner = self.spread[..., None] * np.tensordot(self.frames.T, self.particles.T @ left[1:], 1)
        return np.concatenate([self.first * left[:1], inner])


def kinship(places: Array, distance: float) -> tuple[Array, Array]:
    """Return eigenvalues and eigenvectors of ``exp(-d / σ_D)`` over particles at `places` ``(n, 2)``."""
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    shared, turn = np.linalg.eigh(np.exp(-apart / distance))
    return shared, turn


def most_probable(correlation: NDArray[np.float32], step: float, prior: MotionPrior, *, exact: float = EXACT) -> Array:
    """Return the most probable displacements ``(F, n, 2)`` px beyond the start.

    Parameters
    ----------
    correlation
        Log-likelihood of every frame and particle at displacements beyond the start, ``(F, n, w, w)`` (y, x), w odd, none in the middle.
    step
        px from one to the next.
    exact
        Relative change of the cost at which the search ends.
    """
    shape = (*correlation.shape[:2], 2)
    slopes = np.empty(shape)

    def cost(flat: Array) -> tuple[float, Array]:
        coordinates = flat.reshape(shape)
        likelihood = likelihood_at(correlation, prior.motion(coordinates) / step, slopes)
        return 0.5 * float(flat @ flat) - likelihood, (coordinates - prior.back(slopes / step)).ravel()

    found = minimize(
        cost, np.zeros(int(np.prod(shape))), jac=True, method="L-BFGS-B", options={"maxfun": STEPS, "maxiter": STEPS, "ftol": exact}
    )
    return prior.motion(found.x.reshape(shape))


@njit(nogil=True, cache=True, error_model="numpy")
def likelihood_at(correlation, places, slopes):
    """Return the sum of `correlation` ``(F, n, w, w)`` at `places` ``(F, n, 2)`` steps from the middle; write its `slopes` along x and y.

    Cubic convolution in between (Keys 1981), of which the slopes are exact; beyond the window nothing changes.
    """
    frames, count, side = correlation.shape[0], correlation.shape[1], correlation.shape[2]
    half, total = side // 2, 0.0
    wx, wy, dx, dy = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for f in range(frames):
        for n in range(count):
            x = min(max(places[f, n, 0] + half, 1.0), side - 2.001)
            y = min(max(places[f, n, 1] + half, 1.0), side - 2.001)
            left, top = int(x), int(y)
            cubic(x - left, wx, dx)
            cubic(y - top, wy, dy)
            value = along_x = along_y = 0.0
            for j in range(4):
                row = row_slope = 0.0
                for i in range(4):
                    c = correlation[f, n, top - 1 + j, left - 1 + i]
                    row += wx[i] * c
                    row_slope += dx[i] * c
                value += wy[j] * row
                along_y += dy[j] * row
                along_x += wy[j] * row_slope
            total += value
            slopes[f, n, 0] = along_x if 1.0 < places[f, n, 0] + half < side - 2.001 else 0.0
            slopes[f, n, 1] = along_y if 1.0 < places[f, n, 1] + half < side - 2.001 else 0.0
    return total


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def cubic(t, weights, slopes):
    """Write the four weights of cubic convolution at `t` in [0, 1], and their derivatives."""
    weights[0] = 0.5 * t * (-1.0 + t * (2.0 - t))
    weights[1] = 1.0 + 0.5 * t * t * (-5.0 + 3.0 * t)
    weights[2] = 0.5 * t * (1.0 + t * (4.0 - 3.0 * t))
    weights[3] = 0.5 * t * t * (t - 1.0)
    slopes[0] = 0.5 * (-1.0 + t * (4.0 - 3.0 * t))
    slopes[1] = 0.5 * t * (-10.0 + 9.0 * t)
    slopes[2] = 0.5 * (1.0 + t * (8.0 - 9.0 * t))
    slopes[3] = 0.5 * t * (3.0 * t - 2.0)
