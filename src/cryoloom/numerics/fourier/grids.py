"""Frequency grids of half-plane (``rfft2``) and half-space (``rfftn``) transforms.

Frequencies are in cycles per pixel; divide by the pixel size for 1/Å. The last axis is x and is the halved one.
"""

import torch
from torch import Tensor


def frequencies_2d(height: int, width: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return ``ky (h, 1)`` and ``kx (1, w // 2 + 1)`` in cycles/px, in the order of ``torch.fft.rfft2``."""
    ky = torch.fft.fftfreq(height, dtype=dtype, device=device)
    kx = torch.fft.rfftfreq(width, dtype=dtype, device=device)
    return ky[:, None], kx[None, :]


def radius_2d(height: int, width: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    """Return ``|k|`` in cycles/px, shape ``(h, w // 2 + 1)``."""
    ky, kx = frequencies_2d(height, width, dtype=dtype, device=device)
    return torch.sqrt(ky * ky + kx * kx)


def frequencies_3d(box: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Return ``kz (d, 1, 1)``, ``ky (1, d, 1)``, ``kx (1, 1, d // 2 + 1)`` in cycles/px, in the order of ``torch.fft.rfftn``."""
    full = torch.fft.fftfreq(box, dtype=dtype, device=device)
    half = torch.fft.rfftfreq(box, dtype=dtype, device=device)
    return full[:, None, None], full[None, :, None], half[None, None, :]


def shells_3d(box: int, *, device: str = "cpu") -> Tensor:
    """Return the shell index ``round(|k| · box)`` of every coefficient, int64, shape ``(d, d, d // 2 + 1)``."""
    kz, ky, kx = frequencies_3d(box, device=device)
    return torch.round(torch.sqrt(kz * kz + ky * ky + kx * kx) * box).to(torch.int64)


def shells_2d(box: int, *, device: str = "cpu") -> Tensor:
    """Return the ring index ``round(|k| · box)`` of every coefficient, int64, shape ``(d, d // 2 + 1)``."""
    return torch.round(radius_2d(box, box, device=device) * box).to(torch.int64)


def hermitian_weights(box: int, *, device: str = "cpu") -> Tensor:
    """Return how often each ``rfft`` column stands in the full transform (1 for x = 0 and Nyquist, else 2), shape ``(d // 2 + 1,)``."""
    weights = torch.full((box // 2 + 1,), 2.0, device=device)
    weights[0] = 1.0
    if box % 2 == 0:
        weights[-1] = 1.0
    return weights
