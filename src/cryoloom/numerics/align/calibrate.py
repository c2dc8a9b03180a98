"""The grey scale of a reference whose units are unknown, measured on coefficients that did not choose the poses."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery, search, shift_factors
from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.reconstruct.kernels import gather

SAMPLE = 512


def grey_scale(
    images: ImageSet, gallery: Gallery, grid: NDArray[np.float32], noise: NDArray[np.float64], shifts: NDArray[np.float64]
) -> float:
    """Return the factor that brings the reference to the scale of the images.

    Poses are chosen by correlation over half of the coefficients and the factor ``Σ Y* P / Σ W |P|²`` is measured over the other half: over
    the same ones the best of a hundred thousand poses would always find signal, in pure noise too. Wrong poses only make the factor small.

    Raises
    ------
    ValueError
        If the images agree with the negative of the reference and not with the reference.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))
    data, weight = images.prepare(rows, gallery.plane, noise)
    chooses = np.arange(len(gallery.plane.kx)) % 2 == 0
    fits = {}
    for sign in (1, -1):
        rotations, moves, _ = search(gallery, sign * data * chooses, weight * chooses, shifts, 1, correlate=True)
        cross, norm = _agreement(gallery.plane, grid, sign * data * ~chooses, weight * ~chooses, rotations[:, 0], moves[:, 0])
        fits[sign] = (cross / np.sqrt(0.5 * norm), cross / norm, norm / len(rows))
    sure, scale, strength = fits[1]
    if fits[-1][0] > max(4.0, 1.5 * sure):
        raise ValueError(
            f"the images agree with the negative of the reference ({fits[-1][0]:.1f} standard deviations) rather than with it ({sure:.1f})"
        )
    # A reference that fits nothing still starts somewhere: weak enough that noise decides no pose for good.
    return scale if sure > 3.0 else 1.0 / np.sqrt(max(strength, 1e-30))


def grey_scale_at(
    images: ImageSet,
    plane: HalfPlane,
    grid: NDArray[np.float32],
    noise: NDArray[np.float64],
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
) -> float:
    """Return the factor that brings the reference to the scale of images whose poses are known, ``(n, 3, 3)`` and ``(n, 2)`` px.

    Raises
    ------
    ValueError
        If the images do not agree with the reference at these poses.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))
    data, weight = images.prepare(rows, plane, noise)
    cross, norm = _agreement(plane, grid, data, weight, rotations[rows], shifts[rows])
    if not cross > 3.0 * np.sqrt(0.5 * norm):
        raise ValueError("the images do not agree with the reference at the poses that they carry")
    return cross / norm


def _agreement(plane, grid, data, weight, rotations, shifts) -> tuple[float, float]:
    found = np.empty((len(rotations), len(plane.kx), 2), np.float32)
    gather(grid, plane.kx, plane.ky, rotations.astype(np.float32), found)
    model = found.view(np.complex64)[..., 0]
    centred = data * shift_factors(plane, shifts)
    cross = np.sum(centred.real * model.real + centred.imag * model.imag, dtype=np.float64)
    return float(cross), float(np.sum(weight * np.abs(model) ** 2, dtype=np.float64))
