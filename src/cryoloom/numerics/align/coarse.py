"""The global search: every image against every rotation and shift of a coarse grid, as one product of matrices.

The score of a pose is minus the cost of `levenberg`: ``2 Re Σ Y* e^{…} P - Σ W |P|²`` minus the shift's prior. The first term is a real matrix
product over (image, shift) rows, the second one over images (Scheres 2012, doi:10.1016/j.jmb.2011.11.010, for the model).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.reconstruct.kernels import gather

IMAGES = 8
"""Images a product: rows enough for full speed, scores (images x shifts x rotations) still in cache."""


@dataclass(frozen=True)
class Gallery:
    """Slices of one reference at every rotation of a grid, laid out for the products.

    Attributes
    ----------
    plane
        Coefficients compared.
    rotations
        ``(directions, angles, 3, 3)``.
    slices
        ``(2K, directions · angles)``: real parts over imaginary parts.
    power
        ``(K, directions · angles)``: ``|P|²``.
    """

    plane: HalfPlane
    rotations: NDArray[np.float64]
    slices: Tensor
    power: Tensor

    @classmethod
    def of(cls, grid: NDArray[np.float32], plane: HalfPlane, rotations: NDArray[np.float64]) -> "Gallery":
        """Slice the reference `grid` at `rotations`."""
        flat = rotations.reshape(-1, 3, 3).astype(np.float32)
        found = np.empty((len(flat), len(plane.kx), 2), np.float32)
        gather(grid, plane.kx, plane.ky, flat, found)
        found[:, 0] = 0  # the mean of an image says nothing about its pose
        slices = torch.empty((2 * len(plane.kx), len(flat)))
        slices.numpy()[:] = found.transpose(2, 1, 0).reshape(-1, len(flat))
        power = slices[: len(plane.kx)] ** 2 + slices[len(plane.kx) :] ** 2
        return cls(plane, rotations, slices, power)


def shift_factors(plane: HalfPlane, shifts: NDArray[np.float64]) -> Coefficients:
    """Return ``exp(-2πi k·d / box)`` for `shifts` ``(T, 2)`` px to be added to an image, ``(T, K)``."""
    angle = (-2 * np.pi / plane.box) * (shifts[:, :1] * plane.kx + shifts[:, 1:] * plane.ky)
    return np.exp(1j * angle).astype(np.complex64)


def shifted_rows(data: Coefficients, factors: Coefficients) -> Tensor:
    """Return prepared images ``(B, K)`` at every shift as rows ``(B · T, 2K)``, real parts before imaginary ones."""
    count = data.shape[1]
    rows = torch.empty((len(data) * len(factors), 2 * count))
    shifted = (data[:, None, :] * factors).reshape(len(rows), count)
    view = rows.numpy()
    view[:, :count], view[:, count:] = shifted.real, shifted.imag
    return rows


def norm_terms(gallery: Gallery, weight: NDArray[np.float32]) -> Tensor:
    """Return ``Σ W |P|²`` of prepared images ``(B, K)`` at every rotation, ``(B, R)``."""
    rows = torch.empty(weight.shape)
    rows.numpy()[:] = weight
    return rows @ gallery.power


def search(
    gallery: Gallery,
    data: Coefficients,
    weight: NDArray[np.float32],
    shifts: NDArray[np.float64],
    wanted: int,
    *,
    prior: float = 0.0,
    correlate: bool = False,
    penalties: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Return the best poses of the coarse grid, each from another peak.

    Parameters
    ----------
    gallery
        What to compare with.
    data, weight
        Prepared images ``(B, K)``: ``CTF · X / E|N|²`` and ``CTF² / E|N|²``; longer lists are cut to the gallery's.
    shifts
        ``(T, 2)`` px.
    wanted
        Poses an image.
    prior
        Precision (1/px²) of the shift's Gaussian prior about zero.
    correlate
        Score by ``Σ Y* P / √(Σ W |P|²)`` instead, which does not depend on the reference's grey scale.
    penalties
        Cost of each rotation that a prior adds, ``(B, R)``; not with `correlate`.

    Returns
    -------
    rotations, shifts
        ``(B, wanted, 3, 3)`` and ``(B, wanted, 2)``, best first: local maxima over the in-plane angle of the best shift.
    gains
        ``(B, wanted)``: log-likelihood gained over no particle at all, with `correlate` at the reference's best grey scale; minus infinity
        where an image has fewer peaks.
    """
    count = len(gallery.plane.kx)
    directions, angles = gallery.rotations.shape[:2]
    factors = shift_factors(gallery.plane, shifts)
    penalty = (0.5 * prior * (shifts**2).sum(axis=1)).astype(np.float32)
    rotation_index = np.empty((len(data), wanted), np.int64)
    shift_index = np.empty((len(data), wanted), np.int64)
    gains = np.empty((len(data), wanted), np.float32)
    for start in range(0, len(data), IMAGES):
        part = slice(start, start + IMAGES)
        cross = (shifted_rows(data[part, :count], factors) @ gallery.slices).numpy()
        norm = norm_terms(gallery, weight[part, :count]).numpy()
        if penalties is not None:
            norm += penalties[part]
        peaks(cross, norm, penalty, directions, angles, correlate, rotation_index[part], shift_index[part], gains[part])
    return gallery.rotations.reshape(-1, 3, 3)[rotation_index], shifts[shift_index], gains


@njit(nogil=True, cache=True, error_model="numpy")
def peaks(cross, norm, penalty, directions, angles, correlate, rotation_index, shift_index, gains):
    """Write the rotations, shifts and gains of the highest local maxima over the in-plane angle, best first."""
    images, rotations = norm.shape
    count = len(penalty)
    wanted = rotation_index.shape[1]
    best = np.empty(rotations, np.float32)
    where = np.empty(rotations, np.int16)
    top = np.empty(wanted, np.float32)
    for b in range(images):
        best[:] = -np.inf
        for t in range(count):
            row = cross[b * count + t]
            for r in range(rotations):
                value = row[r] if correlate else np.float32(2.0) * row[r] - penalty[t]
                if value > best[r]:
                    best[r] = value
                    where[r] = t
        for r in range(rotations):
            best[r] = best[r] / np.sqrt(max(norm[b, r], np.float32(1e-30))) if correlate else best[r] - norm[b, r]
        top[:] = -np.inf
        rotation_index[b, :] = 0
        for d in range(directions):
            for a in range(angles):
                r = d * angles + a
                value = best[r]
                before, after = best[d * angles + (a - 1) % angles], best[d * angles + (a + 1) % angles]
                if value <= top[wanted - 1] or value < before or value <= after:
                    continue
                slot = wanted - 1
                while slot > 0 and top[slot - 1] < value:
                    top[slot] = top[slot - 1]
                    rotation_index[b, slot] = rotation_index[b, slot - 1]
                    slot -= 1
                top[slot] = value
                rotation_index[b, slot] = r
        for slot in range(wanted):
            shift_index[b, slot] = where[rotation_index[b, slot]]
            gains[b, slot] = top[slot] * abs(top[slot]) if correlate else top[slot]
