"""Binning whole micrographs by an exact ratio, and cutting boxes out of them."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.ctf.model import ctf
from cryoloom.numerics.fourier.grids import frequencies_2d
from cryoloom.numerics.fourier.transforms import crop_rfft2

Image = NDArray[np.float32]

ROWS = 256
"""Rows of a transform that are worked on together."""
NEAR = 1e-6
"""px within which a box still lies inside: rounding must not tell two samplings of one box apart."""


def bin_image(image: Image, ratio: Fraction, transfer: Callable[[tuple[int, int]], Tensor] | None = None) -> Image:
    """Bin a micrograph ``(h, w)`` by `ratio` through Fourier cropping; pixel (0, 0) keeps its place, grey values stay.

    Both axes are continued by mirroring to the next multiple of the ratio's numerator, so that one pixel of the result is exactly
    `ratio` pixels of the image on either axis; the continued part is cut off again. With `transfer`, the binned image is filtered too: it
    returns the factors of the half-plane transform of an image of a given shape.
    """
    if ratio == 1 and transfer is None:
        return image
    height, width = image.shape
    over, under = ratio.numerator, ratio.denominator
    # An even number of pixels in both grids, and room for the mirror to be smooth.
    step = over if under % 2 == 0 else 2 * over
    padded_h, padded_w = (-(-side // step) * step for side in image.shape)
    padded = np.pad(image, ((0, padded_h - height), (0, padded_w - width)), mode="symmetric")
    new = (padded_h * under // over, padded_w * under // over)
    transform = crop_rfft2(torch.fft.rfft2(torch.from_numpy(padded)), (padded_h, padded_w), new)
    if transfer is not None:
        transform *= transfer(new)
    small = torch.fft.irfft2(transform, s=new).numpy()
    return np.ascontiguousarray(small[: int(height / ratio), : int(width / ratio)])


def flip_phases(
    image: Image, pixel_size: float, defocus: tuple[float, float, float, float], *, voltage: float, cs: float, ac: float
) -> Image:
    """Multiply the transform of a micrograph by the sign of its CTF (``sin χ``), which keeps its contrast.

    `defocus` is (u, v, angle, phase shift) in Å and degrees.
    """
    ky, kx = frequencies_2d(*image.shape, dtype=torch.float64)
    transform = torch.fft.rfft2(torch.from_numpy(image))
    for rows in torch.arange(image.shape[0]).split(ROWS):  # χ of a whole micrograph would take ten times its memory
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        transfer = ctf(kx / pixel_size, ky[part] / pixel_size, *defocus, voltage=voltage, cs=cs, amplitude_contrast=ac)
        transform[part] *= torch.where(transfer < 0, -1.0, 1.0)
    return torch.fft.irfft2(transform, s=image.shape).numpy()


def cut_boxes(image: Image, centres: NDArray[np.int64], box: int) -> Image:
    """Return the boxes ``(n, box, box)`` whose pixel ``box // 2`` lies on `centres` ``(n, 2)``, (x, y); beyond the border the nearest pixel."""
    offsets = np.arange(box) - box // 2
    rows = np.clip(centres[:, 1, None] + offsets, 0, image.shape[0] - 1)
    columns = np.clip(centres[:, 0, None] + offsets, 0, image.shape[1] - 1)
    return image[rows[:, :, None], columns[:, None, :]]


def inside(exact: NDArray[np.float64], extent: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which boxes lie within a micrograph of `shape` ``(h, w)`` px but for half a pixel of it.

    Centres ``(n, 2)``, (x, y), and `extent`, the side of the box, are in px of the micrograph and not of the binned one: the same boxes fit whatever
    sampling they are cut at, so that two extractions have the same particles.
    """
    low, reach = exact - extent / 2 + 0.5 + NEAR, np.array([shape[1], shape[0]])
    return np.all((low >= 0) & (exact + extent / 2 <= reach + 0.5 + NEAR), axis=1)


def on_image(exact: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which places ``(n, 2)``, (x, y) px, lie on an image of `shape` ``(h, w)``."""
    return np.all((exact >= -0.5) & (exact <= np.array([shape[1], shape[0]]) - 0.5), axis=1)
