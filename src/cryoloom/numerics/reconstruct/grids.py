"""Between maps and padded Fourier grids: what a slice is gathered from, and what a sum of slices becomes.

Transforms are unnormalised, so a slice of the map's transform is the transform of its projection (the sum along z). A map may be
held at a smaller box than the images' (the same extent in Å at coarser voxels, enough for the band in use); `full_box` keeps the scale.
The interpolation is a convolution with a triangle along each axis, whose transform is ``sinc²``: maps are divided by it before slices are
gathered and after they are summed.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.fourier.transforms import centred_irfft3, centred_rfft3
from cryoloom.numerics.reconstruct.kernels import PAD, grid_centre

Map = NDArray[np.float32]


def working_box(radius: float, full_box: int) -> int:
    """Return the smallest even box that holds frequencies out to `radius` cycles per box with two to spare, at most `full_box`."""
    return min(full_box, 2 * int(np.ceil(radius)) + 4)


def gridding_correction(box: int) -> Map:
    """Return ``Π sinc²(x / (pad · box))`` over z, y, x, the transform of the interpolating triangle, ``(d, d, d)``."""
    axis = np.sinc((np.arange(box) - box // 2) / (PAD * box)) ** 2
    return (axis[:, None, None] * axis[None, :, None] * axis[None, None, :]).astype(np.float32)


def reference_grid(volume: Map, radius: float, full_box: int) -> NDArray[np.float32]:
    """Return the grid from which slices of `volume` out to `radius` cycles per box are gathered.

    Parameters
    ----------
    volume
        Map ``(d, d, d)`` of the extent of the images, ``d <= full_box``.
    radius
        Largest frequency wanted, at most ``d / 2``.
    full_box
        Box of the images, whose transforms the slices are to match.
    """
    box = volume.shape[0]
    corrected = torch.from_numpy(volume / gridding_correction(box) * np.float32((full_box / box) ** 3))
    transform = centred_rfft3(_padded(corrected, PAD * box)).numpy()
    c = grid_centre(radius)
    wrapped = np.arange(-c, c + 1) % (PAD * box)
    columns = np.minimum(np.arange(c + 1), PAD * box // 2)
    cut = transform[np.ix_(wrapped, wrapped, columns)]
    return np.ascontiguousarray(cut).view(np.float32).reshape(*cut.shape, 2)


def map_from_transform(grid: NDArray[np.complex64], box: int, full_box: int) -> Map:
    """Return the map ``(box, box, box)`` of a half-space grid ``(2c + 1, 2c + 1, c + 1)``; the inverse of `reference_grid`."""
    c = grid.shape[0] // 2
    size = PAD * box
    keep = min(c, size // 2)
    wrapped = np.arange(-keep + (2 * keep == size), keep + 1)
    spectrum = np.zeros((size, size, size // 2 + 1), np.complex64)
    spectrum[np.ix_(wrapped % size, wrapped % size, np.arange(keep + 1))] = grid[np.ix_(c + wrapped, c + wrapped, np.arange(keep + 1))]
    padded = centred_irfft3(torch.from_numpy(spectrum), size)
    start = size // 2 - box // 2
    inner = slice(start, start + box)
    return padded[inner, inner, inner].numpy() / gridding_correction(box) * np.float32((box / full_box) ** 3)


def with_mates(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add to every cell of the plane x = 0 what was scattered at its Hermitian mate; returns the same array, changed.

    Every coefficient stands for itself and for its conjugate at the negated place; off that plane only one of the two is kept.
    """
    plane = sums[:, :, 0, :]
    mates = plane[::-1, ::-1].copy()
    mates[..., 1] *= -1
    plane += mates
    return sums


def _padded(volume: torch.Tensor, size: int) -> torch.Tensor:
    box = volume.shape[0]
    start = size // 2 - box // 2
    padded = volume.new_zeros((size, size, size))
    padded[start : start + box, start : start + box, start : start + box] = volume
    return padded
