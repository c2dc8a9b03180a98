"""The amplitude spectrum of a micrograph, averaged over overlapping tiles, and its average over small polar cells.

Frequencies follow ``rfft2``: rows are ky in transform order, columns kx from 0 to Nyquist. The transforms are SciPy's, three times
as fast here as torch's on one core, so that estimating a CTF loads no torch.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.floating]

CORRELATED = (1 + 2 * (1 / 2) ** 2) ** 2
"""Neighbouring powers of a spectrum are correlated by the taper: so many pixels carry the information of one."""


@dataclass(frozen=True)
class Spectrum:
    """Mean amplitude over tiles.

    Attributes
    ----------
    amplitude
        ``(window, window // 2 + 1)``, float64, arbitrary scale; zero at the origin.
    pixel_size
        Å/px that the spectrum's Nyquist stands for; the step in frequency is ``1 / (window · pixel_size)``.
    tiles
        How many tiles were averaged.
    taper
        Side in Å of the sine-tapered tiles; 0 for a spectrum that no taper has blurred.
    """

    amplitude: Array
    pixel_size: float
    tiles: int = 1
    taper: float = 0.0

    @property
    def window(self) -> int:
        """Return the number of rows."""
        return self.amplitude.shape[0]

    @property
    def step(self) -> float:
        """Return the width of a pixel in 1/Å."""
        return 1.0 / (self.window * self.pixel_size)

    def frequencies(self) -> tuple[Array, Array]:
        """Return fy ``(window, 1)`` and fx ``(1, window // 2 + 1)`` in 1/Å."""
        return fft.fftfreq(self.window, self.pixel_size)[:, None], fft.rfftfreq(self.window, self.pixel_size)[None, :]


def tile_size(shape: tuple[int, int], pixel_size: float, window: int, spectral_pixel: float) -> tuple[int, int]:
    """Return the side of the tiles in image px and the window of the spectrum kept of them, both even.

    The window shrinks, its resolution limit kept, until tiles fit 1.5 times into the shorter side of the image, so that the
    taper does not throw the image's border away.
    """
    coarser = max(1.0, spectral_pixel / pixel_size)
    room = int(min(shape) / 1.5)
    tile = min(window * coarser, room)
    even = 2 * fft.next_fast_len(max(16, round(tile / 2)), real=True)
    if even > min(shape):
        even = min(shape) // 2 * 2
    return even, 2 * round(even / coarser / 2)


def mean_spectrum(image: Array, pixel_size: float, *, window: int = 512, spectral_pixel: float = 0.0) -> Spectrum:
    """Average the amplitude spectra of half-overlapping tiles.

    The taper is half a sine wave: the squares of overlapping ones add up to a constant, and it wastes less of the image's border,
    and blurs fine rings less, than Hann's. Every tile loses its plane and its outliers (5 σ: hot pixels, gold), and is scaled to
    unit mean amplitude, so that neither a gradient of ice nor a contaminant rules the average. Amplitudes rather than powers, for
    the same reason (Mindell & Grigorieff, 2003). Memory: a strip one tile high.

    Parameters
    ----------
    image
        ``(h, w)``, any real type.
    pixel_size
        Å/px of `image`.
    window
        Rows of the spectrum.
    spectral_pixel
        Å/px down to which the spectrum is kept. A coarser value than `pixel_size` takes larger tiles and drops their fine
        frequencies, which equals resampling the image, without its rounding.

    Raises
    ------
    ValueError
        For an image that is not finite, too small (32 px), or without variance.
    """
    if min(image.shape) < 32:
        raise ValueError(f"image of {image.shape[1]} x {image.shape[0]} px: at least 32 px a side are needed for a spectrum")
    tile, kept = tile_size((image.shape[0], image.shape[1]), pixel_size, window, spectral_pixel)
    axis = np.arange(tile)
    sine = np.sin(math.pi * (axis + 0.5) / tile).astype(np.float32)
    taper = sine[:, None] * sine
    high, low = (kept + 1) // 2, kept // 2
    total = np.zeros((kept, kept // 2 + 1))
    count = 0
    for y in _starts(image.shape[0], tile):
        rows = np.asarray(image[y : y + tile], dtype=np.float32)
        if not np.isfinite(rows).all():
            raise ValueError(f"values that are not finite in rows {y} to {y + tile - 1}")
        for x in _starts(image.shape[1], tile):
            part = _flattened(rows[:, x : x + tile])
            if part is None:
                continue
            whole = fft.rfft2(part * taper)
            amplitude = np.abs(np.concatenate([whole[:high, : kept // 2 + 1], whole[tile - low :, : kept // 2 + 1]]))
            amplitude[0, 0] = 0.0
            total += amplitude * (1 / amplitude.mean(dtype=np.float64))
            count += 1
    if count == 0:
        raise ValueError("no variance in the image")
    return Spectrum(total / count, tile * pixel_size / kept, count, tile * pixel_size)


def without_spikes(spectrum: Spectrum, limit: float = 3.0) -> Spectrum:
    """Replace amplitudes that stand out by their surroundings' geometric mean: crystals, periodic noise of the detector.

    They do above `limit` times that mean over the circles within a sixtieth of the window, some way beyond any Thon ring.
    """
    fy, fx = spectrum.frequencies()
    circle = np.rint(np.hypot(fy, fx) / spectrum.step).astype(np.intp)
    logarithm = np.log(np.maximum(spectrum.amplitude, 1e-12 * spectrum.amplitude.max()))
    around = np.ones(2 * (spectrum.window // 60) + 1)
    total, count = (np.convolve(np.bincount(circle.ravel(), weight), around, "same") for weight in (logarithm.ravel(), None))
    typical = np.exp(total / np.maximum(count, 1))[circle]
    return replace(spectrum, amplitude=np.where(spectrum.amplitude > limit * typical, typical, spectrum.amplitude))


def taper_autocorrelation(lag: Array) -> tuple[Array, Array, Array]:
    """Return the autocorrelation of the sine taper at `lag` (0 to 1 tile), 1 at zero, and its first two derivatives."""
    sine, cosine, rest = np.sin(math.pi * lag), np.cos(math.pi * lag), 1 - lag
    return rest * cosine + sine / math.pi, -math.pi * rest * sine, math.pi * (sine - math.pi * rest * cosine)


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin that overlap by at least half and reach both borders."""
    count = math.ceil((length - tile) / (tile / 2)) + 1
    return [round(start) for start in np.linspace(0, length - tile, count)]


def _flattened(tile: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Subtract the least-squares plane and clip at 5 σ, twice if need be, for outliers widen σ; None for a tile that does not vary."""
    side = len(tile)
    slope = (np.arange(side) - (side - 1) / 2) / side
    norm = (slope**2).sum()
    across, down = tile.mean(axis=0, dtype=np.float64), tile.mean(axis=1, dtype=np.float64)
    mean = across.mean()
    plane_x = (mean + (across @ slope) / norm * slope).astype(np.float32)
    plane_y = ((down @ slope) / norm * slope).astype(np.float32)
    flat = tile - plane_x
    flat -= plane_y[:, None]
    for _ in range(2):
        deviation = math.sqrt(np.square(flat).mean(dtype=np.float64))
        if deviation <= 1e-6 * max(abs(mean), 1e-30):
            return None
        if max(flat.max(), -flat.min()) <= 5 * deviation:
            break
        np.clip(flat, -5 * deviation, 5 * deviation, out=flat)
    return flat
