"""Half-plane transforms of whole frames in memory that is kept.

A transform of 2048² px is ten milliseconds of arithmetic, and memory that is new to the process costs as much again: so rows are taken a few
at a time, and columns are transformed in place.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.fft import fft, ifft
from torch import Tensor

from cryoloom.numerics.motion.spectra import Band

ROWS = 128
"""Transformed at once."""


def room(*shape: int, dtype: type = np.complex64) -> Tensor:
    """Return a tensor of any content, in memory of NumPy: of large pages where the system has them, which torch's is not."""
    return torch.from_numpy(np.empty(shape, dtype))


def transform_rows(piece: Callable[[slice], Tensor], out: Tensor) -> None:
    """Fill `out` ``(h, columns)`` with the first columns of the transforms of rows; `piece` returns those of a slice."""
    height, columns = out.shape
    for top in range(0, height, ROWS):
        rows = slice(top, min(top + ROWS, height))
        out[rows] = torch.fft.rfft(piece(rows))[:, :columns]


def transform_columns(rows: Tensor) -> None:
    """Transform ``(h, columns)`` along the columns, in place."""
    fft(rows.numpy(), axis=0, overwrite_x=True)


def inverse(transform: Tensor, width: int) -> Tensor:
    """Return the image ``(h, width)`` of a half-plane transform ``(h, width // 2 + 1)``, which is overwritten."""
    ifft(transform.numpy(), axis=0, overwrite_x=True)
    image = room(len(transform), width, dtype=np.float32)
    for top in range(0, len(transform), ROWS):
        image[top : top + ROWS] = torch.fft.irfft(transform[top : top + ROWS], n=width)
    return image


class BandTransform:
    """Transforms of windowed frames ``(h, w)``, their means removed, cut to a band: ``(bh, bw // 2 + 1)``, columns beyond not computed.

    Grey values are kept, as `crop_rfft2` does.
    """

    def __init__(self, window: Tensor, band: Band) -> None:
        (height, width), (kept_h, kept_w) = window.shape, band.kept
        self._window, self._scale = window, kept_h * kept_w / (height * width)
        columns, high, low = (kept_w + 1) // 2, (kept_h + 1) // 2, (kept_h - 1) // 2
        self._rows = room(height, columns + 8)[:, :columns]  # not a power of two apart, for the cache
        self._ends = ((slice(0, high), slice(0, high)), (slice(kept_h - low, kept_h), slice(height - low, height)))
        self._level = torch.zeros(kept_h, columns, dtype=torch.complex64)
        self._add(torch.ones_like(window), self._level)

    def add(self, frame: Tensor, out: Tensor) -> None:
        """Add the transform of a frame to `out`."""
        out = out[:, : self._rows.shape[1]]
        out.sub_(self._level, alpha=self._add(frame, out))

    def _add(self, frame: Tensor, out: Tensor) -> float:
        """Add the transform of a frame whose mean is still in it; return the mean, which is summed up as rows come by."""
        means = []

        def windowed(rows: slice) -> Tensor:
            means.append(float(frame[rows].sum()) / frame.numel())
            return frame[rows] * self._window[rows]

        transform_rows(windowed, self._rows)
        transform_columns(self._rows)
        for kept, whole in self._ends:
            out[kept].add_(self._rows[whole], alpha=self._scale)
        return math.fsum(means)
