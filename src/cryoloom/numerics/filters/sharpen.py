"""Sharpening: figure-of-merit weighting and B-factor from the Guinier plot (Rosenthal & Henderson 2003, doi:10.1016/j.jmb.2003.07.013)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.filters.maps import lowpass_curve, multiply_shells
from cryoloom.numerics.fourier.grids import shells_3d
from cryoloom.numerics.fourier.transforms import centred_rfft3

Map = NDArray[np.float32]
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Guinier:
    """Natural logarithm of the mean amplitude over shells 0 … box // 2 against ``inverse_squared`` = 1/d² (1/Å²), at each stage."""

    inverse_squared: Curve
    original: Curve
    weighted: Curve
    sharpened: Curve
    slope: float
    intercept: float


def mean_amplitudes(volume: Map) -> Curve:
    """Return the mean amplitude of the transform of `volume` in shells 0 … box // 2, scaled by 1 / box³."""
    box = volume.shape[0]
    amplitudes = centred_rfft3(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))).abs().double().numpy().ravel() / box**3
    shells = shells_3d(box).numpy().ravel()
    count = box // 2 + 1
    total = np.bincount(shells, amplitudes, minlength=count)[:count]
    return total / np.maximum(np.bincount(shells, minlength=count)[:count], 1)


def figure_of_merit(fsc: Curve) -> Curve:
    """Return ``√(2 FSC / (1 + FSC))``, the expected correlation of the full map with the truth, 0 from the first shell below 1e-4."""
    weight = np.sqrt(np.maximum(2.0 * fsc / (1.0 + np.maximum(fsc, 0.0)), 0.0))
    dead = np.flatnonzero(fsc[1:] < 1e-4)
    if dead.size:
        weight[int(dead[0]) + 1 :] = 0.0
    return weight


def fit_b_factor(amplitudes: Curve, frequency: Curve, low: float, high: float) -> tuple[float, float, float]:
    """Fit ``ln amplitude = intercept + slope / d²`` between `low` and `high` (Å); return the B-factor ``4 · slope`` (Å²), slope, intercept.

    Raises
    ------
    ValueError
        With fewer than three shells in the range.
    """
    use = (frequency >= 1.0 / low) & (frequency <= 1.0 / high) & (amplitudes > 0)
    if np.count_nonzero(use) < 3:
        raise ValueError(f"{np.count_nonzero(use)} shells between {low:.1f} and {high:.1f} Å: too few for a B-factor")
    slope, intercept = np.polyfit(frequency[use] ** 2, np.log(amplitudes[use]), 1)
    return 4.0 * float(slope), float(slope), float(intercept)


def sharpen(
    volume: Map,
    fsc: Curve,
    pixel_size: float,
    resolution: float,
    *,
    b_factor: float | None = None,
    fit_low: float = 10.0,
    mtf: Curve | None = None,
    edge: float = 2.0,
) -> tuple[Map, float, Guinier]:
    """Sharpen `volume`, the mean of the half maps, and low-pass it at `resolution`.

    Parameters
    ----------
    fsc
        Corrected FSC over shells, weights the map by `figure_of_merit`.
    b_factor
        Å², negative sharpens; None fits it between `fit_low` and `resolution` (Å).
    mtf
        Detector's modulation transfer over shells; divided out, floored at 0.01.

    Returns
    -------
    The sharpened map, the B-factor used, and the Guinier curves.
    """
    box = volume.shape[0]
    frequency = np.arange(box // 2 + 1) / (box * pixel_size)
    original = mean_amplitudes(volume)
    weight = figure_of_merit(fsc)
    if mtf is not None:
        weight = weight / np.maximum(mtf, 0.01)
    weighted = original * weight
    slope = intercept = float("nan")
    if b_factor is None:
        b_factor, slope, intercept = fit_b_factor(weighted, frequency, fit_low, resolution)
    curve = weight * np.exp(-b_factor * frequency**2 / 4.0) * lowpass_curve(box, pixel_size, resolution, edge=edge)
    with np.errstate(divide="ignore"):
        series = [np.log(amplitudes) for amplitudes in (original, weighted, original * curve)]
    return multiply_shells(volume, curve), b_factor, Guinier(frequency**2, *series, slope, intercept)
