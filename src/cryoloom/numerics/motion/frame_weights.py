"""How much signal each frame of a set of movies has left, from its agreement with projections of the map; weights by it.

Signal in frame f and shell s is ``a_f(s)`` times that of the projections. Each frame is given ``a_f = C_f exp(-B_f s² / 4)`` as RELION does; where
frames show too little to tell, the dose decides (Grant & Grigorieff 2015).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.motion.dose import left

Array = NDArray[np.float64]

SURE = 5.0
"""Standard deviations by which the signal of every frame must be seen, shells together, for its fall to be believed."""
STEPS = 20


@dataclass(frozen=True)
class FrameWeights:
    """What is left of the signal in each frame.

    Attributes
    ----------
    scale, b_factor
        C and B (Å²) of each frame, ``(F,)``; the scale of the best frame is one.
    error
        Standard error of each B.
    measured
        Whether the frames told it, or the dose.
    """

    scale: Array
    b_factor: Array
    error: Array
    measured: bool

    def amplitudes(self, frequency: Array) -> Array:
        """Return ``a_f`` at frequencies in 1/Å of any shape, ``(F, …)``."""
        shape = (-1, *([1] * np.ndim(frequency)))
        return self.scale.reshape(shape) * np.exp(-0.25 * self.b_factor.reshape(shape) * np.asarray(frequency) ** 2)

    def weights(self, frequency: Array) -> Array:
        """Return weights of frames ``a / √Σ a²``, ``(F, …)``: the noise of the weighted sum is that of one frame at all frequencies."""
        left = self.amplitudes(frequency)
        return left / np.sqrt((left**2).sum(axis=0, keepdims=True))


def fitted_weights(cross: Array, norm: Array, frequency: Array, doses: Array | None, voltage: float) -> FrameWeights:
    """Return the weights of frames.

    Parameters
    ----------
    cross, norm
        ``Re Σ X* M / E|N|²`` and ``Σ |M|² / E|N|²`` over all particles, of every frame and shell, ``(F, S)``: their quotient is ``a_f(s)``.
    frequency
        Of the shells, 1/Å, ``(S,)``.
    doses
        e/Å² up to the end of every frame; None: not known.
    voltage
        kV.
    """
    inside = norm > 0
    seen = (cross * inside).sum(axis=1) / np.sqrt(0.5 * np.maximum(norm.sum(axis=1), 1e-30))
    if (seen > SURE).all():
        # Weighted least squares, variance 1 / 2 Σ|M|², by Gauss and Newton's steps from no fall.
        scale, fall = cross.sum(axis=1) / norm.sum(axis=1), np.zeros(len(cross))
        squared = 0.25 * frequency**2
        covariance = np.zeros((len(cross), 2, 2))
        for _ in range(STEPS):
            shape = np.exp(-np.clip(fall[:, None] * squared, -20.0, 20.0))
            slopes = np.stack([shape, -scale[:, None] * squared * shape])
            rest = cross - norm * scale[:, None] * shape
            normal = 2.0 * np.einsum("afs,fs,bfs->fab", slopes, norm, slopes)
            covariance = np.linalg.inv(normal + 1e-9 * np.einsum("faa->f", normal)[:, None, None] * np.eye(2))
            step = np.einsum("fab,bf->af", covariance, 2.0 * np.einsum("afs,fs->af", slopes, rest))
            scale, fall = np.maximum(scale + step[0], 1e-6 * np.abs(scale).max()), fall + np.clip(step[1], -100.0, 100.0)
        fall = fall - fall.min()
        return FrameWeights(scale / scale.max(), fall, np.sqrt(covariance[:, 1, 1]), measured=True)
    if doses is None:
        nothing = np.zeros(len(cross))
        return FrameWeights(np.ones(len(cross)), nothing, nothing, measured=False)
    # The curve of the dose, as the nearest fall of the same form over the shells in use.
    curve = left(torch.from_numpy(frequency)[None, :], torch.from_numpy(doses)[:, None], voltage).numpy()
    design = np.stack([np.ones_like(frequency), -0.25 * frequency**2], axis=1)
    told = np.linalg.lstsq(design, np.log(curve).T, rcond=None)[0]
    return FrameWeights(np.exp(told[0] - told[0].max()), told[1], np.zeros(len(cross)), measured=False)
