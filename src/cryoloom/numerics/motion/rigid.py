"""Motion of whole frames: search, maximum of the likelihood, smoothing by the evidence."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryoloom.numerics.motion.likelihood import common_power, law, pair_sums, pair_weights, precision, static_share, static_slope
from cryoloom.numerics.motion.search import Found, search
from cryoloom.numerics.motion.spectra import Spectra
from cryoloom.numerics.motion.trajectory import smooth

SURE = 5.0  # confidence of a search below which a movie may be nothing but noise (`search.Found`)
SETTLED = 0.01  # px
ITERATIONS = 12
INFORMATIVE = 0.88  # of what frames tell of their places lies below `Rigid.limit`


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
    refused
        Whether a motion was found and is not claimed, for frames moved back by it have less in common than as recorded.
    static, smeared
        Power of a static pattern in each ring of the spectra, before and after moving frames back (`static_share`).
    limit
        Frequency in cycles/px below which most of what frames tell lies.
    """

    motion: Tensor
    error: float
    confidence: float
    static: Tensor
    smeared: Tensor
    limit: float = 0.5
    refused: bool = False


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
        return still(spectra, found.confidence)
    return _climb(spectra, found, limit)


def still(spectra: Spectra, confidence: float, *, refused: bool = False) -> Rigid:
    """Return that nothing is known to move."""
    none = torch.zeros_like(spectra.count)
    return Rigid(torch.zeros(len(spectra.values), 2, dtype=torch.float64), math.nan, confidence, none, none, refused=refused)


def _climb(spectra: Spectra, found: Found, seen: float) -> Rigid:
    """Go from where the search ended to the maximum of the likelihood; refuse what is less likely than no motion.

    Frequencies above `seen` come in as the error allows, for a maximum is only some tenths of their wavelength wide. The weights of the rings
    are those of the place before, so that one pass over the spectra tells both the slope and what the next weights need.
    """
    measured = found.motion.to(torch.float64)
    unmoved = common_power(spectra, torch.zeros_like(measured))
    moved = common_power(spectra, measured)
    pairs = pair_weights(spectra.fade) * spectra.count.clamp_min(1)
    for step in range(ITERATIONS):
        share, static, smeared = static_share(spectra, measured, moved, unmoved)
        whole = law(spectra.count, spectra.radius, spectra.fade, share, static)
        rings = replace(whole, weight=whole.weight * (whole.radius <= seen))
        curvature = precision(rings, spectra.fade)
        common, gradient = pair_sums(spectra.values, spectra.band, spectra.ring, measured, rings.weight)
        moved = common / pairs
        gradient -= static_slope(rings, spectra.fade, measured)
        result = smooth((curvature @ measured + gradient)[None], curvature)
        error = float(result.spread.square().mean().sqrt())
        before, measured = measured, result.motion[0] - result.motion[0].mean(0)
        settled = step > 0 and float((measured - before).abs().max()) < SETTLED
        wider = max(seen, 1 / (2 * math.pi * max(error, 1e-9)))
        if settled and wider <= max(seen, spectra.band.reach):
            break
        seen = wider
    standing = (spectra.fade.sum(0).square() - spectra.fade.square().sum(0)) / pair_weights(spectra.fade) * static
    if float((whole.weight * pairs * (moved - smeared - unmoved + standing)).sum()) < 0:
        return still(spectra, found.confidence, refused=True)
    worth = (rings.radius.square() * rings.count * rings.weight * rings.signal).cumsum(0)
    limit = float(rings.radius[int((worth < INFORMATIVE * worth[-1]).sum())])
    return Rigid(result.motion[0], error, found.confidence, static, smeared, limit)
