"""The power of a map's monogenic signal in a band about a frequency, and its mean around each voxel (Felsberg & Sommer 2001, doi:10.1109/78.969520).

The power is the sum of the squares of the filtered map and of its three Riesz transforms, whose factors are ``-i k / |k|``: it follows how strong detail
is, and not where its crests lie. Why such a band and such a mean: decision 58.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor

BAND = (0.8, 1.0, 1.0, 1.2)
"""Times the frequency: where a raised cosine begins to pass, passes all, and begins and ends to fade. Narrower ones ring far beyond a detail's place."""
EVERYTHING = (-1.0, 0.0, 2.0, 3.0)
WINDOW = 0.6
"""Wavelengths: deviation of the Gaussian by which the power is weighted around a voxel. Less, and chance hides what is there; more, and places blur."""


def monogenic_power(transform: Tensor, frequency: float) -> Tensor:
    """Return the power ``(d, d, d)``, float32, of a map in the band about `frequency`, its mean about each voxel.

    The components are made one after the other: three volumes beside `transform` are held. Torch should have one thread.

    Parameters
    ----------
    transform
        ``torch.fft.rfftn`` of the map, complex64 ``(d, d, d // 2 + 1)``; it stays as it is.
    frequency
        Cycles/px; 0 takes all frequencies but the mean, and each voxel alone.
    """
    box = transform.shape[0]
    half, work = transform.numpy(), torch.empty_like(transform)
    total = torch.zeros((box, box, box), dtype=torch.float32)
    for axis in (-1, 0, 1, 2):
        riesz_component(half, axis, *((frequency * part for part in BAND) if frequency else EVERYTHING), work.numpy())
        part = torch.fft.irfftn(work, s=total.shape)
        total.addcmul_(part, part)
        del part
    if not frequency:
        return total
    torch.fft.rfftn(total, out=work)
    blur(work.numpy(), np.float32(2 * (np.pi * WINDOW / frequency) ** 2))
    return torch.fft.irfftn(work, s=total.shape, out=total)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def riesz_component(transform, axis, stop, whole, fade, end, out):
    """Write the transform to `out`, times ``-i k / |k|`` of an axis (0 z, 1 y, 2 x; -1: of none), between frequencies in cycles/px.

    Up to `stop`, of the mean and from `end` on nothing passes; raised cosines rise to `whole` and fall from `fade` on.
    """
    box, columns = transform.shape[0], transform.shape[2]
    step = np.float32(1.0 / box)
    for k in range(box):
        z = np.float32(k if 2 * k <= box else k - box) * step
        for j in range(box):
            y = np.float32(j if 2 * j <= box else j - box) * step
            across, source, row = z * z + y * y, transform[k, j], out[k, j]
            if across >= end * end:
                row[:] = 0.0
                continue
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
            for i in range(int(np.sqrt(max(fade * fade - across, 0.0)) * box), columns):
                radius = np.sqrt(across + (np.float32(i) * step) ** 2)
                if radius >= end:
                    row[i:] = 0.0
                    break
                if radius > fade:
                    row[i] *= np.float32(0.5 + 0.5 * np.cos(np.pi * (radius - fade) / (end - fade)))
    out[0, 0, 0] = 0.0
    if box % 2 == 0 and axis >= 0:
        # At its own Nyquist frequency a wave and its conjugate are one sample, of which an odd factor makes nothing.
        if axis == 0:
            out[box // 2] = 0.0
        elif axis == 1:
            out[:, box // 2] = 0.0
        else:
            out[:, :, box // 2] = 0.0


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def blur(transform, steep):
    """Multiply a transform by ``exp(-steep r²)``, r in cycles/px."""
    box, columns = transform.shape[0], transform.shape[2]
    along = np.empty(box, np.float32)
    for k in range(box):
        along[k] = np.exp(-steep * np.float32(((k if 2 * k <= box else k - box) / box) ** 2))
    for k in range(box):
        for j in range(box):
            across = along[k] * along[j]
            for i in range(columns):
                transform[k, j, i] *= across * along[i]
