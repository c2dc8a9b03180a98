"""How far two alignments of one movie agree: their displacements, and the sums they give."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.fourier.transforms import shift_phases
from cryoloom.numerics.motion.spectra import Band, edge_window, ring_sums, squared

Image = NDArray[np.float32]

AGREED = 0.5
"""Ring correlation of two sums down to which they are the same."""
SIGNAL = 0.35
NOISE = (0.36, 0.42)
"""Cycles/px up to which sums are judged by their power, and between which they hold noise alone; beyond, interpolation dims it."""


@dataclass(frozen=True)
class Difference:
    """Root mean square distances, px: of whole frames, of what is local beyond, and of both together; and the mean displacement (2,)."""

    whole: float
    local: float
    both: float
    mean: Tensor


def difference(one: Tensor, two: Tensor) -> Difference:
    """Compare displacements ``(n, rows, columns, 2)`` px of the same frames; constant differences of a place do not count."""
    apart = one - two
    mean = apart.mean((0, 1, 2))
    apart = apart - apart.mean(0)
    whole = apart.mean((1, 2))
    local = apart - whole[:, None, None]

    def distance(values: Tensor) -> float:
        return float(values.square().sum(-1).mean().sqrt())

    return Difference(distance(whole), distance(local), distance(apart), mean)


def dimmed_by(distance: float) -> float:
    """Return the wavelength whose amplitude displacements off by a root mean square `distance` (in the plane) halve; same unit."""
    return math.pi * distance / math.sqrt(math.log(2.0))


@dataclass(frozen=True)
class Likeness:
    """Ring correlations of two sums at frequencies in cycles/px, and the log of the ratio of the power of their signals, first over second."""

    frequency: Tensor
    correlation: Tensor
    stronger: float

    def resolved(self) -> float:
        """Return the frequency, cycles/px, of the last ring before the first that falls below `AGREED`."""
        below = torch.nonzero(self.correlation < AGREED)
        last = int(below[0, 0]) - 1 if len(below) else len(self.correlation) - 1
        return float(self.frequency[max(last, 0)])


def likeness(one: Image, two: Image, apart: Tensor) -> Likeness:
    """Compare two sums of the same frames.

    Both hold the same noise, as strong in one as in the other; of the signal the better aligned holds more.

    Parameters
    ----------
    apart
        Mean displacement of the first over the second, px of the sums, ``(2,)``: the second is moved by it.
    """
    shape = (one.shape[0], one.shape[1])
    band = Band(shape, shape)
    ring = band.rings()
    rings = int(ring.max()) + 1
    window = edge_window(shape)
    first, second = (torch.fft.rfft2((image - image.mean()) * window) for image in map(torch.from_numpy, (one, two)))
    # A frame moved back by too much lies on the other side: sums lie where the mean of displacements was not removed.
    second = second * shift_phases(shape, -apart.to(torch.float32))
    powers = [ring_sums(squared(each), ring, rings) for each in (first, second)]
    shared = ring_sums((first * second.conj()).real, ring, rings)
    used = slice(band.lowest, rings)
    frequency = torch.arange(rings, dtype=torch.float64)[used] * band.spacing
    count = ring_sums(torch.ones(ring.shape), ring, rings)[used]
    powers = [power[used] for power in powers]
    correlation = shared[used] / (powers[0] * powers[1]).sqrt().clamp_min(1e-30)
    noise = (frequency > NOISE[0]) & (frequency < NOISE[1])
    levels = [float(power[noise].sum()) for power in powers]
    ratio = torch.log((powers[0] / max(levels[0], 1e-30)).clamp_min(1e-30) / (powers[1] / max(levels[1], 1e-30)).clamp_min(1e-30))
    below = frequency < SIGNAL
    return Likeness(frequency, correlation, float((ratio * count)[below].sum() / count[below].sum()))
