"""The noise that particles stand in, measured where there are none, and the score it reaches by chance."""

import math

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from scipy.stats import chi2
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d

QUIET = 0.1
"""Share of the field that is taken to be free of particles and contaminants."""


def noise_variance(pixels: Tensor, diameter: float) -> float:
    """Return the variance a pixel of `pixels` ``(h, w)`` would have were it white noise alone.

    The energy beyond one cycle in a sixth of the particle is averaged over windows half a particle wide; the lowest tenth of
    the windows lies between the particles. That a low quantile of noise is below its mean is corrected for.

    Parameters
    ----------
    diameter
        Of the particle in px.
    """
    height, width = pixels.shape
    radius = radius_2d(height, width)
    gain = (1.0 - torch.exp(-0.5 * (radius / (4.0 / diameter)) ** 2)) ** 2
    fine = torch.fft.irfft2(torch.fft.rfft2(pixels) * torch.sqrt(gain), s=(height, width)).numpy()
    window = max(3, round(diameter / 2))
    energy = uniform_filter(fine * fine, size=window, mode="nearest")
    half = window // 2
    quiet = float(np.quantile(energy[half:-half:half, half:-half:half], QUIET))
    share = float(gain.mean())
    freedom = window**2 * share**2 / float((gain * gain).mean())
    return quiet / share / float(chi2.ppf(QUIET, freedom) / freedom)


def chance_peak(area: float, curvature: float) -> float:
    """Return the height in σ that one maximum of a Gaussian random field of `area` px² is expected to exceed by chance.

    Expected number of maxima above u: ``area · curvature · (2π)^(-3/2) · u · exp(-u²/2)`` (Adler 1981, The Geometry of Random Fields).

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
