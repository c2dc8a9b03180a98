"""Local resolution by the Fourier shell correlation of half maps in windows (Cardone et al. 2013, doi:10.1016/j.jsb.2013.08.002).

The windows are spheres with soft edges. What their masks add is taken off by phase randomisation, once for all windows: the phases of both maps are random
from the shell on where the whole maps begin to differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage

from cryoloom.numerics.fourier.grids import hermitian_weights, shells_3d
from cryoloom.numerics.fsc.masked import randomise_phases
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre
from cryoloom.numerics.parallel import blocks, ordered

Map = NDArray[np.float32]

RANDOM_BELOW = 0.8
"""Phases are random from the shell on where the correlation of the whole maps is lower."""
AT_ONCE = 16
"""Windows that are transformed together."""


@dataclass(frozen=True)
class Windows:
    """How windows lie and are read.

    Attributes
    ----------
    radius, step
        Å: of what counts in full, with a soft edge as wide; between the centres.
    high, low
        Å, the limits of resolution.
    at
        Correlation at which it is read. At 0.143, what leaks from finer places beside a window counts as its own.
    """

    radius: float
    step: float
    high: float
    low: float
    at: float = 0.5


def windowed_resolution(
    first: Map, second: Map, inside: NDArray[np.bool_], pixel_size: float, windows: Windows, *, seed: int = 0, threads: int = 1,
    tell: Callable[[float, float, str], None] = lambda done, total, message: None,
) -> tuple[Map, int]:  # fmt: skip
    """Return the resolution in Å in a mask, 0 outside, and the number of windows.

    A voxel's is the mean of 1/Å over the windows around it, the nearest most; where there is none, that of the nearest window.
    """
    box = len(first)
    radius, step = windows.radius / pixel_size, max(1, round(windows.step / pixel_size))
    side = min(box, 2 * int(fft.next_fast_len(ceil(2 * radius) + 1, real=True) or 1))
    soft = cosine_edge(radius_from_centre(side) - radius, radius)
    whole = fourier_shell_correlation(first, second)
    start = int(np.argmax(np.append(whole[1:], 0.0) < RANDOM_BELOW)) + 1
    random = [randomise_phases(each, start, np.random.default_rng([seed, number])) for number, each in enumerate((first, second))]
    lattice = np.arange(box // 2 % step, box, step)
    grid = np.stack(np.meshgrid(lattice, lattice, lattice, indexing="ij"), axis=-1).reshape(-1, 3)
    near = np.asarray(ndimage.maximum_filter(inside, size=2 * (step // 2) + 1))
    centres = grid[near[tuple(grid.T)]]
    begin = start * side / box + 2 * side / box
    limits = (max(windows.high, 2 * pixel_size), windows.low)

    def measure(part: slice) -> NDArray[np.float64]:
        curves = [_correlations(*(_cut(each, centres[part], side) * soft for each in pair)) for pair in ((first, second), random)]
        return np.array([_resolution(*pair, begin, side * pixel_size, limits, windows.at) for pair in zip(*curves, strict=True)])

    found = np.zeros(0)
    for number, some in enumerate(ordered(measure, blocks(len(centres), AT_ONCE), threads)):
        found = np.append(found, some)
        tell(min((number + 1) * AT_ONCE, len(centres)), len(centres), "windows")
    return _spread(found, centres, inside, step), len(centres)


def _cut(volume: Map, centres: NDArray[np.int64], side: int) -> Map:
    """Return cubes about places, ``(n, side, side, side)``; beyond the map it goes on at its other end."""
    span = np.arange(side) - side // 2
    return np.stack([volume[np.ix_(*(np.mod(place + span, len(volume)) for place in centre))] for centre in centres])


def _correlations(one: Map, two: Map) -> NDArray[np.float64]:
    """Return the shell correlation of cubes, ``(n, side // 2 + 1)``."""
    side = one.shape[-1]
    a, b = (torch.fft.rfftn(torch.from_numpy(each), dim=(1, 2, 3)).numpy() for each in (one, two))
    shells, count = shells_3d(side).numpy().ravel(), side // 2 + 1
    weights = np.broadcast_to(hermitian_weights(side).numpy(), a.shape[1:])
    curves = np.zeros((len(one), count))
    for number, (p, q) in enumerate(zip(a, b, strict=True)):
        sums = [
            np.bincount(shells, (weights * values).ravel(), minlength=count)[:count]
            for values in (p.real * q.real + p.imag * q.imag, p.real**2 + p.imag**2, q.real**2 + q.imag**2)
        ]
        scale = np.sqrt(sums[1] * sums[2])
        curves[number] = np.divide(sums[0], scale, out=np.zeros(count), where=scale > 0)
    return curves


def _resolution(
    curve: NDArray[np.float64], random: NDArray[np.float64], begin: float, extent: float, limits: tuple[float, float], at: float
) -> float:
    """Return where the corrected curve of a window first falls below `at`, between shells, within the limits (Å)."""
    shells = np.arange(len(curve))
    corrected = np.where(shells >= begin, (curve - random) / np.maximum(1 - random, 1e-6), curve)
    corrected[0] = 1.0
    below = np.flatnonzero(corrected < at)
    if not below.size:
        return limits[0]
    after = int(below[0])
    high, low = corrected[after - 1], corrected[after]
    return float(np.clip(extent / max(after - 1 + (high - at) / (high - low), 1e-6), *limits))


def _spread(found: NDArray[np.float64], centres: NDArray[np.int64], inside: NDArray[np.bool_], step: int) -> Map:
    """Return the map of resolutions from those of windows."""
    box = len(inside)
    total, weight = np.zeros(inside.shape, np.float32), np.zeros(inside.shape, np.float32)
    # A voxel listens to the windows within one and a half steps: whole windows would blur the map by their width once more.
    reach = 2 * step
    span = np.arange(-reach, reach + 1)
    distance = np.sqrt(span[:, None, None] ** 2 + span[None, :, None] ** 2 + span[None, None, :] ** 2)
    near = cosine_edge(distance - 0.25 * step, 1.25 * step)
    for value, centre in zip(found, centres, strict=True):
        starts, ends = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, box)
        there = tuple(slice(a, b) for a, b in zip(starts, ends, strict=True))
        part = near[tuple(slice(a - c + reach, b - c + reach) for a, b, c in zip(starts, ends, centre, strict=True))]
        total[there] += part / np.float32(value)
        weight[there] += part
    resolution = np.where(inside & (weight > 0), weight / np.maximum(total, 1e-12), 0).astype(np.float32)
    lonely = inside & (weight <= 0)
    if lonely.any():
        nearest = ndimage.distance_transform_edt(weight <= 0, return_distances=False, return_indices=True)
        resolution[lonely] = (weight / np.maximum(total, 1e-12))[tuple(nearest)][lonely]
    return resolution
