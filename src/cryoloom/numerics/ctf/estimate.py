"""Defocus, astigmatism and phase shift of a micrograph from its Thon rings, with a judgement of the fit.

The course is CTFFIND's (Mindell & Grigorieff, J. Struct. Biol. 142:334, 2003; Rohou & Grigorieff, J. Struct. Biol. 192:216, 2015):
amplitude spectrum, background, exhaustive search, local refinement, equi-phase averages. The fit is to the spectrum of the whole
micrograph, which has lost nothing to the tapers of small tiles; their average is what the fit is scored and shown by. The refinement models background and
decay of the rings instead of filtering them away, so its standard errors can be believed, and are near the least that are possible.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from cryoloom.numerics.ctf.refine import Refined, refine_ctf
from cryoloom.numerics.ctf.resolution import Curves, fit_curves, rings_end
from cryoloom.numerics.ctf.rings import Astigmatic, Cells, Optics, band_pixels, gather
from cryoloom.numerics.ctf.search import search_defocus, shapes_of
from cryoloom.numerics.ctf.spectrum import ICE_PIXEL, Array, Spectrum, fine_spectrum, ice_ratio, mean_spectrum, without_spikes

BACKGROUND = 5
"""Splines of the background over the band."""

USABLE, USABLE_ICE = 0.86, 0.93
"""Part of Nyquist's frequency that is fitted: beyond it interpolation of moved frames has damped the spectrum along x and y. The other where
the ring of ice is in the spectrum, which carries the strongest rings there are and must not be cut through."""

LEAST_GAIN, CLEAR_GAIN = 20.0, 30.0
"""Log-likelihood that rings must gain to be believed, and to tell how far a fit holds: of 150 spectra of noise none gained 15."""

LEAST_SCORE = 0.02
"""Correlation below which a fit is not to be believed, whatever its gain."""

AROUND_PRIOR = 0.1
"""Part of the mean defocus by which the search goes to either side of one that was known before."""

WORSE = 0.95
"""Part of the score of the CTF known before that a new one must reach to take its place."""


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
    known
        ``U - V`` in Å and the angle of U in degrees, which are then not fitted; None to fit them.
    plates
        Phase shifts searched; None for no phase plate.
    window
        Rows of the averaged spectrum by which the fit is scored and shown; of a larger one where rings are narrower than its pixels can show.
    spectral_pixel
        Å/px down to which the spectrum is kept.
    power
        Average powers over tiles rather than amplitudes.
    whole
        Fit the spectrum of the whole micrograph, and not the average over the small tiles by which it is scored.
    exhaustive
        Search astigmatism and its angle along with the mean, rather than begin without astigmatism.
    optimise
        Fit at all; otherwise the CTF known before is only judged.
    """

    low_res: float = 30.0
    high_res: float = 3.4
    min_defocus: float = 5000.0
    max_defocus: float = 50000.0
    defocus_step: float = 100.0
    astigmatism: float = 400.0
    known: tuple[float, float] | None = None
    plates: tuple[float, ...] | None = None
    window: int = 512
    spectral_pixel: float = 1.4
    power: bool = False
    whole: bool = True
    exhaustive: bool = True
    optimise: bool = True


