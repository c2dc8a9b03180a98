"""What a fitted micrograph is worth: the criteria of Sorzano et al., J. Struct. Biol. 160:249 (2007), and the limits they are held to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cryoloom.numerics.ctf.enhance import AZIMUTHS, Unrolled, enhanced, radius_of_phase, unrolled
from cryoloom.numerics.ctf.estimate import Estimate
from cryoloom.numerics.ctf.rings import Astigmatic, Optics
from cryoloom.numerics.ctf.spectrum import Array
from cryoloom.numerics.ctf.tiles import TileProfiles

LEAST_ENVELOPE = 0.1
"""Part of the envelope's greatest value at which the envelope counts as ended."""

HALF_ZERO = math.sqrt(2)
"""Of the radii of the first zero where one defocus is twice the other.

The field's limit of 1.1 is met by defoci a fifth apart, which close to focus is an astigmatism that harms nothing. What astigmatism harms
has a limit of its own, and whether the spectrum bears it out is seen in its correlation with itself along lines of equal phase.
"""


@dataclass(frozen=True)
class Limit:
    """Between which values of a criterion a micrograph is accepted, both included."""

    low: float = -math.inf
    high: float = math.inf

    def holds(self, value: float) -> bool:
        """Return whether a value is accepted; NaN, for what could not be measured, is."""
        return not (value < self.low or value > self.high)


LIMITS: Mapping[str, Limit] = {
    "ctf_first_zero": Limit(low=5.0),
    "ctf_first_zero_ratio": Limit(high=HALF_ZERO),
    "ctf_crest_ratio": Limit(high=10.0),
    "ctf_margin": Limit(low=1.0),
    "ctf_corr13": Limit(low=0.27),
    "ctf_envelope_resolution": Limit(high=20.0),
    "ctf_astigmatism_resolution": Limit(0.0, 6.5),
    "ctf_corr90": Limit(low=0.1),
    "ctf_iceness": Limit(high=1.03),
}
"""Without a phase plate."""

PLATE_LIMITS: Mapping[str, Limit] = {
    "ctf_first_zero": Limit(low=5.0),
    "ctf_first_zero_ratio": Limit(high=HALF_ZERO),
    "ctf_crest_ratio": Limit(high=50.0),
    "ctf_envelope_resolution": Limit(high=20.0),
    "ctf_astigmatism_resolution": Limit(0.0, 25.0),
    "phase_shift": Limit(high=140.0),
}
"""With one."""


