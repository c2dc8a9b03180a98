"""Blobs of a given size: where they are, how strong, and what tells particles from ice, gold, carbon edges and aggregates.

Matched filters of several sizes (the projection of a ball less the mean of its neighbourhood: a difference-of-Gaussians picker with the
particle's own profile; Voss et al. 2009, doi:10.1016/j.jsb.2009.01.004) and the local correlation with the middle one (Roseman 2003,
doi:10.1016/S0304-3991(02)00333-9). The filters work below the first zero of any usual CTF; weighting by it was tried and finds no more.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.picking.bank import SURROUND, Bank, noise_curvature
from cryoloom.numerics.picking.noise import chance_peak, noise_variance
from cryoloom.numerics.picking.peaks import find_peaks, refine_peaks
from cryoloom.numerics.picking.scene import Scene

Array = NDArray[np.float64]

FEATURES = ("log_strength", "correlation", "log_gradient", "log_elongation", "log_texture", "wide", "narrow")
"""Natural logarithm of the strength; local correlation with the filter; logarithms of the first and second angular harmonic over the
strength; logarithm of the fine detail over the noise's; responses of a filter 1.4 times wider and of one 0.6 times as wide over the strength."""

FAINTEST = 2.5
"""Blobs fainter than this many σ of the noise are not listed."""

CROWD = 0.45
"""Blobs of one list lie at least this many diameters apart."""


@dataclass(frozen=True)
class Blobs:
    """Candidates of one micrograph, strongest first.

    Attributes
    ----------
    x, y
        ``(n,)`` centre in px of the micrograph.
    strength
        ``(n,)`` response of the best filter in σ of the noise.
    features
        ``(n, k)``, see `FEATURES`.
    decoys
        ``(m, k)`` features of the blobs of the other sign, which no particle makes.
    chance
        Strength that noise alone is expected to exceed once in the micrograph.
    """

    x: Array
    y: Array
    strength: Array
    features: Array
    decoys: Array
    chance: float


def find_blobs(scene: Scene, *, smallest: float = 0.7, largest: float = 1.0, border: float = 0.3) -> Blobs:
    """List the blobs of `scene` between `smallest` and `largest` times the particle's diameter.

    Parameters
    ----------
    border
        Centres nearer than this many diameters to an edge are left out.
    """
    noise = noise_variance(scene.pixels, scene.diameter)
    if not noise > 0.0:
        none = np.zeros(0)
        return Blobs(none, none, none, np.zeros((0, len(FEATURES))), np.zeros((0, len(FEATURES))), FAINTEST)
    bank = Bank(scene.pixels / noise**0.5, scene.diameter)
    responses = torch.stack([bank.ball(float(size)) for size in np.linspace(smallest, largest, 3)])
    middle = 0.5 * (smallest + largest)
    measures = _Measures(
        correlation=responses[1] / bank.local_contrast(SURROUND * middle),
        gradient=bank.harmonic(1),
        elongation=bank.harmonic(2),
        texture=bank.texture(),
        wide=bank.ball(1.4 * middle),
        narrow=bank.ball(0.6 * middle),
    )
    apart, margin = CROWD * scene.diameter, border * scene.diameter
    best, worst = responses.amax(dim=0).numpy(), (-responses).amax(dim=0).numpy()
    rows, columns = find_peaks(best, FAINTEST, apart, border=margin)
    strength = best[rows, columns].astype(np.float64)
    features = measures.at(rows, columns, strength, 1.0)
    y, x = refine_peaks(best, rows, columns)
    rows, columns = find_peaks(worst, FAINTEST, apart, border=margin)
    decoys = measures.at(rows, columns, worst[rows, columns].astype(np.float64), -1.0)
    height, width = scene.pixels.shape
    chance = chance_peak(float(height * width), noise_curvature(bank.shape, smallest * scene.diameter))
    return Blobs(x * scene.scale[1], y * scene.scale[0], strength, features, decoys, chance)


@dataclass(frozen=True)
class _Measures:
    """Maps ``(h, w)`` to be read at the blobs."""

    correlation: Tensor
    gradient: Tensor
    elongation: Tensor
    texture: Tensor
    wide: Tensor
    narrow: Tensor

    def at(self, rows: NDArray[np.int64], columns: NDArray[np.int64], strength: Array, sign: float) -> Array:
        """Return the features ``(n, k)`` of blobs of `sign` and `strength`."""
        at = {name: values[rows, columns].numpy().astype(np.float64) for name, values in vars(self).items()}
        features = {
            "log_strength": np.log(strength),
            "correlation": sign * at["correlation"],
            # The constant keeps a perfectly round blob from minus infinity.
            "log_gradient": np.log(at["gradient"] / strength + 0.03),
            "log_elongation": np.log(at["elongation"] / strength + 0.03),
            "log_texture": np.log(np.maximum(at["texture"], 1e-3)),
            "wide": sign * at["wide"] / strength,
            "narrow": sign * at["narrow"] / strength,
        }
        return np.stack([features[name] for name in FEATURES], axis=1)
