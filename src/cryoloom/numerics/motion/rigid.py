"""Motion of whole frames: search, maximum of the likelihood, smoothing by the evidence."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryoloom.numerics.motion.likelihood import common_power, law, pair_sums, precision, static_share, static_slope
from cryoloom.numerics.motion.search import search
from cryoloom.numerics.motion.spectra import Spectra
from cryoloom.numerics.motion.trajectory import smooth

SURE = 5.0  # confidence of a search below which a movie may be nothing but noise (`search.Found`)
SETTLED = 0.005  # px


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


def estimate_rigid(spectra: Spectra, limit: float, reach: float, *, grouping: Tensor | None = None, iterations: int = 8) -> Rigid:
    """Estimate the motion of whole frames.

    Frequencies above `limit` come in as the error allows, for a maximum of the likelihood is only some tenths of their wavelength wide.

    Parameters
    ----------
    spectra
        Of all frames, or of groups of them.
    limit
        Highest frequency of the search, cycles/px.
    reach
        Largest displacement from the mean that is searched, px.
    grouping
        ``(groups, n)``: which frames each of the `spectra` averages; None: one each.
    """
    members = torch.eye(len(spectra.values), dtype=torch.float64) if grouping is None else grouping
    found = search(spectra, limit, reach)
    if found.confidence < SURE:
        still, none = torch.zeros(members.shape[1], 2, dtype=torch.float64), torch.zeros_like(spectra.count)
        return Rigid(still, math.nan, found.confidence, none, none)
    measured = found.motion.to(torch.float64)
    unmoved = common_power(spectra, torch.zeros_like(measured))
    seen = limit
    for _ in range(iterations):
        share, static, smeared = static_share(spectra, measured, common_power(spectra, measured), unmoved)
        rings = law(spectra.count, spectra.radius, spectra.fade, share, static)
        rings = replace(rings, weight=rings.weight * (rings.radius <= seen))
        curvature = precision(rings, spectra.fade)
        _, gradient = pair_sums(spectra.values, spectra.band, spectra.ring, measured, rings.weight)
        gradient -= static_slope(rings, spectra.fade, measured)
        result = smooth((curvature @ measured + gradient)[None], curvature, members)
        moved = members @ result.motion[0]
        moved = moved - moved.mean(0)
        change = float((moved - measured).abs().max())
        measured = moved
        error = float(result.spread.square().mean().sqrt())
        before, seen = seen, max(seen, 1 / (2 * math.pi * max(error, 1e-9)))
        if change < SETTLED and seen <= max(before, spectra.band.reach):
            break
    return Rigid(result.motion[0], error, found.confidence, static, smeared)
