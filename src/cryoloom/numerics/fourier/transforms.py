"""Centred transforms, Fourier cropping and padding, and sub-pixel shifts.

Images are ``(..., y, x)``, volumes ``(..., z, y, x)``; the centre of an axis of n samples is index ``n // 2`` for both parities.
A *centred* transform has its phase origin at that centre, so a map and its projections share one origin.
"""

import math

import torch
from torch import Tensor

from cryoloom.numerics.fourier.grids import frequencies_2d


def centred_rfft2(images: Tensor) -> Tensor:
    """Transform ``(..., h, w)`` to ``(..., h, w // 2 + 1)`` with the phase origin at the image centre."""
    return torch.fft.rfft2(torch.fft.ifftshift(images, dim=(-2, -1)))


def centred_irfft2(transforms: Tensor, shape: tuple[int, int]) -> Tensor:
    """Invert `centred_rfft2`; `shape` is the ``(h, w)`` of the image, for its width cannot be told from the half-plane."""
    return torch.fft.fftshift(torch.fft.irfft2(transforms, s=shape), dim=(-2, -1))


def centred_rfft3(volumes: Tensor) -> Tensor:
    """Transform ``(..., d, d, d)`` to ``(..., d, d, d // 2 + 1)`` with the phase origin at the map's centre."""
    return torch.fft.rfftn(torch.fft.ifftshift(volumes, dim=(-3, -2, -1)), dim=(-3, -2, -1))


def centred_irfft3(transforms: Tensor, box: int) -> Tensor:
    """Invert `centred_rfft3` for a cubic map of `box` voxels an axis."""
    return torch.fft.fftshift(torch.fft.irfftn(transforms, s=(box, box, box), dim=(-3, -2, -1)), dim=(-3, -2, -1))


def crop_rfft2(transforms: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Keep the frequencies that an image of shape `new` can hold: ``(..., h, w // 2 + 1)`` of `old` to that of `new`.

    Grey values are kept (the coefficients are scaled by the area ratio). Larger `new` pads with zeros. The Nyquist line of
    an even axis is dropped when it stands for two frequencies in the other grid.
    """
    (old_h, old_w), (new_h, new_w) = old, new
    rows = min(old_h, new_h)
    columns = min(old_w, new_w)
    high, low = (rows + 1) // 2, (rows - 1) // 2
    keep = (columns + 1) // 2
    out = transforms.new_zeros((*transforms.shape[:-2], new_h, new_w // 2 + 1))
    out[..., :high, :keep] = transforms[..., :high, :keep]
    if low:
        out[..., -low:, :keep] = transforms[..., -low:, :keep]
    return out * ((new_h * new_w) / (old_h * old_w))


def crop_rfft3(transforms: Tensor, old: int, new: int) -> Tensor:
    """Keep (or zero-pad) the frequencies of a cubic map going from `old` to `new` voxels an axis; grey values are kept."""
    size = min(old, new)
    high, low = (size + 1) // 2, (size - 1) // 2
    out = transforms.new_zeros((*transforms.shape[:-3], new, new, new // 2 + 1))
    ends = [(slice(0, high), slice(0, high))] + ([(slice(-low, None), slice(-low, None))] if low else [])
    for z_to, z_from in ends:
        for y_to, y_from in ends:
            out[..., z_to, y_to, :high] = transforms[..., z_from, y_from, :high]
    return out * (new / old) ** 3


def resample_images(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resample ``(..., h, w)`` images to `shape` by Fourier cropping or padding; the first pixel keeps its place, grey values stay.

    The exact factor is ``h / shape[0]``, ``w / shape[1]``: store the pixel size that follows from it.
    """
    old = (images.shape[-2], images.shape[-1])
    if old == shape:
        return images
    return torch.fft.irfft2(crop_rfft2(torch.fft.rfft2(images), old, shape), s=shape)


def resample_volume(volume: Tensor, box: int) -> Tensor:
    """Resample a cubic map ``(d, d, d)`` to `box` voxels an axis over the same extent in Å, keeping its centre at ``box // 2``."""
    if volume.shape[-1] == box:
        return volume
    return centred_irfft3(crop_rfft3(centred_rfft3(volume), volume.shape[-1], box), box)


def shift_phases(shape: tuple[int, int], shifts: Tensor) -> Tensor:
    """Return the factors that move image content by `shifts` ``(..., 2)``, (x, y) in px: complex ``(..., h, w // 2 + 1)``."""
    ky, kx = frequencies_2d(*shape, dtype=shifts.dtype, device=str(shifts.device))
    x, y = shifts[..., 0, None, None], shifts[..., 1, None, None]
    angle = -2 * math.pi * (kx * x + ky * y)
    return torch.polar(torch.ones_like(angle), angle)


def shift_images(images: Tensor, shifts: Tensor) -> Tensor:
    """Move the content of ``(..., h, w)`` images by `shifts` ``(..., 2)``, (x, y) in px, positive towards larger indices; wraps around."""
    shape = (images.shape[-2], images.shape[-1])
    return torch.fft.irfft2(torch.fft.rfft2(images) * shift_phases(shape, shifts.to(images.dtype)), s=shape)
