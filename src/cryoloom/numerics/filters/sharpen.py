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


@dataclass(frozen=True)
class Filtering:
    """How a map is weighted before and low-passed after sharpening.

    Attributes
    ----------
    pixel_size
        Å per voxel.
    fsc
        Corrected FSC over shells, which weights the map by `figure_of_merit`; None for no weights.
    resolution
        Å, found.
    lowpass, edge
        Å, and the width of the raised cosine in shells.
    mtf
        Detector's modulation transfer over shells; divided out, floored at 0.01.
    fit_low, fit_high
        Å from which and to which the B-factor is fitted; None: to the resolution.
    """

    pixel_size: float
    fsc: Curve | None
    resolution: float
    lowpass: float
    edge: float = 2.0
    mtf: Curve | None = None
    fit_low: float = 10.0
    fit_high: float | None = None


def sharpen(volume: Map, filtering: Filtering, b_factor: float | None = None) -> tuple[Map, float, Guinier]:
    """Weight, sharpen and low-pass `volume`, the mean of the half maps.

    Parameters
    ----------
    b_factor
        Å², negative sharpens; None fits it.

    Returns
    -------
    The sharpened map, the B-factor used, and the Guinier curves.

    Raises
    ------
    ValueError
        When there are too few shells to fit a B-factor to.
    """
    box = volume.shape[0]
    frequency = np.arange(box // 2 + 1) / (box * filtering.pixel_size)
    original = mean_amplitudes(volume)
    weight = np.ones(box // 2 + 1) if filtering.fsc is None else figure_of_merit(filtering.fsc)
    if filtering.mtf is not None:
        weight = weight / np.maximum(filtering.mtf, 0.01)
    weighted = original * weight
    slope = intercept = float("nan")
    if b_factor is None:
        b_factor, slope, intercept = fit_b_factor(weighted, frequency, filtering.fit_low, filtering.fit_high or filtering.resolution)
    lowpassed = lowpass_curve(box, filtering.pixel_size, filtering.lowpass, edge=filtering.edge)
    curve = weight * np.exp(-b_factor * frequency**2 / 4.0) * lowpassed
    with np.errstate(divide="ignore"):
        series = [np.log(amplitudes) for amplitudes in (original, weighted, original * curve)]
    return multiply_shells(volume, curve), b_factor, Guinier(frequency**2, *series, slope, intercept)
