"""The monogenic amplitude of what a map holds at a frequency and beyond (Felsberg & Sommer 2001, doi:10.1109/78.969520).

The amplitude is the root of the summed squares of the high-passed map and of its three Riesz transforms, whose factors are ``-i k / |k|``: it
follows how strong detail is, and not where its crests lie.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor

STEEP = 0.15
"""Part of the frequency by which the high-pass's raised cosine reaches to either side: steeper, and detail rings far beyond its place."""
EDGE = 0.02
"""Width in cycles/px of the low-pass's raised cosine."""


def monogenic_amplitude(transform: Tensor, frequency: float, *, smooth: bool = True) -> Tensor:
    """Return the amplitude ``(d, d, d)``, float32, of a map beyond `frequency`, low-passed there (decision 45).

    The components are made one after the other: three volumes beside `transform` are held. Torch should have one thread.

    Parameters
    ----------
    transform
        ``torch.fft.rfftn`` of the map, complex64 ``(d, d, d // 2 + 1)``; it stays as it is.
    frequency
        Cycles/px; 0 takes everything but the mean.
    smooth
        Whether the amplitude is low-passed at `frequency`. Off, it is as it comes.
    """
    box = transform.shape[0]
    half, work = transform.numpy(), torch.empty_like(transform)
    total = torch.zeros((box, box, box), dtype=torch.float32)
    for axis in (-1, 0, 1, 2):
        riesz_component(half, axis, (1 - STEEP) * frequency, (1 + STEEP) * frequency, work.numpy())
        part = torch.fft.irfftn(work, s=total.shape)
        total.addcmul_(part, part)
        del part
    total.sqrt_()
    if not smooth:
        return total
    torch.fft.rfftn(total, out=work)
    low_pass(work.numpy(), frequency, frequency + EDGE)
    return torch.fft.irfftn(work, s=total.shape, out=total)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def riesz_component(transform, axis, stop, whole, out):
    """Write the high-passed transform to `out`, times ``-i k / |k|`` of an axis (0 z, 1 y, 2 x; -1: of none).

    Below `stop` (cycles/px), and of the mean, nothing passes; a raised cosine rises to `whole`, beyond which everything does.
    """
    box, columns = transform.shape[0], transform.shape[2]
    step = np.float32(1.0 / box)
    for k in range(box):
        z = np.float32(k if 2 * k <= box else k - box) * step
        for j in range(box):
            y = np.float32(j if 2 * j <= box else j - box) * step
            across, source, row = z * z + y * y, transform[k, j], out[k, j]
            if axis < 0:
                for i in range(columns):
                    row[i] = source[i]
            elif axis == 2:
                for i in range(columns):
                    factor = np.float32(i) * step / np.sqrt(across + (np.float32(i) * step) ** 2)
                    row[i] = complex(factor * source[i].imag, -factor * source[i].real)
            else:
                along = z if axis == 0 else y
                for i in range(columns):
                    factor = along / np.sqrt(across + (np.float32(i) * step) ** 2)
                    row[i] = complex(factor * source[i].imag, -factor * source[i].real)
            for i in range(columns):
                radius = np.sqrt(across + (np.float32(i) * step) ** 2)
                if radius >= whole:
                    break
                row[i] *= np.float32(0.0) if radius <= stop else np.float32(0.5 - 0.5 * np.cos(np.pi * (radius - stop) / (whole - stop)))
    out[0, 0, 0] = 0.0
    if box % 2 == 0 and axis >= 0:
        # At its own Nyquist frequency a wave and its conjugate are one sample, of which an odd factor makes nothing.
        if axis == 0:
            out[box // 2] = 0.0
        elif axis == 1:
            out[:, box // 2] = 0.0
        else:
            out[:, :, box // 2] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def low_pass(transform, whole, stop):
    """Multiply a transform by 1 up to `whole` (cycles/px) and a raised cosine that falls to 0 at `stop`."""
    box, columns = transform.shape[0], transform.shape[2]
    for k in range(box):
        z = (k if 2 * k <= box else k - box) / box
        for j in range(box):
            y = (j if 2 * j <= box else j - box) / box
            across, row = z * z + y * y, transform[k, j]
            for i in range(int(np.sqrt(max(whole * whole - across, 0.0)) * box), columns):
                radius = np.sqrt(across + (i / box) ** 2)
                if radius >= stop:
                    row[i:] = 0.0
                    break
                if radius > whole:
                    row[i] *= np.float32(0.5 + 0.5 * np.cos(np.pi * (radius - whole) / (stop - whole)))