def criteria(found: Estimate, optics: Optics, tiles: TileProfiles, image: Array) -> dict[str, float]:
    """Return the criteria of a fit by the names of their columns; NaN for what the spectrum does not show."""
    picture, zero = enhanced(found.spectrum), radius_of_phase(found.ctf, optics, 2)
    lines = unrolled(picture, found.spectrum.pixel_size, found.ctf, optics)
    turned = Unrolled(*(np.roll(each, AZIMUTHS // 2, axis=1) for each in (lines.values, lines.shown)))
    both = lines.shown & turned.shown
    return {
        "ctf_first_zero": float(np.mean(1 / zero)),
        "ctf_first_zero_ratio": float(zero.max() / zero.min()),
        **_first_crest(lines),
        "ctf_corr13": _correlation(lines.values[lines.shown], lines.rings[lines.shown]),
        **_envelope(found),
        "ctf_astigmatism_resolution": math.sqrt(optics.wavelength * found.ctf.astigmatism),
        "ctf_corr90": _correlation(lines.values[both], turned.values[both]),
        "ctf_misfit": found.refined.misfit,
        "ctf_psd_sum": _profile_sum(picture),
        "ctf_psd_spread": tiles.spread,
        "ctf_psd_component": tiles.component,
        "ctf_psd_runs": tiles.runs,
        "ctf_normality": normality(image),
    }


def failing(values: Mapping[str, float | None], *, plate: bool) -> list[str]:
    """Return in words which of the criteria are beyond their limits."""
    told = []
    for name, limit in (PLATE_LIMITS if plate else LIMITS).items():
        value = values.get(name)
        if value is not None and not limit.holds(value):
            bound = f"below {limit.low:g}" if value < limit.low else f"above {limit.high:g}"
            told.append(f"{name} {value:.3g} is {bound}")
    return told


def zero_disagreement(one: Astigmatic, two: Astigmatic, optics: Optics) -> float:
    """Return by how much, in Å and at most over azimuth, two CTFs differ in their first zero."""
    return float(np.max(np.abs(1 / radius_of_phase(one, optics, 2) - 1 / radius_of_phase(two, optics, 2))))


def normality(image: Array) -> float:
    """Return the symmetric Kullback-Leibler distance of the histogram (400 bins, or one for every value) from the normal one of its moments."""
    values = np.asarray(image[::3, ::3], dtype=np.float64).ravel()
    mean, deviation = float(values.mean()), max(float(values.std()), 1e-30)
    width = max(
        10 * deviation / 400, float(np.diff(np.unique(values[:20000])).min(initial=np.inf)) if values[0] == np.rint(values[0]) else 0.0
    )
    count = max(round(10 * deviation / width), 2)
    low = (np.floor((mean - 5 * deviation) / width) - 0.5) * width
    counts, edges = np.histogram(values, bins=count, range=(low, low + count * width))
    normal = np.exp(-0.5 * np.square((0.5 * (edges[1:] + edges[:-1]) - mean) / deviation))
    one, two = ((each + 1e-6 * each.sum()) / each.sum() for each in (counts.astype(np.float64), normal))
    return float(np.sum((one - two) * np.log(one / two)))


def _first_crest(lines: Unrolled) -> dict[str, float]:
    """Return how uneven the first crest is beside the zeros around it, and how high above them, in deviations along a zero.

    Both zeros, so that a background that falls steeply, as it does close to focus, neither hides the crest nor feigns one.
    """
    (inner, one), (crest, two), (outer, three) = (lines.line(quarters) for quarters in (0, 1, 2))
    shown = one & two & three
    if not shown.any():
        return {"ctf_crest_ratio": math.nan, "ctf_margin": math.nan}
    inner, crest, outer = inner[shown], crest[shown], outer[shown]
    spread = max(math.sqrt(0.5 * float(inner.var() + outer.var())), 1e-9)
    return {
        "ctf_crest_ratio": float(crest.std()) / spread,
        "ctf_margin": float((crest - 0.5 * (inner + outer)).mean()) / spread,
    }


def _correlation(one: Array, two: Array) -> float:
    if len(one) < 100:
        return math.nan
    one, two = one - one.mean(), two - two.mean()
    return float(one @ two) / max(math.sqrt(float(one @ one) * float(two @ two)), 1e-30)


def _envelope(found: Estimate) -> dict[str, float]:
    """Return where the envelope has fallen to a tenth (Å), its square at the end of the band over that at the beginning, and its B-factor."""
    rings, power = found.cells.rings, np.maximum(found.refined.signal * found.cells.background, 0)
    amplitude = np.sqrt(power / max(float(power.max()), 1e-30))
    below = np.flatnonzero((amplitude < LEAST_ENVELOPE) & (np.arange(len(rings)) > int(amplitude.argmax())))
    seen = amplitude >= LEAST_ENVELOPE
    slope = float(np.polyfit(rings[seen] ** 2, np.log(power[seen]), 1)[0]) if seen.sum() > 8 else math.nan
    return {
        "ctf_envelope_resolution": float(1 / rings[below[0] if len(below) else -1]),
        "ctf_damping": float(power[-1] / max(float(power[0]), 1e-30)) if power[0] > 0 else math.nan,
        "ctf_b_factor": -2 * slope,
    }


def _profile_sum(picture: Array) -> float:
    """Return the sum over circles of the enhanced spectrum's mean, scaled to 0 to 1."""
    size = picture.shape[0]
    circle = np.rint(np.hypot(*np.ogrid[-(size // 2) : size - size // 2, -(size // 2) : size - size // 2])).astype(np.intp)
    inside = picture != 0
    count = np.bincount(circle[inside])
    profile = (np.bincount(circle[inside], picture[inside]) / np.maximum(count, 1))[count > 0]
    return float(((profile - profile.min()) / max(float(np.ptp(profile)), 1e-30)).sum())
