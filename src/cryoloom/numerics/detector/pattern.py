"""The fixed pattern of a camera in averages of many frames: whether a gain reference explains it, and what it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2
from scipy.ndimage import uniform_filter

from cryoloom.numerics.micrographs.pixels import middle_and_spread

Image = NDArray[np.float32]

WINDOW = 31
"""Pixels: what varies more slowly than this is illumination and specimen, not the camera."""

CLIP = 5.0
"""Robust standard deviations at which deviations are cut: dead and hot pixels must not decide."""


@dataclass(frozen=True)
class Match:
    """How well references explain a pattern.

    Attributes
    ----------
    correlations
        One a reference; -1 for one whose reciprocal is right.
    sigma
        Standard deviation that a correlation has by chance, from all other places of the references over the average.
    """

    correlations: tuple[float, ...]
    sigma: float


def deviations(average: Image) -> Image:
    """Return by how much each pixel of an average of frames differs from its surroundings, relative to them, stripes aside; 0 where it is not above 0."""
    good = average > 0
    filled = np.where(good, average, middle_and_spread(average)[0]).astype(np.float32)
    around = np.maximum(uniform_filter(filled, WINDOW, mode="reflect"), np.float32(1e-6))
    return _clipped(filled / around - 1, good)


def factors(reference: Image) -> Image:
    """Return the logarithm of a gain reference relative to its surroundings, stripes aside; 0 where it is not above 0."""
    good = reference > 0
    logs = np.log(np.where(good, reference, 1)).astype(np.float32)
    share = np.maximum(uniform_filter(good.astype(np.float32), WINDOW, mode="reflect"), np.float32(1e-6))
    return _clipped(logs - uniform_filter(np.where(good, logs, 0), WINDOW, mode="reflect") / share, good)


def _clipped(values: Image, good: NDArray[np.bool_]) -> Image:
    reach = np.float32(CLIP * (middle_and_spread(values)[1] or float(values.std(dtype=np.float64))))
    values = np.where(good, values.clip(-reach, reach), np.float32(0))
    # Stripes of the read-out fit themselves at every place along them, so they say little of where a reference belongs.
    values -= values.mean(axis=0, keepdims=True)
    values -= values.mean(axis=1, keepdims=True)
    return np.where(good, values, np.float32(0))


def match(pattern: Image, references: Sequence[Image]) -> Match:
    """Return how well gain references, as `factors` gives them, explain the `deviations` of an average of raw frames.

    A pixel whose counts have to be multiplied by more than others' counts less: deviations are minus the logarithms of the right reference.
    """
    found = [-_correlation(pattern, each) for each in references]
    best = int(np.argmax(np.abs(found)))
    return Match(tuple(found), _chance(pattern, references[best], found[best]))


def _correlation(first: Image, second: Image) -> float:
    power = _dot(first, first) * _dot(second, second)
    return _dot(first, second) / np.sqrt(power) if power > 0 else 0.0


def _dot(first: Image, second: Image) -> float:
    return float(np.einsum("ij,ij->", first, second, dtype=np.float64))


def _chance(first: Image, second: Image, there: float) -> float:
    """Return the deviation of the correlation over all shifts of one image over the other, but none, by Parseval's theorem."""
    height, width = first.shape
    weights = np.full(width // 2 + 1, 2.0)
    weights[0] = 1.0
    if width % 2 == 0:
        weights[-1] = 1.0
    total = float((np.abs(rfft2(first) * rfft2(second)).astype(np.float64) ** 2 * weights).sum())
    power = _dot(first, first) * _dot(second, second)
    if power == 0.0:
        return 1.0
    return float(np.sqrt(max(total / power / (height * width) ** 2 - there**2 / (height * width), 1e-12 / (height * width))))


def residual(first: Image, second: Image) -> tuple[float, float]:
    """Return the relative deviation of what is common to two corrected averages of different movies, and the one it must exceed to be real.

    Counts and specimens differ between them, the camera does not: what they share is what its gain reference leaves.
    """
    a, b = deviations(first), deviations(second)
    common = _dot(a, b) / a.size
    chance = np.sqrt(_dot(a, a) * _dot(b, b)) / a.size / np.sqrt(a.size)
    return float(np.sqrt(max(common, 0.0))), float(np.sqrt(5.0 * chance))
