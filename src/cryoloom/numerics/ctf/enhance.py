"""The enhanced power spectrum, in which rings stand out of background and noise, and what is measured along them.

After Jonić et al., J. Struct. Biol. 157:156 (2007): the logarithm of the power, a median over neighbours, and a band-pass of the
spectrum taken as a picture.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d, map_coordinates, median_filter

from cryoloom.numerics.ctf.rings import Astigmatic, Optics
from cryoloom.numerics.ctf.spectrum import Array, Spectrum

BAND, DECAY = (0.02, 0.15), 0.02
"""Cycles per pixel of the picture that are kept, and over which the edges fall."""

SEEN = (0.02, 0.45)
"""Cycles per pixel of the image between which the spectrum is standardised; zero elsewhere."""

AZIMUTHS = 180

LEVELS = 8
"""Lines of equal phase for a quarter turn."""

SMOOTHING = 1.5, 3.0
"""Deviation of the Gaussian, in lines of equal phase and in degrees along them, over which the unrolled spectrum is averaged.

Close to focus the first rings are broad and lie where the signal is weak: single pixels are noise there, but there are many of them. Both
widths grow with the rings, so that about as many independent places are left close to focus as far from it.
"""


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


@dataclass(frozen=True)
class Unrolled:
    """The enhanced spectrum from the first to the third zero along lines of equal phase, which astigmatism does not bend.

    Attributes
    ----------
    values
        ``(4 · LEVELS + 1, AZIMUTHS)``, averaged over neighbours by `SMOOTHING`; a row every ``1 / LEVELS`` of a quarter turn.
    shown
        Where the spectrum shows them: short of its end and off its axes.
    """

    values: Array
    shown: NDArray[np.bool_]

    @property
    def rings(self) -> Array:
        """Return ``CTF²`` on every line: 0 on the first, 1 on the crest after it."""
        quarters = np.arange(len(self.values)) / LEVELS
        return np.broadcast_to(np.square(np.sin(0.5 * math.pi * quarters))[:, None], self.values.shape)

    def line(self, quarters: int) -> tuple[Array, NDArray[np.bool_]]:
        """Return values along the line so many quarter turns beyond the first zero, and which of them are shown."""
        return self.values[quarters * LEVELS], self.shown[quarters * LEVELS]


def unrolled(picture: Array, pixel_size: float, ctf: Astigmatic, optics: Optics) -> Unrolled:
    """Return an enhanced spectrum, whose Nyquist stands for `pixel_size` Å/px, along the first lines of equal phase of a CTF."""
    size, angle = len(picture), azimuths()
    radius = np.array([radius_of_phase(ctf, optics, 2 + level / LEVELS) for level in range(4 * LEVELS + 1)])
    y, x = (radius * direction * size * pixel_size for direction in (np.sin(angle), np.cos(angle)))
    cross = max(2, size // 50)
    shown = (radius <= SEEN[1] / pixel_size) & (np.abs(y) >= cross) & (np.abs(x) >= cross)  # false for NaN
    at = [size // 2 + np.where(shown, each, 0.0) for each in (y, x)]
    values, weight = np.where(shown, map_coordinates(picture, at, order=1), 0.0), shown.astype(np.float64)
    for axis, (width, mode) in enumerate(zip((SMOOTHING[0], SMOOTHING[1] * AZIMUTHS / 180), ("nearest", "wrap"), strict=True)):
        values, weight = (gaussian_filter1d(each, width, axis=axis, mode=mode) for each in (values, weight))
    return Unrolled(values / np.maximum(weight, 1e-6), shown)


def azimuths() -> Array:
    """Return the directions of the half plane that curves are followed in, radians."""
    return math.pi * (np.arange(AZIMUTHS) + 0.5) / AZIMUTHS


def radius_of_phase(ctf: Astigmatic, optics: Optics, quarters: float) -> Array:
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
