"""The noise that particles stand in, measured where there are none."""

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.special import gammaincinv
from torch import Tensor

QUIET = 0.1
"""Share of the field that is taken to be free of particles and contaminants."""


def quiet_variance(detail: Tensor, band: Tensor, diameter: float) -> float:
    """Return the variance of the noise in `detail` ``(h, w)``; 0 for an image without any.

    Its energy is averaged over windows half a particle (`diameter` px) wide; the quietest tenth of the windows lies between particles.
    What a low quantile falls short of the mean is known for white noise that went through the filter `band` and corrected.

    Parameters
    ----------
    band
        ``(h, w // 2 + 1)`` the transfer function by which `detail` was filtered.
    """
    window = max(3, round(diameter / 2))
    half = window // 2
    values = detail.numpy()
    energy = uniform_filter(values * values, size=window, mode="nearest")[half:-half:half, half:-half:half]
    power = band**2
    freedom = window**2 * float(power.mean()) ** 2 / float((power**2).mean())
    expected = 2.0 * gammaincinv(freedom / 2.0, QUIET) / freedom  # a quantile of chi²; scipy.stats takes a second to load
    return float(np.quantile(energy, QUIET)) / float(expected)
