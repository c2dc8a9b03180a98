"""The picture by which a fit is judged: the spectrum, with the model in one quarter."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cryoloom.numerics.ctf.rings import Astigmatic, Optics
from cryoloom.numerics.ctf.spectrum import Array, Spectrum

LARGEST = 512
"""Px a side."""


def spectrum_picture(spectrum: Spectrum, ctf: Astigmatic, optics: Optics, low_res: float, high_res: float) -> NDArray[np.float32]:
    """Return a square picture, the origin at its centre ``n // 2``, rows along +y, ready to be shown from 0 (black) to 1 (white).

    Each circle of the spectrum is brought to one mean and its rings to one contrast, so that all are seen. The quarter with y > 0
    and x < 0 (lower left where row 0 is drawn at the top) shows ``CTF²`` over the band that was fitted. The picture reaches a
    quarter beyond `high_res` (Å), or to Nyquist.
    """
    picture = plain_picture(spectrum, high_res)
    half = len(picture) // 2
    y, x = np.arange(half)[:, None] * spectrum.step, np.arange(-half, 0)[None, :] * spectrum.step
    squared = x * x + y * y
    model = np.square(np.sin(optics.phase(squared, ctf.along(np.arctan2(y, x)), ctf.plate)))
    fitted = (squared >= 1 / low_res**2) & (squared <= 1 / high_res**2)
    picture[half:, :half] = np.where(fitted, model, 0.5)
    return picture


def plain_picture(spectrum: Spectrum, high_res: float) -> NDArray[np.float32]:
    """Return the same picture without a model."""
    half = min(spectrum.window // 2, LARGEST // 2, round(1.25 / (high_res * spectrum.step)))
    grey = _whitened(spectrum)
    rows = np.arange(-half, half)
    right = grey[rows % spectrum.window, :half]
    left = grey[-rows % spectrum.window, half:0:-1]  # F(-k) is the conjugate of F(k)
    picture = np.clip(0.5 + 0.4 * gaussian_filter(np.concatenate([left, right], axis=1), 0.7), 0, 1)
    return picture.astype(np.float32)


def _whitened(spectrum: Spectrum) -> Array:
    """Return the logarithm of the amplitude, of mean 0 and deviation 1 in the neighbourhood of every circle."""
    fy, fx = spectrum.frequencies()
    circle = np.rint(np.hypot(fy, fx) / spectrum.step).astype(np.intp)
    around = np.ones(2 * max(4, spectrum.window // 20) + 1)

    def circles(values: Array) -> Array:
        total, count = (np.convolve(np.bincount(circle.ravel(), weight), around, "same") for weight in (values.ravel(), None))
        return (total / np.maximum(count, 1))[circle]

    logarithm = np.log(np.maximum(spectrum.amplitude, 1e-6 * spectrum.amplitude.max()))
    excess = logarithm - circles(logarithm)
    return excess / np.maximum(np.sqrt(circles(np.square(excess))), 1e-9)
