"""Between maps and padded Fourier grids: what a slice is gathered from, and what a sum of slices becomes.

Transforms are unnormalised, so a slice of the map's transform is the transform of its projection (the sum along z). A map may be
held at a smaller box than the images' (the same extent in Å at coarser voxels, enough for the band in use); `full_box` keeps the scale.
The interpolation is a convolution with a triangle along each axis, whose transform is ``sinc²``: maps are divided by it before slices are
gathered and after they are summed.

Transforms go axis by axis, so that what is padded with zeros, or cut away, on one axis never takes memory on the next: a box of 300 needs
half a gigabyte beside its grid.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.reconstruct.kernels import PAD, grid_centre

Map = NDArray[np.float32]

ROWS = 16
"""Rows transformed at once."""


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
    size = PAD * box
    corrected = torch.from_numpy(volume / gridding_correction(box) * np.float32((full_box / box) ** 3))
    c = grid_centre(radius)
    rows = np.arange(-c, c + 1) % size
    columns = np.minimum(np.arange(c + 1), size // 2)
    phase = _centring(box, size)
    part = torch.empty((box, 2 * c + 1, c + 1), dtype=torch.complex64)
    for start in range(0, box, ROWS):
        some = slice(start, start + ROWS)
        lines = torch.fft.rfft(corrected[some], n=size, dim=2)[..., columns] * phase[columns]
        part[some] = (torch.fft.fft(lines, n=size, dim=1) * phase[:, None])[:, rows]
    grid = np.empty((2 * c + 1, 2 * c + 1, c + 1), np.complex64)
    for start in range(0, 2 * c + 1, ROWS):
        some = slice(start, start + ROWS)
        grid[:, some] = (torch.fft.fft(part[:, some], n=size, dim=0) * phase[:, None, None])[rows].numpy()
    return grid.view(np.float32).reshape(*grid.shape, 2)


def map_from_transform(grid: NDArray[np.complex64], box: int, full_box: int) -> Map:
    """Return the map ``(box, box, box)`` of a half-space grid ``(2c + 1, 2c + 1, c + 1)``; the inverse of `reference_grid`."""
    c = grid.shape[0] // 2
    size = PAD * box
    keep = min(c, size // 2)
    wrapped = np.arange(-keep + (2 * keep == size), keep + 1)
    phase = _centring(box, size).conj()
    part = torch.empty((box, len(wrapped), keep + 1), dtype=torch.complex64)
    for start in range(0, len(wrapped), ROWS):
        some = slice(start, start + ROWS)
        column = torch.zeros((size, len(wrapped[some]), keep + 1), dtype=torch.complex64)
        column[wrapped % size] = torch.from_numpy(grid[np.ix_(c + wrapped, c + wrapped[some], np.arange(keep + 1))])
        part[:, some] = torch.fft.ifft(column * phase[:, None, None], dim=0)[:box]
    volume = np.empty((box, box, box), np.float32)
    for start in range(0, box, ROWS):
        some = slice(start, start + ROWS)
        column = torch.zeros((len(part[some]), size, keep + 1), dtype=torch.complex64)
        column[:, wrapped % size] = part[some]
        lines = torch.fft.ifft(column * phase[:, None], dim=1)[:, :box]
        volume[some] = torch.fft.irfft(lines * phase[: keep + 1], n=size, dim=2)[..., :box].numpy()
    volume /= gridding_correction(box)
    volume *= np.float32((box / full_box) ** 3)
    return volume


def with_mates(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add to every cell of the plane x = 0 what was scattered at its Hermitian mate; returns the same array, changed.

    Every coefficient stands for itself and for its conjugate at the negated place; off that plane only one of the two is kept.
    """
    plane = sums[:, :, 0, :]
    mates = plane[::-1, ::-1].copy()
    mates[..., 1] *= -1
    plane += mates
    return sums


def _centring(box: int, size: int) -> torch.Tensor:
    """Return the factors by which the transform of `size` of a row of `box` voxels gets its phase origin at the row's centre."""
    angle = 2 * np.pi * ((np.fft.fftfreq(size, 1 / size) * (box // 2)) % size) / size
    return torch.from_numpy(np.exp(1j * angle).astype(np.complex64))
