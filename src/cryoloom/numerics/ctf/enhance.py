"""The enhanced power spectrum, in which rings stand out of background and noise, and what is measured along them.

After Jonić et al., J. Struct. Biol. 157:156 (2007): the logarithm of the power, a median over neighbours, and a band-pass of the
spectrum taken as a picture.
"""

import math

import numpy as np
from scipy import fft
from scipy.ndimage import map_coordinates, median_filter

from cryoloom.numerics.ctf.rings import Astigmatic, Optics
from cryoloom.numerics.ctf.spectrum import Array, Spectrum

BAND, DECAY = (0.02, 0.15), 0.02
"""Cycles per pixel of the picture that are kept, and over which the edges fall."""

SEEN = (0.02, 0.45)
"""Cycles per pixel of the image between which the spectrum is standardised; zero elsewhere."""

AZIMUTHS = 180


def enhanced(spectrum: Spectrum) -> Array:
    """Return the enhanced spectrum ``(window, window)``, the origin at ``window // 2``, mean 0 and deviation 1 where rings may be."""
    half = np.log10(1 + np.square(spectrum.amplitude / spectrum.amplitude.mean()))
    picture = median_filter(fft.fftshift(whole(half)), 3, mode="wrap")
    middle, spread = picture.mean(), picture.std()
    picture = np.clip(picture, middle - 2 * spread, middle + 2 * spread) - middle
    size = spectrum.window
    wave = np.hypot(fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None, :])
    passed = _rise(wave, BAND[0]) * (1 - _rise(wave, BAND[1]))
    picture = fft.irfft2(fft.rfft2(picture) * passed, (size, size))
    radius = np.hypot(*np.ogrid[-(size // 2) : size - size // 2, -(size // 2) : size - size // 2]) / size
    inside = (radius >= SEEN[0]) & (radius <= SEEN[1])
    seen = picture[inside]
    return np.where(inside, (picture - seen.mean()) / max(float(seen.std()), 1e-12), 0.0)


def whole(half: Array) -> Array:
    """Return the full plane ``(n, n)`` of a half ``(n, n // 2 + 1)`` of even n, in transform order."""
    size = half.shape[0]
    mirrored = half[-np.arange(size) % size, size // 2 - 1 : 0 : -1]
    return np.concatenate([half, mirrored], axis=1)


def _rise(wave: Array, at: float) -> Array:
    return 0.5 - 0.5 * np.cos(math.pi * np.clip((wave - at + DECAY / 2) / DECAY, 0, 1))


def along(picture: Array, radius: Array, step: float) -> Array:
    """Return a spectrum with its origin in the middle where the curve `radius` (1/Å, one value an azimuth of `azimuths`) passes."""
    angle, centre = azimuths(), picture.shape[0] // 2
    return map_coordinates(
        picture, [centre + radius * np.sin(angle) / step, centre + radius * np.cos(angle) / step], order=1, mode="nearest"
    )


def azimuths() -> Array:
    """Return the directions of the half plane that curves are followed in, radians."""
    return math.pi * (np.arange(AZIMUTHS) + 0.5) / AZIMUTHS


def radius_of_phase(ctf: Astigmatic, optics: Optics, quarters: int) -> Array:
    """Return in 1/Å where χ is that many quarter turns beyond the multiple of π at or below its value at zero frequency, one value an azimuth.

    Two is the first zero, three the crest after it, six the third zero; a zero next to the origin, of a phase plate, does not count. NaN
    where the spherical aberration lets χ turn before.
    """
    begin = float(optics.phase(np.zeros(1), ctf.mean, ctf.plate)[0])
    rise = math.pi * math.floor(begin / math.pi + 0.1) + 0.5 * math.pi * quarters - begin
    linear = optics.phase_per_defocus(np.ones(1))[0] * ctf.along(azimuths())
    quadratic = float(optics.phase_in_focus(np.zeros(1))[0] - optics.phase_in_focus(np.ones(1))[0])
    root = linear**2 - 4 * quadratic * rise
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(2 * rise / (linear + np.sqrt(root)))
