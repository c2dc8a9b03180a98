"""Exact projections and densities of Gaussian atoms, band-limited to the image's Nyquist frequency.

A Gaussian is separable in any orthogonal frame, also in Fourier space, so the transform of a cloud of atoms is one product of matrices:
``F(ky, kx) = Σ_a w_a Y_a(ky) X_a(kx)`` with ``X_a(k) = exp(-B_a k²/4) exp(-2πi k x_a)``. No grid is interpolated. The image is the
projection whose frequencies beyond Nyquist are absent (not folded back); it repeats with the box, so the box should hold the particle.

Images are ``[y, x]`` in Da/Å², maps ``[z, y, x]`` in Da/Å³, the rotation centre at index ``n // 2``; multiply a map by the pixel size and sum
over z to get the image.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.simulate.fourier import backward, even_size
from cryoloom.numerics.simulate.phantom import Phantom

Array = NDArray[np.float64]


def project(
    phantom: Phantom, pose: Array, box: int, pixel_size: float, shift: Array | tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float32]:
    """Return the projection ``(box, box)`` along the third row of `pose`, float32, Da/Å².

    Parameters
    ----------
    pose
        ``(3, 3)`` matrix ``A``: an atom at ``r`` is seen at ``(A r)_x, (A r)_y``.
    shift
        x, y in Å added to the atoms' image coordinates: the particle's centre moves *to* `shift` from the box centre.
    """
    return backward(project_transform(phantom, pose, box, pixel_size, shift), (box, box))


def project_transform(
    phantom: Phantom, pose: Array, box: int, pixel_size: float, shift: Array | tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.complex64]:
    """Return the half transform ``(box, box // 2 + 1)`` of `project`, in ``scipy.fft.rfft2``'s layout and scale."""
    seen = phantom.positions @ np.asarray(pose)[:2].T + np.asarray(shift)
    # In px from sample 0, so that the transform's origin is where the FFT has it.
    columns, rows = (seen / pixel_size + box // 2).T
    half = box // 2 + 1
    x = _waves(columns, phantom.b_factors, half, box, pixel_size)
    y = _waves(rows, phantom.b_factors, half, box, pixel_size)
    y *= (phantom.weights / pixel_size**2)[:, None].astype(np.float32)
    return _unfold(_outer_sums(y, x), box)


def box_for(radius: float, pixel_size: float) -> int:
    """Return the even px count of a box that holds a particle of `radius` Å and the ripples of its band limit."""
    return even_size(1.15 * radius / pixel_size + 6.0)


def density(phantom: Phantom, box: int, pixel_size: float) -> NDArray[np.float32]:
    """Return the map ``(box, box, box)``, float32, Da/Å³."""
    half = box // 2 + 1
    columns, rows, sections = (phantom.positions / pixel_size + box // 2).T
    x, y, z = (_waves(axis, phantom.b_factors, half, box, pixel_size) for axis in (columns, rows, sections))
    weights = (phantom.weights / pixel_size**3).astype(np.float32)[:, None]
    transform = np.zeros((box, box, half), dtype=np.complex64)
    for k in range(half):
        cosine = _unfold(_outer_sums(y * (weights * z[:, k : k + 1]), x), box)
        sine = _unfold(_outer_sums(y * (weights * z[:, half + k : half + k + 1]), x), box)
        transform[k] = cosine - 1j * sine
        if 0 < k < box - k:
            transform[box - k] = cosine + 1j * sine
    return backward(transform, (box, box, box))


@njit(cache=True, nogil=True)
def _waves(position, b_factor, half, box, pixel_size):
    """Return ``(atoms, 2 * half)``: damped cosines, then sines, of 2π k position / box; the Nyquist frequency of an even box is 0."""
    out = np.zeros((position.size, 2 * half), dtype=np.float32)
    top = half if box % 2 else half - 1
    for a in range(position.size):
        angle = 2.0 * np.pi * position[a] / box
        turn_c, turn_s = np.cos(angle), np.sin(angle)
        c, s = 1.0, 0.0
        # exp(-q k²) by recurrence: each ratio is the last times exp(-2q).
        q = b_factor[a] / (4.0 * (box * pixel_size) ** 2)
        damp, ratio, shrink = 1.0, np.exp(-q), np.exp(-2.0 * q)
        for k in range(top):
            out[a, k] = damp * c
            out[a, half + k] = damp * s
            c, s = c * turn_c - s * turn_s, c * turn_s + s * turn_c
            damp *= ratio
            ratio *= shrink
    return out


@njit(cache=True, nogil=True, fastmath=True)
def _outer_sums(y, x):
    """Return ``yᵀ x`` in a fixed order of summation, four atoms at a time."""
    atoms, height = y.shape
    width = x.shape[1]
    out = np.zeros((height, width), dtype=np.float32)
    whole = atoms - atoms % 4
    for a in range(0, whole, 4):
        x0, x1, x2, x3 = x[a], x[a + 1], x[a + 2], x[a + 3]
        for i in range(height):
            y0, y1, y2, y3 = y[a, i], y[a + 1, i], y[a + 2, i], y[a + 3, i]
            row = out[i]
            for j in range(width):
                row[j] += (y0 * x0[j] + y1 * x1[j]) + (y2 * x2[j] + y3 * x3[j])
    for a in range(whole, atoms):
        for i in range(height):
            for j in range(width):
                out[i, j] += y[a, i] * x[a, j]
    return out


def _unfold(sums: NDArray[np.float32], box: int) -> NDArray[np.complex64]:
    """Turn sums of cos·cos, cos·sin, sin·cos, sin·sin over ky, kx ≥ 0 into the half transform with both signs of ky."""
    half = box // 2 + 1
    cc, cs, sc, ss = sums[:half, :half], sums[:half, half:], sums[half:, :half], sums[half:, half:]
    out = np.empty((box, half), dtype=np.complex64)
    out.real[:half], out.imag[:half] = cc - ss, -(cs + sc)
    mirror = slice(1, box - half + 1)
    out.real[half:], out.imag[half:] = (cc + ss)[mirror][::-1], (sc - cs)[mirror][::-1]
    return out