@dataclass(frozen=True)
class Estimate:
    """A fitted CTF and how far to trust it.

    Attributes
    ----------
    ctf
        Defocus and phase shift.
    refined
        The fit it comes from: standard errors, likelihood, background and envelope.
    cells
        What was fitted.
    score
        Correlation of amplitude spectrum and ``|CTF|`` over the pixels of the band.
    curves, spectrum
        What the fit looks like, over small tiles.
    resolution
        Å to which the fit holds; the coarse end of the band where no rings tell.
    rings
        Rings between the coarse end of the band and the end of the fit.
    ice
        Power between 4.0 and 3.6 Å over that between 4.4 and 4.0 Å; NaN for a spectrum that ends before.
    doubts
        Why the fit should not be used; empty for a good one.
    prior_kept
        The CTF known before describes the spectrum better than the fit, and stays.
    """

    ctf: Astigmatic
    refined: Refined
    cells: Cells
    score: float
    curves: Curves
    resolution: float
    spectrum: Spectrum
    rings: float
    ice: float
    doubts: tuple[str, ...]
    prior_kept: bool = False

    @property
    def error(self) -> Array:
        """Return the standard errors of ``(mean, a, b, plate)``, Å and radians."""
        return self.refined.error

    @property
    def gain(self) -> float:
        """Return the log-likelihood gained over no rings at all."""
        return self.refined.gain

    @property
    def faint(self) -> bool:
        """Return whether the rings are too weak to tell how far the fit holds; the resolution is then the coarse end of the band."""
        return self.gain < CLEAR_GAIN


def estimate_ctf(image: Array, pixel_size: float, optics: Optics, settings: Settings, *, prior: Astigmatic | None = None) -> Estimate:
    """Estimate the CTF of a micrograph ``(h, w)`` at `pixel_size` Å/px, near a CTF known before if there is one.

    Raises
    ------
    ValueError
        For an image without a usable spectrum, or a band too narrow for it.
    """
    kept = {"spectral_pixel": settings.spectral_pixel, "power": settings.power}
    spectrum = mean_spectrum(image, pixel_size, window=settings.window, **kept)
    fine = fine_spectrum(image, pixel_size, **kept) if settings.whole else None
    found = estimate_from_spectrum(spectrum, optics, settings, fine=fine, prior=prior)
    if settings.whole and found.resolution < found.curves.aliased:
        found = _shown_closer(found, image, pixel_size, optics, settings)
    if math.isfinite(found.ice) or pixel_size > ICE_PIXEL:
        return found
    # The ring of ice is looked for in the image as it is, however far the spectrum was cut for the fit.
    return replace(found, ice=ice_ratio(mean_spectrum(image, pixel_size, window=256, spectral_pixel=1.4)))


