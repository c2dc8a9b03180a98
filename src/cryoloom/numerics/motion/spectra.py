"""What the estimators see of a movie: windowed frame spectra, cut to a band, whitened ring by ring.

A frame is ``y_f(k) = q_f(k) s(k) exp(-2πi k·d_f) + p(k) + n_f(k)``: a moving signal that fades with dose, a static pattern (what the gain
reference left over), and counting noise. After whitening the mean power of every ring is one, whatever the detector's transfer.
"""

import math
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

LARGEST_BAND = 1536 * 1536  # px of the image that holds the band; more costs time and hardly gains accuracy
LOWEST_RING = 3  # below lie illumination and ice gradients, which do not move with the specimen


@dataclass(frozen=True)
class Band:
    """The frequencies that estimation uses: those an image of `kept` (bh, bw) px over the area of `shape` (h, w) px can hold.

    Rings are one Fourier pixel of the shorter side wide; ring 0 marks coefficients that are left out: the lowest rings, the axes
    (readout rows and columns, edges of the frame) and the corners.
    """

    shape: tuple[float, float]
    kept: tuple[int, int]
    lowest: int = LOWEST_RING

    @classmethod
    def fitting(cls, shape: tuple[int, int], limit: float, largest: float = LARGEST_BAND) -> "Band":
        """Return the band of frames of `shape` up to `limit` cycles/px whose image has about `largest` px at most."""
        scale = min(1.0, 2 * limit, math.sqrt(largest / (shape[0] * shape[1])))
        height, width = (min(n, next_fast_len(max(16, round(scale * n)), real=True)) for n in shape)
        return cls(shape, (height, width))

    def narrowed(self, limit: float, largest: float = LARGEST_BAND) -> "Band":
        """Return the part of this band up to `limit` cycles/px and `largest` px."""
        inner = Band.fitting((round(self.shape[0]), round(self.shape[1])), limit, largest)
        return Band(self.shape, (min(inner.kept[0], self.kept[0]), min(inner.kept[1], self.kept[1])), self.lowest)

    @property
    def spacing(self) -> float:
        """Return the width of a ring in cycles/px."""
        return 1.0 / min(self.shape)

    @property
    def reach(self) -> float:
        """Return the highest frequency in cycles/px."""
        return min(kept / full for kept, full in zip(self.kept, self.shape, strict=True)) / 2

    def frequencies(self) -> tuple[Tensor, Tensor]:
        """Return ``ky (bh,)`` and ``kx (bw // 2 + 1,)`` in cycles per px of the frame."""
        (h, w), (bh, bw) = self.shape, self.kept
        return torch.fft.fftfreq(bh) * (bh / h), torch.fft.rfftfreq(bw) * (bw / w)

    def axes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return `frequencies` for compiled code."""
        return _axes(self)

    def twice(self) -> Tensor:
        """Return how many coefficients of the whole plane each column of the half plane stands for, ``(bw // 2 + 1,)``."""
        columns = torch.full((self.kept[1] // 2 + 1,), 2.0)
        columns[0] = 1.0
        if self.kept[1] % 2 == 0:
            columns[-1] = 1.0
        return columns

    def rings(self) -> Tensor:
        """Return the ring of each coefficient, int64 ``(bh, bw // 2 + 1)``."""
        ky, kx = self.frequencies()
        radius = torch.sqrt(ky[:, None] ** 2 + kx[None, :] ** 2)
        ring = torch.round(radius / self.spacing).to(torch.int64)
        ring[(radius >= self.reach) | (ring < self.lowest)] = 0
        ring[0, :] = 0
        ring[:, 0] = 0
        return ring


@cache
def _axes(band: Band) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    ky, kx = band.frequencies()
    return ky.numpy(), kx.numpy()


@dataclass
class Spectra:
    """Whitened spectra of all frames of a movie.

    Attributes
    ----------
    band
        Their frequencies.
    values
        ``q_f y_f``, complex64 ``(n, bh, bw // 2 + 1)``; zero on ring 0.
    ring, count
        Ring of each coefficient; coefficients of each ring ``(rings,)``, none in ring 0.
    fade
        ``q_f`` of each ring, float64 ``(n, rings)``.
    power
        Mean power of each ring before whitening, float64 ``(rings,)``.
    """

    band: Band
    values: Tensor
    ring: Tensor
    count: Tensor
    fade: Tensor
    power: Tensor

    @property
    def radius(self) -> Tensor:
        """Return the frequency of each ring in cycles/px, float64 ``(rings,)``."""
        return torch.arange(len(self.count), dtype=torch.float64) * self.band.spacing


def edge_window(shape: tuple[int, int], fraction: float = 1 / 32) -> Tensor:
    """Return a window ``(h, w)`` that is one but for raised-cosine edges of `fraction` of each side."""
    sides = []
    for n in shape:
        edge = max(2, round(fraction * n))
        ramp = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(edge) + 0.5) / edge)
        sides.append(torch.cat([ramp, torch.ones(n - 2 * edge), ramp.flip(0)]))
    return sides[0][:, None] * sides[1][None, :]


def ring_sums(values: Tensor, ring: Tensor, rings: int) -> Tensor:
    """Return the sum of real `values` over each ring, float64 ``(rings,)``, that of ring 0 set to zero."""
    sums = torch.bincount(ring.reshape(-1), weights=values.reshape(-1).to(torch.float64), minlength=rings)
    sums[0] = 0
    return sums


def squared(values: Tensor) -> Tensor:
    """Return ``|v|²`` of complex `values`."""
    return values.real.square() + values.imag.square()


def whiten(values: Tensor, band: Band, fade: Tensor | None = None, means: Tensor | None = None) -> Spectra:
    """Whiten band spectra, in place, and weight them by what is left of their signal.

    Parameters
    ----------
    values
        From `band_spectrum`, ``(n, bh, bw // 2 + 1)``; overwritten.
    fade
        Fraction of the signal's amplitude left in each frame at the frequency of each ring, ``(n, rings)``; None: all of it.
    means
        Mean counts of each frame ``(n,)``: a frame of fewer counts has less signal over its noise; None: all alike.
    """
    ring = band.rings()
    rings = int(ring.max()) + 1
    count = ring_sums(torch.ones(ring.shape), ring, rings)
    powers = torch.zeros(len(values), rings, dtype=torch.float64)
    for frame, sums in zip(values, powers, strict=True):
        _add_powers(frame.numpy(), ring.numpy(), sums.numpy())
    powers[:, 0] = 0
    total = powers.sum(1).clamp_min(1e-30)
    scale = total / total.mean()
    power = (powers / scale[:, None]).mean(0) / count.clamp_min(1)
    left = torch.ones(len(values), rings, dtype=torch.float64) if fade is None else fade.to(torch.float64)
    if means is not None and bool((means > 0).all()):
        left = left * ((means / means.mean()).to(torch.float64) / scale.sqrt())[:, None]
    floor = float(power.max()) * 1e-12 + 1e-30
    factor = left / (scale[:, None] * power.clamp_min(floor)).sqrt()
    factor[:, 0] = 0
    for frame, table in zip(values, factor.to(torch.float32), strict=True):
        _scale(frame.numpy(), ring.numpy(), table.numpy())
    return Spectra(band, values, ring, count, left, power)


@numba.njit(cache=True, nogil=True)
def _add_powers(frame, ring, sums):  # pragma: no cover (compiled)
    """Add the power of each coefficient of a frame (h, w) to that of its ring."""
    for y in range(len(frame)):
        for x in range(frame.shape[1]):
            sums[ring[y, x]] += frame[y, x].real * frame[y, x].real + frame[y, x].imag * frame[y, x].imag


@numba.njit(cache=True, nogil=True)
def _scale(frame, ring, table):  # pragma: no cover (compiled)
    """Multiply each coefficient of a frame (h, w) by what `table` says of its ring."""
    for y in range(len(frame)):
        for x in range(frame.shape[1]):
            frame[y, x] *= table[ring[y, x]]


def moved_back(values: Tensor, band: Band, motion: Tensor) -> Tensor:
    """Undo `motion` (n, 2), (x, y) in px of the frame, in the band spectra `values` (n, bh, bw // 2 + 1)."""
    ky, kx = band.frequencies()
    down = 2 * math.pi * motion[:, 1:2].to(torch.float32) * ky
    along = 2 * math.pi * motion[:, 0:1].to(torch.float32) * kx
    rows = torch.polar(torch.ones_like(down), down)
    columns = torch.polar(torch.ones_like(along), along)
    # numpy's product does not depend on threads, which torch cuts large ones for.
    return torch.from_numpy(values.numpy() * (rows.numpy()[:, :, None] * columns.numpy()[:, None, :]))
