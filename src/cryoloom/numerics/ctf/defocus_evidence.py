"""What images of a known particle say of their defocus.

The log-likelihood of an image X with the model ``M = sin χ · P`` is ``Σ 2 A sin χ - B sin² χ`` over the half plane, constants dropped, with
``A = Re X* P / E|N|²`` and ``B = |P|² / E|N|²``. Its phase χ is linear in the mean defocus and in both components of the astigmatism, with
``dχ / dz = πλ s²``. So derivatives are cheap; and summed over narrow rings of s² with the waves of the start, ``Σ A exp(iχ)`` and ``Σ B exp(2iχ)``,
an image tells its likelihood at any other defocus without being looked at again.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.ctf.electron import amplitude_phase, electron_wavelength

Array = NDArray[np.float64]
Terms = NDArray[np.float32]
"""A or B of some images, ``(n, K)``."""

RING_PHASE = 0.2
"""Radians by which waves may differ across a ring, at the farthest offset."""
STEPS = 12
FIRST_DAMPING, EASE, STIFFEN = 0.01, 0.2, 8.0


@dataclass(frozen=True)
class Waves:
    """The coefficients of images of one optics group, and how the defocus changes their phase.

    Attributes
    ----------
    x, y
        Frequencies in 1/Å, ``(K,)``.
    voltage, cs, amplitude_contrast
        kV, mm, fraction.
    """

    x: Array
    y: Array
    voltage: float
    cs: float
    amplitude_contrast: float

    @cached_property
    def rate(self) -> Array:
        """Return ``πλ s²``, radians an Å."""
        return np.pi * electron_wavelength(self.voltage) * (self.x**2 + self.y**2)

    @cached_property
    def axes(self) -> Array:
        """Return the rates of the phase with the mean defocus and the astigmatism along 0° and 45°, ``(3, K)``."""
        azimuth = np.arctan2(self.y, self.x)
        return self.rate * np.stack([np.ones_like(azimuth), np.cos(2 * azimuth), np.sin(2 * azimuth)])

    @cached_property
    def still(self) -> Array:
        """Return the phase without defocus and phase plate."""
        wavelength = electron_wavelength(self.voltage)
        return -0.5 * self.rate * wavelength**2 * (self.x**2 + self.y**2) * (self.cs * 1e7) + amplitude_phase(self.amplitude_contrast)

    def rings(self, reach: float) -> tuple[NDArray[np.int64], Array]:
        """Return the ring of every coefficient, and the rate at the middle of each, for offsets up to `reach` Å."""
        top = float(self.rate.max())
        count = max(int(np.ceil(2.0 * top * reach / RING_PHASE)), 8)
        ring = np.minimum((self.rate / top * count).astype(np.int64), count - 1)
        return ring, (np.arange(count) + 0.5) * top / count

    def profiles(self, across: Terms, norm: Terms, start: Array, plate: Array, grid: Array) -> NDArray[np.float32]:
        """Return the log-likelihood of images ``(n, K)`` at the offsets `grid` from `start`: defocus and astigmatism ``(n, 3)``; ``(n, G)``."""
        ring, middle = self.rings(float(np.abs(grid).max()))
        single, double = (np.zeros((len(across), len(middle)), np.complex64) for _ in range(2))
        add_waves(across, norm, self.axes, self.still, start, plate, ring, single, double)
        turn = np.exp(1j * middle[:, None] * grid).astype(np.complex64)
        return (2.0 * (single @ turn).imag + 0.5 * (double @ (turn * turn)).real).astype(np.float32)

    def fitted(self, across: Terms, norm: Terms, start: Array, plate: Array, free: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the change of defocus and astigmatism ``(3,)`` Å, one for all images ``(n, K)``, that fits best near `start`, and its covariance.

        Those that are not `free` ``(3,)`` stay. Levenberg and Marquardt's steps; the curvature is Gauss and Newton's.
        """
        found, damping = np.zeros(3), FIRST_DAMPING
        gradient, curvature, trial_gradient, trial_curvature = np.empty(3), np.empty((3, 3)), np.empty(3), np.empty((3, 3))
        cost = add_cost(across, norm, self.axes, self.still, start, plate, gradient, curvature)
        for _ in range(STEPS):
            hessian = curvature[np.ix_(free, free)] + 1e-12 * np.eye(int(free.sum()))
            step = np.zeros(3)
            step[free] = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient[free])
            trial = add_cost(across, norm, self.axes, self.still, start + found + step, plate, trial_gradient, trial_curvature)
            if trial < cost:
                found, gain, cost = found + step, cost - trial, trial
                gradient[:], curvature[:] = trial_gradient, trial_curvature
                damping *= EASE
                if gain < 1e-3:
                    break
            else:
                damping *= STIFFEN
        covariance = np.zeros((3, 3))
        covariance[np.ix_(free, free)] = np.linalg.inv(curvature[np.ix_(free, free)] + 1e-12 * np.eye(int(free.sum())))
        return found, covariance


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def add_waves(across, norm, axes, still, start, plate, ring, single, double):
    """Add ``A exp(iχ)`` and ``B exp(2iχ)`` of images ``(n, K)`` to their rings in `single` and `double` ``(n, rings)``."""
    for n in range(len(across)):
        for p in range(len(still)):
            chi = still[p] + plate[n] + start[n, 0] * axes[0, p] + start[n, 1] * axes[1, p] + start[n, 2] * axes[2, p]
            c, s = np.cos(chi), np.sin(chi)
            single[n, ring[p]] += across[n, p] * complex(c, s)
            double[n, ring[p]] += norm[n, p] * complex(c * c - s * s, 2.0 * c * s)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def add_cost(across, norm, axes, still, start, plate, gradient, curvature):
    """Return ``Σ B sin² χ - 2 A sin χ`` over images ``(n, K)`` and write its `gradient` ``(3,)`` and `curvature` ``(3, 3)`` by a common change of `start`."""
    cost = g0 = g1 = g2 = h00 = h01 = h02 = h11 = h12 = h22 = 0.0
    for p in range(len(still)):
        slope = bend = 0.0
        for n in range(len(across)):
            chi = still[p] + plate[n] + start[n, 0] * axes[0, p] + start[n, 1] * axes[1, p] + start[n, 2] * axes[2, p]
            c, s = np.cos(chi), np.sin(chi)
            a, b = across[n, p], norm[n, p]
            cost += s * (b * s - 2.0 * a)
            slope += 2.0 * c * (b * s - a)
            bend += 2.0 * b * c * c
        x, y, z = axes[0, p], axes[1, p], axes[2, p]
        g0 += slope * x
        g1 += slope * y
        g2 += slope * z
        h00 += bend * x * x
        h01 += bend * x * y
        h02 += bend * x * z
        h11 += bend * y * y
        h12 += bend * y * z
        h22 += bend * z * z
    gradient[0], gradient[1], gradient[2] = g0, g1, g2
    curvature[0, 0], curvature[0, 1], curvature[0, 2] = h00, h01, h02
    curvature[1, 0], curvature[1, 1], curvature[1, 2] = h01, h11, h12
    curvature[2, 0], curvature[2, 1], curvature[2, 2] = h02, h12, h22
    return cost
