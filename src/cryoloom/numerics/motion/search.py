"""Whole-frame motion from nothing: cross-correlation of each frame with the sum of the others, wherever the peak lies within reach.

The frequencies are those where power rises above the noise floor. Two starts are tried, no motion at all (good at low dose) and frame by
frame after a growing sum (good at large drift); the alignment with the larger correlation stays.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.fourier.transforms import crop_rfft2
from cryoloom.numerics.motion.spectra import Band, Spectra, moved_back, squared

ITERATIONS = 8


@dataclass(frozen=True)
class Found:
    """Displacements found, their mean zero, ``(n, 2)`` px; and how many standard deviations of noise a frame's correlation stands out.

    Pure noise, searched over 100 px, reaches about 3.
    """

    motion: Tensor
    confidence: float


def search(spectra: Spectra, limit: float, reach: float) -> Found:
    """Find the displacement of each frame.

    Parameters
    ----------
    limit
        Highest frequency of the correlation, cycles/px.
    reach
        Largest displacement from the mean, px.
    """
    band = spectra.band.narrowed(limit)
    shrunk = (spectra.band.kept[0] * spectra.band.kept[1]) / (band.kept[0] * band.kept[1])
    values = crop_rfft2(spectra.values, spectra.band.kept, band.kept) * shrunk
    weight = _guess(spectra, limit)[band.rings()]
    frames = len(values)
    noise = float(torch.sqrt(frames * (frames - 1) * weight.square().sum()))
    found = []
    for start in (torch.zeros(frames, 2), _chained(values, weight, band, reach)):
        motion = _mutual(values, weight, band, reach, start)
        total = squared(moved_back(values, band, motion).sum(0)) - squared(values).sum(0)
        found.append(Found(motion, float((weight * total).sum()) / noise / frames**0.5))
    return max(found, key=lambda one: one.confidence)


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


def _mutual(values: Tensor, weight: Tensor, band: Band, reach: float, motion: Tensor) -> Tensor:
    """Align every frame to the sum of the others until nothing moves by more than a third of a pixel."""
    centre = torch.zeros(2)
    for _ in range(ITERATIONS):
        aligned = moved_back(values, band, motion)
        others = aligned.sum(0)[None] - aligned
        correlations = torch.fft.irfft2(values * (others.conj() * weight), s=band.kept)
        new = torch.stack([_peak(one, band, centre, reach) for one in correlations])
        new -= new.mean(0)
        change = float((new - motion).abs().max())
        motion = new
        if change < 1 / 3:
            break
    return motion


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
