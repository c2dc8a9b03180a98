"""The amplitude spectrum of a micrograph: averaged over small tiles to be looked at, and of tiles as large as may be to be fitted.

Frequencies follow ``rfft2``: rows are ky in transform order, columns kx from 0 to Nyquist. The transforms are SciPy's, three times
as fast here as torch's on one core, so that estimating a CTF loads no torch.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter

Array = NDArray[np.floating]

LARGEST = 2304
"""Px: the largest side of a tile of the fine spectrum, whose rings have room there at any defocus and pixel size."""

MEETING = 1 / 16
"""Part of the side over which tiles of the fine spectrum rise at their ends, and there overlap."""

NEIGHBOURHOOD = 300.0
"""Å: the fine spectrum sees every place by the mean and the deviation of so much around it, coarser than all that is fitted."""


ICE_PIXEL = 1.8
"""Å/px: the coarsest at which the ring of ice is in a spectrum."""


@dataclass(frozen=True)
class Taper:
    """The window of the tiles behind a spectrum: it rises as a quarter of a sine wave at either end of both axes.

    Attributes
    ----------
    height, width
        Of a tile, Å.
    ramp
        Part of the side over which it rises; 0.5 makes it half a sine wave.
    padding
        Area of the transform over the tile's.
    """

    height: float
    width: float
    ramp: float
    padding: float = 1.0

    @property
    def correlated(self) -> float:
        """Return how many powers of the spectrum carry the information of one, for the taper correlates neighbours."""
        return self.padding * ((1 - 1.25 * self.ramp) / (1 - self.ramp) ** 2) ** 2

    def autocorrelation(self, lag: Array) -> tuple[Array, Array, Array]:
        """Return the window's autocorrelation along an axis at `lag` (0 to 1 side), 1 at zero, and its first two derivatives."""
        table = _autocorrelation(self.ramp)
        at = np.linspace(0, 1, len(table[0]), endpoint=False)
        value, slope, curvature = (np.interp(lag, at, column) for column in table)
        return value, slope, curvature


@lru_cache
def _autocorrelation(ramp: float, count: int = 4096) -> tuple[Array, Array, Array]:
    value = fft.irfft(np.square(np.abs(fft.rfft(_rise(count, ramp), 2 * count))))[:count]
    value /= value[0]
    slope = np.gradient(value) * count
    return value, slope, np.gradient(slope) * count


def _rise(count: int, ramp: float) -> Array:
    """Return one axis of the window at `count` samples."""
    place = (np.arange(count) + 0.5) / count
    return np.sin(0.5 * math.pi * np.minimum(np.minimum(place, 1 - place) / ramp, 1))


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
        Of the tiles; None for a spectrum that no taper has blurred.
    """

    amplitude: Array
    pixel_size: float
    tiles: int = 1
    taper: Taper | None = None

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


def mean_spectrum(image: Array, pixel_size: float, *, window: int = 512, spectral_pixel: float = 0.0, power: bool = False) -> Spectrum:
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
    power
        Average powers all the same; the result is the root of their mean.

    Raises
    ------
    ValueError
        For an image that is not finite, too small (32 px), or without variance.
    """
    _check(image)
    tile, kept = tile_size((image.shape[0], image.shape[1]), pixel_size, window, spectral_pixel)
    places = [[(start, tile) for start in _starts(length, tile)] for length in image.shape]
    tiles = (_flattened(part) for part in _cut(image, *places))
    return _average(tiles, Taper(tile * pixel_size, tile * pixel_size, 0.5), tile, kept, pixel_size, power)


