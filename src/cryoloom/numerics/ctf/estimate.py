"""Defocus, astigmatism and phase shift of a micrograph from its Thon rings, with a judgement of the fit.

The course is CTFFIND's (Mindell & Grigorieff, J. Struct. Biol. 142:334, 2003; Rohou & Grigorieff, J. Struct. Biol. 192:216, 2015):
amplitude spectrum, background, exhaustive search, local refinement, equi-phase averages. The fit is to the spectrum of the whole
micrograph, which has lost nothing to the tapers of small tiles; their average is what the fit is judged by. The refinement models background and
decay of the rings instead of filtering them away, so its standard errors can be believed, and are near the least that are possible.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from cryoloom.numerics.ctf.refine import refine_ctf
from cryoloom.numerics.ctf.resolution import Curves, fit_curves
from cryoloom.numerics.ctf.rings import Astigmatic, Cells, Optics, band_pixels, gather
from cryoloom.numerics.ctf.search import search_defocus
from cryoloom.numerics.ctf.spectrum import Array, Spectrum, fine_spectrum, mean_spectrum, without_spikes

BACKGROUND = 5
"""Splines of the background over the band."""

USABLE = 0.86
"""Part of Nyquist's frequency that is fitted: beyond it interpolation of moved frames has damped the spectrum along x and y."""

LEAST_GAIN, CLEAR_GAIN = 20.0, 30.0
"""Log-likelihood that rings must gain to be believed, and to tell how far a fit holds: of 150 spectra of noise none gained 15."""

LEAST_SCORE = 0.02
"""Correlation below which a fit is not to be believed, whatever its gain."""


@dataclass(frozen=True)
class Settings:
    """What to search, and in which band. Resolutions, defoci and astigmatism in Å, phase shifts in radians.

    Attributes
    ----------
    low_res, high_res
        Band of the fit; the fine end is clamped to what the spectrum holds.
    min_defocus, max_defocus, defocus_step
        Means searched; the step is refined where rings would slip between nodes.
    astigmatism
        Expected ``U - V``, a soft restraint; zero or negative for none.
    plates
        Phase shifts searched; None for no phase plate.
    window
        Rows of the averaged spectrum by which the fit is judged.
    spectral_pixel
        Å/px down to which the spectrum is kept.
    exhaustive
        Search astigmatism and its angle along with the mean, rather than begin without astigmatism.
    """

    low_res: float = 30.0
    high_res: float = 4.0
    min_defocus: float = 5000.0
    max_defocus: float = 50000.0
    defocus_step: float = 100.0
    astigmatism: float = 400.0
    plates: tuple[float, ...] | None = None
    window: int = 512
    spectral_pixel: float = 1.4
    exhaustive: bool = True


@dataclass(frozen=True)
class Estimate:
    """A fitted CTF and how far to trust it.

    Attributes
    ----------
    ctf
        Defocus and phase shift.
    error
        Standard errors of ``(mean, a, b, plate)``, Å and radians.
    score
        Correlation of amplitude spectrum and ``|CTF|`` over the pixels of the band.
    gain
        Log-likelihood gained over no rings at all.
    curves, spectrum
        What the fit is judged by, and to which resolution it holds.
    doubts
        Why the fit should not be used; empty for a good one.
    """

    ctf: Astigmatic
    error: Array
    score: float
    gain: float
    curves: Curves
    spectrum: Spectrum
    doubts: tuple[str, ...]

    @property
    def faint(self) -> bool:
        """Return whether the rings are too weak to tell how far the fit holds; the resolution is then the coarse end of the band."""
        return self.gain < CLEAR_GAIN


def estimate_ctf(image: Array, pixel_size: float, optics: Optics, settings: Settings) -> Estimate:
    """Estimate the CTF of a micrograph ``(h, w)`` at `pixel_size` Å/px.

    Raises
    ------
    ValueError
        For an image without a usable spectrum, or a band too narrow for it.
    """
    spectrum = mean_spectrum(image, pixel_size, window=settings.window, spectral_pixel=settings.spectral_pixel)
    return estimate_from_spectrum(spectrum, optics, settings, fine=fine_spectrum(image, pixel_size, spectral_pixel=settings.spectral_pixel))