def estimate_from_spectrum(
    spectrum: Spectrum, optics: Optics, settings: Settings, *, fine: Spectrum | None = None, prior: Astigmatic | None = None
) -> Estimate:
    """Estimate the CTF behind an amplitude spectrum, from the `fine` one of the same image if there is one, near `prior` if there is one."""
    measured, spectrum = spectrum, without_spikes(spectrum)
    usable = USABLE if spectrum.pixel_size > ICE_PIXEL else USABLE_ICE
    low, high = 1 / settings.low_res, min(1 / settings.high_res, usable * 0.5 / spectrum.pixel_size)
    # Lines of detector and readout lie along the axes; a fine spectrum confines them.
    cross = max(2, spectrum.window // 50)
    fitted, narrow = (spectrum, cross) if fine is None else (without_spikes(fine), max(4, fine.window // 200))
    cells = gather(fitted, low, high, cross=narrow, smoothness=BACKGROUND)
    starts = _starts(cells, optics, settings, prior)
    refined = _refined(cells, optics, settings, starts, optimise=settings.optimise or prior is None)
    ctf = _within_plates(refined.ctf, settings.plates)
    score = _correlation(spectrum, cells, ctf, optics, low, high, cross)
    prior_kept = prior is not None and score < WORSE * _correlation(spectrum, cells, prior, optics, low, high, cross)
    if prior is not None and prior_kept:
        refined = _refined(cells, optics, settings, [prior], optimise=False)
        ctf, score = prior, _correlation(spectrum, cells, prior, optics, low, high, cross)
    curves = fit_curves(spectrum, ctf, optics, settings.low_res, cross=cross)
    resolution = settings.low_res
    if refined.gain >= CLEAR_GAIN:
        whole = gather(fitted, low, 0.5 / spectrum.pixel_size, cross=narrow, smoothness=BACKGROUND)
        resolution = rings_end(whole, ctf, optics)
    doubts = _doubts(ctf, refined.gain, score, resolution, settings, spectrum)
    rings = _rings(ctf, optics, settings.low_res, resolution)
    return Estimate(ctf, refined, cells, score, curves, resolution, measured, rings, ice_ratio(measured), doubts, prior_kept)


def _shown_closer(found: Estimate, image: Array, pixel_size: float, optics: Optics, settings: Settings) -> Estimate:
    """Return the estimate with curves over tiles so large that the rings before the end of the fit have room in their spectrum, or as the image allows."""
    times = 2 ** math.ceil(math.log2(found.curves.aliased / found.resolution))
    larger = mean_spectrum(image, pixel_size, window=times * settings.window, spectral_pixel=settings.spectral_pixel, power=settings.power)
    curves = fit_curves(without_spikes(larger), found.ctf, optics, settings.low_res, cross=max(2, larger.window // 50))
    return replace(found, curves=curves)


def _rings(ctf: Astigmatic, optics: Optics, coarse: float, fine: float) -> float:
    """Return how many rings lie between two resolutions in Å."""
    ends = optics.phase(np.square([1 / coarse, 1 / fine]), ctf.mean, ctf.plate)
    return abs(float(ends[1] - ends[0])) / math.pi


def _starts(cells: Cells, optics: Optics, settings: Settings, prior: Astigmatic | None) -> list[Astigmatic]:
    """Return where to refine from: the best of the whole range, or of what lies around `prior`, and `prior` itself."""
    if prior is not None and not settings.optimise:
        return [prior]
    low, high = settings.min_defocus, settings.max_defocus
    plates = np.zeros(1) if settings.plates is None else np.asarray(settings.plates)
    if prior is not None:
        around = max(AROUND_PRIOR * abs(prior.mean), 5 * settings.defocus_step)
        low, high = prior.mean - around, prior.mean + around
        plates = np.array([prior.plate, *(plates if settings.plates else ())])
    searched = np.arange(0.0, 3001.0, 500.0) if settings.exhaustive and settings.known is None else np.zeros(1)
    landscape = search_defocus(
        cells,
        optics,
        low,
        high,
        step=settings.defocus_step,
        shapes=shapes_of(searched) if settings.known is None else [_shape(*settings.known)],
        plates=plates,
        smoothness=BACKGROUND,
        tolerance=settings.astigmatism if settings.known is None else 0.0,
    )
    return landscape.best if prior is None else [prior, *landscape.best]


def _shape(astigmatism: float, angle: float) -> tuple[float, float]:
    double = 2 * math.radians(angle)
    return 0.5 * astigmatism * math.cos(double), 0.5 * astigmatism * math.sin(double)


def _refined(cells: Cells, optics: Optics, settings: Settings, starts: list[Astigmatic], *, optimise: bool) -> Refined:
    return refine_ctf(
        cells,
        optics,
        starts,
        background=BACKGROUND,
        tolerance=settings.astigmatism if settings.known is None else 0.0,
        with_plate=optimise and settings.plates is not None,
        with_astigmatism=optimise and settings.known is None,
        with_defocus=optimise,
    )


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


def _doubts(ctf: Astigmatic, gain: float, score: float, resolution: float, settings: Settings, spectrum: Spectrum) -> tuple[str, ...]:
    doubts = []
    coarsest = max(15.0, 4 * spectrum.pixel_size)
    if gain < LEAST_GAIN or score < LEAST_SCORE:
        doubts.append(f"no Thon rings found: score {score:.3f}")
    if gain >= CLEAR_GAIN and resolution > coarsest:
        doubts.append(f"the fit holds only to {resolution:.1f} Å")
    slack = 2 * settings.defocus_step
    if not settings.min_defocus - slack <= ctf.mean <= settings.max_defocus + slack:
        doubts.append(f"the defocus of {ctf.mean:.0f} Å lies outside the range searched")
    return tuple(doubts)
