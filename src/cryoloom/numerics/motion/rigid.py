"""Motion of whole frames: search, maximum of the likelihood, smoothing by the evidence."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryoloom.numerics.motion.likelihood import common_power, law, pair_sums, precision, static_share, static_slope
from cryoloom.numerics.motion.search import Found, search
from cryoloom.numerics.motion.spectra import Spectra
from cryoloom.numerics.motion.trajectory import smooth

SURE = 5.0  # confidence of a search below which a movie may be nothing but noise (`search.Found`)
SETTLED = 0.005  # px
ITERATIONS = 8


@dataclass(frozen=True)
class Rigid:
    """Motion of whole frames.

    Attributes
    ----------
    motion
        Displacement of the content of each frame, zero for the first, float64 ``(n, 2)``, (x, y) in px.
    error
        Expected standard deviation of a displacement, px, per axis, the mean over frames removed.
    confidence
        Log odds that the frames' correlations are not noise (`search.Found`); below `SURE`, no motion is claimed.
    static, smeared
        Power of a static pattern in each ring of the spectra, before and after moving frames back (`static_share`).
    """

    motion: Tensor
    error: float
    confidence: float
    static: Tensor
    smeared: Tensor


def estimate_rigid(spectra: Spectra, limit: float, reach: float, start: Tensor | None = None) -> Rigid:
    """Estimate the motion of whole frames.

    Parameters
    ----------
    spectra
        Of all frames.
    limit
        Highest frequency of the search, cycles/px.
    reach
        Largest displacement from the mean that is searched, px.
    start
        Displacements ``(n, 2)`` of an earlier alignment, which are tried too.
    """
    found = search(spectra, limit, reach, start)
    if found.confidence < SURE:
        still, none = torch.zeros(len(spectra.values), 2, dtype=torch.float64), torch.zeros_like(spectra.count)
        return Rigid(still, math.nan, found.confidence, none, none)
    return _climb(spectra, found, limit)


def _climb(spectra: Spectra, found: Found, seen: float) -> Rigid:
    """Go from where the search ended to the maximum of the likelihood.

    Frequencies above `seen` come in as the error allows, for a maximum is only some tenths of their wavelength wide.
    """
    measured = found.motion.to(torch.float64)
    unmoved = common_power(spectra, torch.zeros_like(measured))
    for _ in range(ITERATIONS):
        share, static, smeared = static_share(spectra, measured, common_power(spectra, measured), unmoved)
        rings = law(spectra.count, spectra.radius, spectra.fade, share, static)
        rings = replace(rings, weight=rings.weight * (rings.radius <= seen))
        curvature = precision(rings, spectra.fade)
        _, gradient = pair_sums(spectra.values, spectra.band, spectra.ring, measured, rings.weight)
        gradient -= static_slope(rings, spectra.fade, measured)
        result = smooth((curvature @ measured + gradient)[None], curvature)
        error = float(result.spread.square().mean().sqrt())
        before, measured = measured, result.motion[0] - result.motion[0].mean(0)
        settled = float((measured - before).abs().max()) < SETTLED
        wider = max(seen, 1 / (2 * math.pi * max(error, 1e-9)))
        if settled and wider <= max(seen, spectra.band.reach):
            break
        seen = wider
    return Rigid(result.motion[0], error, found.confidence, static, smeared)
