"""Whole-frame motion from nothing: cross-correlation of each frame with the sum of the others, wherever the peak lies within reach.

The frequencies are those where power rises above the noise floor. Frames are not searched one by one: of all paths through their correlations
the most probable is taken (Viterbi), where steps are small but for rare jumps. So a specimen that moves smoothly is followed although no single
frame shows a peak above its noise, and one that jumps is followed where it is seen. Two starts are tried, no motion at all and frame
by frame after a growing sum (good at large drift); the path with the larger odds stays.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.fourier.transforms import crop_rfft2
from cryoloom.numerics.motion.spectra import Band, Spectra, moved_back, squared

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
        correlation = torch.fft.irfft2(values[f] * total.conj() * weight, s=band.kept)
        motion[f] = _peak(correlation, band, motion[f - 1], reach / 2)
        total += moved_back(values[f : f + 1], band, motion[f : f + 1])[0]
    return motion - motion.mean(0)


def _mutual(values: Tensor, weight: Tensor, band: Band, reach: float, motion: Tensor) -> Found:
    """Align every frame to the sum of the others, all frames along one path, until nothing moves by more than a third of a pixel."""
    frames = len(values)
    power = squared(values)
    own = (weight * power).sum()
    unit = frames * torch.sqrt((frames - 1) * weight.square().sum())

    def height(aligned: Tensor) -> float:
        """Return how many standard deviations of noise correlations stand out on average."""
        return float(((weight * squared(aligned.sum(0))).sum() - own) / unit)

    aligned, prior = moved_back(values, band, motion), -math.inf
    for _ in range(ITERATIONS):
        others = aligned.sum(0)[None] - aligned
        noise = (weight.square() * power * squared(others) * band.twice()).sum((-2, -1)).sqrt() / (band.kept[0] * band.kept[1])
        correlations = torch.fft.irfft2(values * (others.conj() * weight), s=band.kept) / noise[:, None, None].clamp_min(1e-30)
        new, prior = _path(correlations * _expected(height(aligned)), band, reach)
        new -= new.mean(0)
        change = float((new - motion).abs().max())
        motion = new
        aligned = moved_back(values, band, motion)
        if change < 1 / 3:
            break
    seen = height(aligned)
    return Found(motion, frames * (_expected(seen) * seen - 0.5 * _expected(seen) ** 2) + prior)


def _expected(height: float) -> float:
    return min(max(height, HEIGHTS[0]), HEIGHTS[1])


def _path(odds: Tensor, band: Band, reach: float) -> tuple[Tensor, float]:
    """Return the most probable path ``(n, 2)`` px through log odds of the places of frames ``(n, bh, bw)``, and its log prior probability."""
    rows, columns = (_within(kept, full, reach) for kept, full in zip(band.kept, band.shape, strict=True))
    inside = odds[:, rows][:, :, columns]
    path, score = max((_viterbi(inside, width) for width in STEPS), key=lambda one: one[1])
    row, column = path // len(columns), path % len(columns)
    prior = score - float(inside[torch.arange(len(odds)), row, column].sum())
    between = [
        [_vertex(one[y], x), _vertex(one[:, x], y)] for one, y, x in zip(odds, rows[row].tolist(), columns[column].tolist(), strict=True)
    ]
    place = torch.stack([column - len(columns) // 2, row - len(rows) // 2], dim=1) + torch.tensor(between)
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
    bends = []
    for side in (rows, columns):
        lag = torch.arange(1 - side, side, dtype=odds.dtype).square() / (2 * width * width)
        place = torch.arange(side)
        bends.append(lag[place[:, None] - place[None, :] + side - 1] + torch.logsumexp(-lag, 0))
    best = odds[0] - math.log(rows * columns)
    origins: list[Tensor] = []
    for one in odds[1:]:
        down = (best[None, :, :] - bends[0][:, :, None]).max(1)
        step = (down.values[:, None, :] - bends[1][None, :, :]).max(2)
        origin = down.indices.gather(1, step.indices) * columns + step.indices
        leap = float(best.max()) - jump
        origins.append(torch.where(step.values < leap, int(best.argmax()), origin))
        best = one + step.values.clamp_min(leap)
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin.flatten()[path[-1]]))
    return torch.tensor(path[::-1]), float(best.max())


def _peak(correlation: Tensor, band: Band, centre: Tensor, reach: float) -> Tensor:
    """Return the place (x, y), in px of the frame, of the highest value within `reach` of `centre`, by parabolas through it."""
    rows, columns = band.kept
    step = torch.tensor([band.shape[1] / columns, band.shape[0] / rows])
    across = torch.fft.fftfreq(columns) * band.shape[1]
    down = torch.fft.fftfreq(rows) * band.shape[0]
    outside = ((down - centre[1]).abs() > reach)[:, None] | ((across - centre[0]).abs() > reach)[None, :]
    y, x = divmod(int(correlation.masked_fill(outside, -torch.inf).argmax()), columns)
    inside = torch.tensor([_vertex(correlation[y], x), _vertex(correlation[:, x], y)])
    return torch.stack([across[x], down[y]]) + step * inside


def _vertex(line: Tensor, at: int) -> float:
    """Return the maximum of the parabola through the periodic `line` at `at` and its neighbours, relative to `at`, within half a sample."""
    before, here, after = float(line[at - 1]), float(line[at]), float(line[(at + 1) % len(line)])
    bend = before - 2 * here + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < 0 else 0.0
