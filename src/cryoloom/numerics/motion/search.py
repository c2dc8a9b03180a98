"""Whole-frame motion from nothing: cross-correlation of each frame with the sum of the others, wherever the peak lies within reach.

The frequencies are those where power rises above the noise floor. Frames are not searched one by one: of all paths through their correlations
the most probable is taken (Viterbi), where steps are small but for rare jumps. So a specimen that moves smoothly is followed although no single
frame shows a peak above its noise, and one that jumps is followed where it is seen. Two starts are tried, no motion at all and frame
by frame after a growing sum (good at large drift); the path with the larger odds stays.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
import torch
from scipy.fft import ifft
from torch import Tensor

from cryoloom.numerics.fourier.transforms import crop_rfft2
from cryoloom.numerics.motion.spectra import Band, Spectra, moved_back
from cryoloom.numerics.motion.transforms import room

ITERATIONS = 8
STEPS = (0.35, 1.0, 3.0)
"""Standard deviations of the steps of a path that are tried, samples of the correlations (`limit` sets these)."""
JUMPS = 0.05
"""Share of steps that may lead anywhere."""
HEIGHTS = (1.5, 6.0)
"""Least and most standard deviations of noise that the true peak of a frame is taken to stand out by."""


@dataclass(frozen=True)
class Found:
    """Displacements found, their mean zero, ``(n, 2)`` px; and the log odds of their path over nothing but noise.

    Pure noise stays below 0, for correlations that are not there do not stay where they were found.
    """

    motion: Tensor
    confidence: float


def search(spectra: Spectra, limit: float, reach: float, start: Tensor | None = None) -> Found:
    """Find the displacement of each frame.

    Parameters
    ----------
    limit
        Highest frequency of the correlation, cycles/px.
    reach
        Largest displacement from the mean, px.
    start
        Displacements ``(n, 2)`` that are tried too.
    """
    band = spectra.band.narrowed(limit)
    shrunk = (spectra.band.kept[0] * spectra.band.kept[1]) / (band.kept[0] * band.kept[1])
    values = crop_rfft2(spectra.values, spectra.band.kept, band.kept) * shrunk
    weight = _guess(spectra, limit)[band.rings()]
    found = _mutual(values, weight, band, reach, torch.zeros(len(values), 2))
    starts = [_chained(values, weight, band, reach)] + ([] if start is None else [start.to(torch.float32) - start.mean(0)])
    for motion in starts:
        if float((motion - found.motion).abs().max()) >= 1 / limit:
            found = max(found, _mutual(values, weight, band, reach, motion), key=lambda one: one.confidence)
    return found


def _guess(spectra: Spectra, limit: float) -> Tensor:
    """Return likelihood weights before any alignment: what rises above the noise floor is taken for signal, float32 ``(rings,)``."""
    used = spectra.power[spectra.count > 0]
    floor = used[-max(1, len(used) // 8) :].median()
    share = (1 - floor / spectra.power.clamp_min(1e-30)).clamp(0.01, 0.9) * torch.exp(-2 * (spectra.radius / limit).square())
    ratio = share / (1 - share)
    weight = ratio / (1 + len(spectra.values) * ratio) / (1 - share)
    weight[spectra.count == 0] = 0
    return weight.to(torch.float32)


def _chained(values: Tensor, weight: Tensor, band: Band, reach: float) -> Tensor:
    """Align frame after frame to the sum of those before, each within half the reach of the last."""
    motion = torch.zeros(len(values), 2)
    total = values[0].clone()
    for f in range(1, len(values)):
        motion[f] = _peak(values[f] * (total.conj() * weight), band, motion[f - 1], reach / 2)
        total += moved_back(values[f : f + 1], band, motion[f : f + 1])[0]
    return motion - motion.mean(0)


def _mutual(values: Tensor, weight: Tensor, band: Band, reach: float, motion: Tensor) -> Found:
    """Align every frame to the sum of the others, all frames along one path, until nothing moves by more than a third of a pixel."""
    frames = len(values)
    unit = frames * float(torch.sqrt((frames - 1) * weight.square().sum()))
    rows, columns = (_within(kept, full, reach) for kept, full in zip(band.kept, band.shape, strict=True))
    prior = -math.inf
    products, odds = room(*values.shape), torch.empty(frames, len(rows), len(columns))
    noise, standing = _against_others(values, weight, band, motion, products)
    for _ in range(ITERATIONS):
        for f in range(frames):
            odds[f] = _correlations(products[f], band, rows, columns)
        odds *= (_expected(standing / unit) / noise.clamp_min(1e-30))[:, None, None]
        new, prior = _path(odds, band, (rows, columns))
        new -= new.mean(0)
        change = float((new - motion).abs().max())
        motion = new
        noise, standing = _against_others(values, weight, band, motion, products)
        if change < 1 / 3:
            break
    seen = standing / unit
    return Found(motion, frames * (_expected(seen) * seen - 0.5 * _expected(seen) ** 2) + prior)


def _correlations(product: Tensor, band: Band, rows: Tensor, columns: Tensor) -> Tensor:
    """Return some rows and columns of the image of a half-plane transform, which is overwritten."""
    ifft(product.numpy(), axis=0, overwrite_x=True)
    return torch.fft.irfft(product[rows], n=band.kept[1])[:, columns]


def _against_others(values: Tensor, weight: Tensor, band: Band, motion: Tensor, products: Tensor) -> tuple[Tensor, float]:
    """Multiply each frame as recorded with the sum of the others moved back by `motion`: transforms of correlations, in `products`.

    Returns
    -------
    noise
        Standard deviation of noise in each correlation, ``(n,)``.
    standing
        Weighted power that moved frames have in common.
    """
    ky, kx = band.axes()
    angles = (2 * math.pi * motion.to(torch.float64)).numpy()
    along, down = (np.exp(1j * angles[:, axis : axis + 1] * k).astype(np.complex64) for axis, k in enumerate((kx, ky)))
    variance, standing = np.zeros(len(values)), np.zeros(1)
    _multiply(values.numpy(), weight.numpy(), band.twice().numpy(), along, down, products.numpy(), variance, standing)
    noise = torch.from_numpy(variance).sqrt().to(torch.float32) / (band.kept[0] * band.kept[1])
    return noise, float(standing[0])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _multiply(values, weight, twice, along, down, products, variance, standing):  # pragma: no cover (compiled)
    frames, height, width = values.shape
    moved_re, moved_im = np.empty((frames, width), np.float32), np.empty((frames, width), np.float32)
    for y in range(height):
        total_re, total_im, own = np.zeros(width, np.float32), np.zeros(width, np.float32), np.zeros(width, np.float32)
        for f in range(frames):
            row, ramp, re, im = values[f, y], along[f], moved_re[f], moved_im[f]
            cos, sin = down[f, y].real, down[f, y].imag
            for x in range(width):
                turn_re = cos * ramp[x].real - sin * ramp[x].imag
                turn_im = cos * ramp[x].imag + sin * ramp[x].real
                re[x] = row[x].real * turn_re - row[x].imag * turn_im
                im[x] = row[x].real * turn_im + row[x].imag * turn_re
                total_re[x] += re[x]
                total_im[x] += im[x]
                own[x] += re[x] * re[x] + im[x] * im[x]
        scale, count = weight[y], twice
        for x in range(width):
            standing[0] += scale[x] * (total_re[x] * total_re[x] + total_im[x] * total_im[x] - own[x])
        for f in range(frames):
            row, out, re, im = values[f, y], products[f, y], moved_re[f], moved_im[f]
            spread = np.float32(0)
            for x in range(width):
                others_re, others_im = scale[x] * (total_re[x] - re[x]), scale[x] * (total_im[x] - im[x])
                product_re = row[x].real * others_re + row[x].imag * others_im
                product_im = row[x].imag * others_re - row[x].real * others_im
                out[x] = complex(product_re, product_im)
                spread += count[x] * (product_re * product_re + product_im * product_im)
            variance[f] += spread


def _expected(height: float) -> float:
    return min(max(height, HEIGHTS[0]), HEIGHTS[1])


def _path(odds: Tensor, band: Band, window: tuple[Tensor, Tensor]) -> tuple[Tensor, float]:
    """Return the most probable path ``(n, 2)`` px through log odds of the places of frames ``(n, h, w)``, and its log prior probability.

    `window` names the samples of the correlations, rows and columns, that the odds are of.
    """
    rows, columns = (len(axis) for axis in window)
    path, score = max((_viterbi(odds, width) for width in STEPS), key=lambda one: one[1])
    row, column = path // columns, path % columns
    prior = score - float(odds[torch.arange(len(odds)), row, column].sum())
    between = [[_vertex(one[y], x), _vertex(one[:, x], y)] for one, y, x in zip(odds, row.tolist(), column.tolist(), strict=True)]
    place = torch.stack([column - columns // 2, row - rows // 2], dim=1) + torch.tensor(between)
    return place * torch.tensor([band.shape[1] / band.kept[1], band.shape[0] / band.kept[0]]), prior


def _within(kept: int, full: float, reach: float) -> Tensor:
    """Return the indices of an axis of correlations that lie within `reach` of zero, in the order of the displacement."""
    most = min((kept - 1) // 2, int(reach * kept / full))
    return torch.remainder(torch.arange(-most, most + 1), kept)


def _viterbi(odds: Tensor, width: float) -> tuple[Tensor, float]:
    """Return the best place in each of `odds` (n, h, w), flat, for steps of a standard deviation of `width` samples; and its log probability.

    A frame may also jump anywhere, at a price: a path is no smoother than frames that are seen clearly want it.
    """
    _, rows, columns = odds.shape
    jump = math.log(rows * columns / JUMPS)
    lag = torch.arange(max(rows, columns), dtype=torch.float64).square() / (2 * width * width)
    norms = [torch.logsumexp(-torch.cat([lag[:side], lag[1:side]]), 0) for side in (rows, columns)]
    longest = min(len(lag), 1 + int(width * math.sqrt(2 * jump)))  # longer steps cost more than a jump
    path, score = _best_path(odds.numpy(), lag[:longest].to(torch.float32).numpy(), float(norms[0] + norms[1]), jump)
    return torch.from_numpy(path), score


@numba.njit(cache=True, nogil=True)
def _best_path(odds, lag, norm, jump):  # pragma: no cover (compiled)
    frames, rows, columns = odds.shape
    best = odds[0] - np.float32(math.log(rows * columns))
    origins = np.empty((frames, rows, columns), np.int32)
    down, came_down = np.empty((rows, columns), np.float32), np.empty((rows, columns), np.int32)
    for f in range(1, frames):
        for y in range(rows):
            down[y] = best[y]
            came_down[y] = y
            for step in range(1, len(lag)):
                for other in (y - step, y + step):
                    if 0 <= other < rows:
                        for x in range(columns):
                            value = best[other, x] - lag[step]
                            if value > down[y, x]:
                                down[y, x] = value
                                came_down[y, x] = other
        top = np.argmax(best)
        leap = np.float32(best.reshape(-1)[top] - jump)
        for y in range(rows):
            for x in range(columns):
                value, at = down[y, x], x
                for other in range(max(0, x - len(lag) + 1), min(columns, x + len(lag))):
                    reached = down[y, other] - lag[abs(other - x)]
                    if reached > value:
                        value, at = reached, other
                value -= np.float32(norm)
                if value < leap:
                    best[y, x] = odds[f, y, x] + leap
                    origins[f, y, x] = top
                else:
                    best[y, x] = odds[f, y, x] + value
                    origins[f, y, x] = came_down[y, at] * columns + at
    path = np.empty(frames, np.int64)
    path[-1] = np.argmax(best)
    for f in range(frames - 1, 0, -1):
        path[f - 1] = origins[f].reshape(-1)[path[f]]
    return path, float(best.reshape(-1)[path[-1]])


def _peak(product: Tensor, band: Band, centre: Tensor, reach: float) -> Tensor:
    """Return the place (x, y), in px of the frame, of the highest correlation within `reach` of `centre`, by parabolas through it.

    `product`, the transform of the correlations, is overwritten.
    """
    step = torch.tensor([band.shape[1] / band.kept[1], band.shape[0] / band.kept[0]])
    middle = (centre / step).round().to(torch.int64)
    rows, columns = (_within(kept, full, reach) for kept, full in zip(band.kept, band.shape, strict=True))
    rows, columns = (
        torch.remainder(axis + at, kept) for axis, at, kept in zip((rows, columns), (middle[1], middle[0]), band.kept, strict=True)
    )
    near = _correlations(product, band, rows, columns)
    y, x = divmod(int(near.argmax()), len(columns))
    inside = torch.tensor([x - len(columns) // 2 + _vertex(near[y], x), y - len(rows) // 2 + _vertex(near[:, x], y)])
    return step * (middle + inside)


def _vertex(line: Tensor, at: int) -> float:
    """Return the maximum of the parabola through the periodic `line` at `at` and its neighbours, relative to `at`, within half a sample."""
    before, here, after = float(line[at - 1]), float(line[at]), float(line[(at + 1) % len(line)])
    bend = before - 2 * here + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < 0 else 0.0