def estimate_from_spectrum(spectrum: Spectrum, optics: Optics, settings: Settings, *, fine: Spectrum | None = None) -> Estimate:
    """Estimate the CTF behind an amplitude spectrum, from the `fine` one of the same image if there is one."""
    measured, spectrum = spectrum, without_spikes(spectrum)
    low, high = 1 / settings.low_res, min(1 / settings.high_res, USABLE * 0.5 / spectrum.pixel_size)
    # Lines of detector and readout lie along the axes; a fine spectrum confines them.
    cross = max(2, spectrum.window // 50)
    if fine is None:
        cells = gather(spectrum, low, high, cross=cross, smoothness=BACKGROUND)
    else:
        cells = gather(without_spikes(fine), low, high, cross=max(4, fine.window // 200), smoothness=BACKGROUND)
    landscape = search_defocus(
        cells,
        optics,
        settings.min_defocus,
        settings.max_defocus,
        step=settings.defocus_step,
        astigmatisms=np.arange(0.0, 3001.0, 500.0) if settings.exhaustive else np.zeros(1),
        plates=np.zeros(1) if settings.plates is None else np.asarray(settings.plates),
        smoothness=BACKGROUND,
        tolerance=settings.astigmatism,
    )
    refined = refine_ctf(
        cells,
        optics,
        landscape.best,
        background=BACKGROUND,
        tolerance=settings.astigmatism,
        with_plate=settings.plates is not None,
    )
    ctf = _within_plates(refined.ctf, settings.plates)
    score = _correlation(spectrum, cells, ctf, optics, low, high, cross)
    curves = fit_curves(spectrum, ctf, optics, settings.low_res, cross=cross)
    if refined.gain < CLEAR_GAIN:
        curves = replace(curves, resolution=settings.low_res)
    doubts = _doubts(ctf, refined.gain, score, curves, settings, spectrum)
    return Estimate(ctf, refined.error, score, refined.gain, curves, measured, doubts)


def _within_plates(ctf: Astigmatic, plates: tuple[float, ...] | None) -> Astigmatic:
    """Return the same rings with the plate's phase within a quarter turn of the middle of the range."""
    if plates is None:
        return ctf
    middle = 0.5 * (plates[0] + plates[-1])
    return Astigmatic(ctf.mean, ctf.a, ctf.b, middle + (ctf.plate - middle + math.pi / 2) % math.pi - math.pi / 2)


def _correlation(spectrum: Spectrum, cells: Cells, ctf: Astigmatic, optics: Optics, low: float, high: float, cross: int) -> float:
    """Return Pearson's correlation of whitened amplitude and |CTF|."""
    chosen, radius, azimuth = band_pixels(spectrum, low, high, cross)
    amplitude = spectrum.amplitude[chosen] / np.sqrt(np.interp(radius, cells.rings, cells.background))
    model = np.abs(np.sin(optics.phase(radius**2, ctf.along(azimuth), ctf.plate)))
    amplitude -= amplitude.mean()
    model -= model.mean()
    norm = math.sqrt(float(amplitude @ amplitude) * float(model @ model))
    return float(amplitude @ model) / max(norm, 1e-30)


def _doubts(ctf: Astigmatic, gain: float, score: float, curves: Curves, settings: Settings, spectrum: Spectrum) -> tuple[str, ...]:
    doubts = []
    coarsest = max(15.0, 4 * spectrum.pixel_size)
    if gain < LEAST_GAIN or score < LEAST_SCORE:
        doubts.append(f"no Thon rings found: score {score:.3f}")
    if gain >= CLEAR_GAIN and curves.resolution > coarsest:
        doubts.append(f"the fit holds only to {curves.resolution:.1f} Å")
    slack = 2 * settings.defocus_step
    if not settings.min_defocus - slack <= ctf.mean <= settings.max_defocus + slack:
        doubts.append(f"the defocus of {ctf.mean:.0f} Å lies outside the range searched")
    return tuple(doubts)
