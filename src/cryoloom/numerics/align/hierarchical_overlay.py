"""Class averages laid over images: turned, mirrored where they must be, and compared at shifts and angles about a pose, pair by pair.

On the polar grid of H angles in half a turn an average turned by a multiple of π/H is the same samples in another order, half a turn further their
complex conjugates, and mirrored along x their conjugates in reverse order: no turn needs interpolation, and a pair's samples stay in the cache.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_poses import shift_ramp

_PAIRS = 64  # laid over at once: a few MB


Lines = NDArray[np.float32]
"""Samples of images, an image at a time: real parts, then imaginary ones, ``(2, n, H, band)``."""


def lines_of(samples: Tensor) -> Lines:
    """Return the lines of samples ``(H, band, n)``."""
    return torch.stack([part.permute(2, 0, 1) for part in (samples.real, samples.imag)]).numpy()


@dataclass(frozen=True)
class Pairs:
    """Images and averages that are compared: their rows, whether the average is mirrored, and the angle it is turned by first, in steps of π/H."""

    image: NDArray[np.int64]
    average: NDArray[np.int64]
    flip: NDArray[np.bool_]
    turn: NDArray[np.int64]

    def at(self, which: Any) -> "Pairs":
        """Return some of them."""
        return Pairs(self.image[which], self.average[which], self.flip[which], self.turn[which])


class Overlay:
    """Compares pairs of images and averages.

    Parameters
    ----------
    layout
        Of both.
    band
        Rings compared.
    radius
        Of the particle, px.
    reach
        Shifts that are tried, px to each side.
    """

    def __init__(self, layout: PolarLayout, band: int, radius: float, reach: int) -> None:
        self.layout, self.band = layout, band
        finest = 2.0 * math.pi * band * radius / layout.box
        # To both sides, a period of the finest order.
        self.lags = min(max(1, math.ceil(2.0 * layout.half_angles / finest)), layout.half_angles)
        line = torch.arange(-reach, reach + 1, dtype=torch.float32)
        y, x = torch.meshgrid(line, line, indexing="ij")
        self.steps = torch.stack([x, y], dim=-1).reshape(-1, 2)
        """Shifts tried ``(s, 2)``, px."""
        ramp = shift_ramp(layout, -self.steps, band).flatten(0, 1)
        self.waves = torch.stack([ramp.real, -ramp.imag], dim=1).flatten(0, 1)  # (H · band · 2, s)

    @property
    def weights(self) -> Tensor:
        """Return what samples of averages are multiplied by so that sums over them are sums over Fourier pixels, ``(band,)``."""
        return self.layout.areas[: self.band] / self.layout.half_angles

    def shifted(self, images: Lines, averages: tuple[Lines, Lines], pairs: Pairs) -> Tensor:
        """Return correlations of pairs at all shifts, ``(pairs, s)``; averages are those of the first lines, then those of the second, weighted."""
        first, second = averages
        found = torch.empty((len(pairs.image), len(self.steps)))
        product = torch.empty((_PAIRS, len(self.waves)))
        for start in range(0, len(pairs.image), _PAIRS):
            part = pairs.at(slice(start, start + _PAIRS))
            some = product[: len(part.image)]
            _laid_over(images, first, second, part.image, part.average, part.flip, part.turn, some.numpy())
            torch.mm(some, self.waves, out=found[start : start + _PAIRS])
        return found

    def turned(self, images: Lines, averages: tuple[Lines, Lines], pairs: Pairs, shift: Tensor) -> Tensor:
        """Return correlations of pairs, the images moved by ``-shift`` ``(pairs, 2)`` px, at angles about the first one, ``(pairs, 2 · lags + 1)``."""
        first, second = averages
        found = np.zeros((len(pairs.image), 2 * self.lags + 1), np.float32)
        wave = shift_ramp(self.layout, -shift, 1)[:, 0].t()
        cosine, sine = wave.real.contiguous().numpy(), wave.imag.contiguous().numpy()
        _turned(images, first, second, pairs.image, pairs.average, pairs.flip, pairs.turn, cosine, sine, found)
        return torch.from_numpy(found)


@njit(nogil=True, cache=True, forceinline=True)
def _row(angle: int, half: int, flip: bool, turn: int) -> tuple[int, float]:
    """Return which row of an average lies at a row of an image when it is turned and perhaps mirrored, and the sign of its imaginary part."""
    row = ((half - 1 - angle if flip else angle) - turn) % (2 * half)
    beyond = row >= half
    return row - half if beyond else row, np.float32(-1.0) if beyond != flip else np.float32(1.0)


@njit(nogil=True, cache=True)
def _laid_over(images: Any, first: Any, second: Any, image: Any, average: Any, flip: Any, turn: Any, out: Any) -> None:
    """Write the products of images and conjugated averages ``(pairs, H · band · 2)``."""
    _, _, half, band = images.shape
    for pair in range(len(image)):
        n, k = image[pair], average[pair]
        averages, place = (second, k - first.shape[1]) if k >= first.shape[1] else (first, k)
        for j in range(half):
            row, sign = _row(j, half, flip[pair], turn[pair])
            a, b = images[0, n, j], images[1, n, j]
            c, d = averages[0, place, row], averages[1, place, row]
            line = out[pair, 2 * j * band : 2 * (j + 1) * band]
            for r in range(band):
                below = sign * d[r]
                line[2 * r] = a[r] * c[r] + b[r] * below
                line[2 * r + 1] = b[r] * c[r] - a[r] * below


@njit(nogil=True, cache=True)
def _turned(images: Any, first: Any, second: Any, image: Any, average: Any, flip: Any, turn: Any, cosine: Any, sine: Any, out: Any) -> None:
    """Write correlations at neighbouring angles; `cosine` and `sine` ``(pairs, H)`` move the first ring of an image, their powers the others."""
    _, _, half, band = images.shape
    lags = out.shape[1]
    wave_real, wave_imaginary = np.empty(band, np.float32), np.empty(band, np.float32)
    moved_real, moved_imaginary = np.empty(band, np.float32), np.empty(band, np.float32)
    sums = np.empty((lags, band), np.float32)
    for pair in range(len(image)):
        n, k = image[pair], average[pair]
        averages, place = (second, k - first.shape[1]) if k >= first.shape[1] else (first, k)
        sums[:] = 0.0
        for j in range(half):
            wave_real[0], wave_imaginary[0] = cosine[pair, j], sine[pair, j]
            done = 1
            while done < band:
                c, s = wave_real[done - 1], wave_imaginary[done - 1]
                for r in range(min(done, band - done)):
                    wave_real[done + r] = wave_real[r] * c - wave_imaginary[r] * s
                    wave_imaginary[done + r] = wave_real[r] * s + wave_imaginary[r] * c
                done *= 2
            a, b = images[0, n, j], images[1, n, j]
            for r in range(band):
                moved_real[r] = a[r] * wave_real[r] - b[r] * wave_imaginary[r]
                moved_imaginary[r] = a[r] * wave_imaginary[r] + b[r] * wave_real[r]
            for lag in range(lags):
                row, sign = _row(j, half, flip[pair], turn[pair] + lag - lags // 2)
                c, d = averages[0, place, row], averages[1, place, row]
                total = sums[lag]
                for r in range(band):
                    total[r] += moved_real[r] * c[r] + sign * moved_imaginary[r] * d[r]
        for lag in range(lags):
            value = np.float32(0.0)
            for r in range(band):
                value += sums[lag, r]
            out[pair, lag] = value