def tile_spectra(image: Array, pixel_size: float, *, window: int = 512, spectral_pixel: float = 0.0) -> Iterator[Spectrum]:
    """Yield the amplitude spectrum of each of the tiles of `mean_spectrum` that do not overlap, by rows; empty ones are left out."""
    _check(image)
    tile, kept = tile_size((image.shape[0], image.shape[1]), pixel_size, window, spectral_pixel)
    places = [[(at * tile + (length % tile) // 2, tile) for at in range(length // tile)] for length in image.shape]
    for part in _cut(image, *places):
        if (flat := _flattened(part)) is not None:
            yield _average([flat], Taper(tile * pixel_size, tile * pixel_size, 0.5), tile, kept, pixel_size, power=False)


def fine_spectrum(image: Array, pixel_size: float, *, spectral_pixel: float = 0.0, power: bool = False) -> Spectrum:
    """Average the amplitude spectra of tiles as large as `LARGEST` allows; of most images, return the spectrum of the whole.

    A short ramp at the border loses less of an image than the taper of small tiles, which meet there only once, and no ring is too fine
    for a large tile: standard errors are a quarter smaller than those of `mean_spectrum`. What a large tile would let rule, a
    gradient, the edge of carbon, gold, is levelled before: every place loses the mean of its `NEIGHBOURHOOD`, and is divided by its
    deviation. Arguments, errors and result as of `mean_spectrum`; tiles that are not square are padded.
    """
    _check(image)
    places = [_meeting(length) for length in image.shape]
    height, width = (axis[0][1] for axis in places)
    side = 2 * fft.next_fast_len((max(height, width) + 1) // 2, real=True)
    kept = 2 * round(side / max(1.0, spectral_pixel / pixel_size) / 2)
    taper = Taper(height * pixel_size, width * pixel_size, MEETING, side**2 / (height * width))
    reach = max(8, min(round(NEIGHBOURHOOD / pixel_size), min(height, width) // 2))
    return _average((_levelled(part, reach) for part in _cut(image, *places)), taper, side, kept, pixel_size, power)


def _check(image: Array) -> None:
    if min(image.shape) < 32:
        raise ValueError(f"image of {image.shape[1]} x {image.shape[0]} px: at least 32 px a side are needed for a spectrum")


def _cut(image: Array, down: list[tuple[int, int]], across: list[tuple[int, int]]) -> Iterator[NDArray[np.float32]]:
    """Yield the tiles whose starts and sides are given, refusing values that are not finite."""
    for y, height in down:
        rows = np.asarray(image[y : y + height], dtype=np.float32)
        if not np.isfinite(rows).all():
            raise ValueError(f"values that are not finite in rows {y} to {y + height - 1}")
        for x, width in across:
            yield rows[:, x : x + width]


def _average(tiles: Iterable[NDArray[np.float32] | None], taper: Taper, side: int, kept: int, pixel_size: float, power: bool) -> Spectrum:
    """Average the tapered tiles' amplitudes, each of unit mean, or their powers, out of transforms `side` px wide of which `kept` rows are kept."""
    high, low = (kept + 1) // 2, kept // 2
    total = np.zeros((kept, kept // 2 + 1))
    count = 0
    for tile in tiles:
        if tile is None:
            continue
        down, across = (_rise(length, taper.ramp).astype(np.float32) for length in tile.shape)
        whole = fft.rfft2(tile * down[:, None] * across, (side, side))
        amplitude = np.abs(np.concatenate([whole[:high, : kept // 2 + 1], whole[side - low :, : kept // 2 + 1]]))
        amplitude[0, 0] = 0.0
        amplitude *= np.float32(1 / amplitude.mean(dtype=np.float64))
        total += np.square(amplitude) if power else amplitude
        count += 1
    if count == 0:
        raise ValueError("no variance in the image")
    mean = total / count
    return Spectrum(np.sqrt(mean) if power else mean, side * pixel_size / kept, count, taper)


def without_spikes(spectrum: Spectrum) -> Spectrum:
    """Replace amplitudes that stand out by their surroundings' geometric mean: crystals, periodic noise of the detector.

    They do above three times that mean over the circles within a sixtieth of the window, some way beyond any Thon ring, and further
    for the few tiles whose noise alone reaches there.
    """
    limit = max(3.0, 6.0 / math.sqrt(spectrum.tiles))
    fy, fx = spectrum.frequencies()
    circle = np.rint(np.hypot(fy, fx) / spectrum.step).astype(np.intp)
    logarithm = np.log(np.maximum(spectrum.amplitude, 1e-12 * spectrum.amplitude.max()))
    around = np.ones(2 * (spectrum.window // 60) + 1)
    total, count = (np.convolve(np.bincount(circle.ravel(), weight), around, "same") for weight in (logarithm.ravel(), None))
    typical = np.exp(total / np.maximum(count, 1))[circle]
    return replace(spectrum, amplitude=np.where(spectrum.amplitude > limit * typical, typical, spectrum.amplitude))


def ice_ratio(spectrum: Spectrum) -> float:
    """Return the mean power between 4.0 and 3.6 Å, where crystalline ice diffracts, over that between 4.4 and 4.0 Å; NaN beyond Nyquist."""
    if spectrum.pixel_size > ICE_PIXEL:
        return math.nan
    fy, fx = spectrum.frequencies()
    radius, power = np.hypot(fy, fx), np.square(spectrum.amplitude)
    inner, outer = ((radius >= 1 / coarse) & (radius < 1 / fine) for coarse, fine in ((4.4, 4.0), (4.0, 3.6)))
    return float(power[outer].mean() / max(float(power[inner].mean()), 1e-30))


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin that overlap by at least half and reach both borders."""
    count = math.ceil((length - tile) / (tile / 2)) + 1
    return [round(start) for start in np.linspace(0, length - tile, count)]


def _meeting(length: int) -> list[tuple[int, int]]:
    """Return start and side of the fewest tiles of equal side, none above `LARGEST`, that overlap by their ramps: their squares add up to one."""
    count = max(1, math.ceil((length / LARGEST - MEETING) / (1 - MEETING)))
    side = math.ceil(length / (count - (count - 1) * MEETING))
    return [(round(start), side) for start in np.linspace(0, length - side, count)]


def _levelled(tile: NDArray[np.float32], reach: int) -> NDArray[np.float32] | None:
    """Subtract the mean around every pixel and divide by the deviation there, clipping at 5 σ; None for a tile that does not vary."""
    flat = tile - uniform_filter(tile, reach)
    typical = math.sqrt(float(np.median(uniform_filter(np.square(flat), reach)[:: reach // 4, :: reach // 4])))
    if typical <= 1e-6 * max(abs(float(tile.mean(dtype=np.float64))), 1e-30):
        return None
    np.clip(flat, -5 * typical, 5 * typical, out=flat)
    deviation = np.sqrt(uniform_filter(np.square(flat), reach))
    return flat / np.maximum(deviation, 0.25 * typical)


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
