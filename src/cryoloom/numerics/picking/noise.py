"""The noise that particles stand in, measured where there are none, and the height it reaches by chance."""

import math

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from scipy.stats import chi2
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d
from cryoloom.numerics.picking.bank import fine_detail

QUIET = 0.1
"""Share of the field that is taken to be free of particles and contaminants."""


def noise_variance(pixels: Tensor, diameter: float) -> float:
    """Return the variance that `pixels` ``(h, w)`` would have were they white noise alone; 0 for an image without detail.

    The energy of fine detail is averaged over windows half a particle (`diameter` px) wide; the quietest tenth of the windows lies
    between particles. What a low quantile falls short of the mean is known for white noise and corrected.
    """
    height, width = pixels.shape
    passed = fine_detail(radius_2d(height, width), diameter)
    detail = torch.fft.irfft2(torch.fft.rfft2(pixels) * passed, s=(height, width)).numpy()
    window = max(3, round(diameter / 2))
    half = window // 2
    energy = uniform_filter(detail * detail, size=window, mode="nearest")[half:-half:half, half:-half:half]
    power = passed**2
    share = float(power.mean())
    freedom = window**2 * share**2 / float((power**2).mean())
    return float(np.quantile(energy, QUIET)) / share / float(chi2.ppf(QUIET, freedom) / freedom)


def chance_peak(area: float, curvature: float) -> float:
    """Return the height in σ that one maximum of a Gaussian random field of `area` px² is expected to exceed.

    Expected number of maxima above u: ``area · curvature · (2π)^(-3/2) · u · exp(-u² / 2)`` (Adler 1981, The Geometry of Random Fields).

    Parameters
    ----------
    curvature
        Variance of the field's slope along an axis over its own variance, 1/px².
    """
    maxima = area * curvature * (2.0 * math.pi) ** -1.5
    low, high = 1.0, 20.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if maxima * middle * math.exp(-0.5 * middle**2) > 1.0 else (low, middle)
    return high
