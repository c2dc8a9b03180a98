"""Local motion: the likelihood of all patches of all frames at once, maximised over the trajectories of a few smooth modes.

Patches are never aligned one by one. Every mode's trajectory is found and smoothed as that of whole frames is, and the field is kept only if
the gain in likelihood pays for its freedom. So noisy patches cannot bend the field, and without local motion the result is the rigid one.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryoloom.numerics.motion.field import TERMS, Field
from cryoloom.numerics.motion.likelihood import Law, precision
from cryoloom.numerics.motion.patches import Patches, cut_patches
from cryoloom.numerics.motion.rigid import Rigid
from cryoloom.numerics.motion.spectra import Spectra
from cryoloom.numerics.motion.trajectory import smooth

PROOF = 6.0  # log evidence a field must have
CATCH = (0.04, 0.08)  # cycles/px of passes that can find large displacements
PASSES = 8
SETTLED = 0.02  # px
COARSE = 0.1  # cycles/px of the first patches; where they show a field, the second, finer ones are cut from frames warped by it


@dataclass(frozen=True)
class Local:
    """A field, and the log evidence of its local part over rigid motion (zero when there is none)."""

    field: Field
    evidence: float


@dataclass(frozen=True)
class _State:
    """Trajectories of the modes ``(n, 6, 2)``, and the price of the freedom to choose them.

    With them go what frames then have in common, the weights of the rings that were known before, and the slope of the likelihood by these.
    """

    found: Tensor
    price: float
    common: Tensor
    rings: Law
    slope: Tensor

    def score(self, rings: Law) -> float:
        return float(rings.weight @ self.common) + self.price


def estimate_local(spectra: Spectra, rigid: Rigid, grid: tuple[int, int]) -> Local:
    """Estimate motion that differs from place to place; the rigid motion where the data show nothing more.

    Parameters
    ----------
    spectra
        Of all frames.
    rigid
        Their motion as a whole.
    grid
        Number of patches (y, x), 3 or more each.
    """
    none = torch.zeros(len(rigid.motion), TERMS, 2, dtype=torch.float64)
    patches = cut_patches(spectra, rigid, grid, min(COARSE, rigid.limit))
    still = _at(patches, none)
    found, price = none, 0.0
    for limit in CATCH:
        found, price = _step(patches, _at(patches, found, price, limit))
    wide = _at(patches, found, price)
    laws = patches.law(still.common), patches.law(wide.common)
    best = _climb(patches, wide if all(wide.score(rings) > still.score(rings) for rings in laws) else still)
    rings = patches.law(best.common)
    sure = best.score(rings) - still.score(rings) >= PROOF
    field, price = (patches.field(best.found), best.price) if sure else (None, 0.0)
    del patches, still, wide, best

    patches = cut_patches(spectra, rigid, grid, rigid.limit, field)
    best = _climb(patches, _at(patches, patches.done, price))
    rings = patches.law(best.common)
    evidence = best.score(rings) - float(rings.weight @ patches.compare(none)[0])
    if evidence < PROOF:
        return Local(Field(rigid.motion), 0.0)
    return Local(patches.field(best.found), evidence)


def _at(patches: Patches, found: Tensor, price: float = 0.0, limit: float = math.inf) -> _State:
    """Return the state at a place whose weights are not known beforehand, of the rings up to `limit` cycles/px: two passes over the patches."""
    rings = patches.law(patches.compare(found, limit=limit)[0])
    rings = replace(rings, weight=rings.weight * (rings.radius <= limit))
    common, slope = patches.compare(found, rings, limit)
    return _State(found, price, common, rings, slope)


def _climb(patches: Patches, state: _State) -> _State:
    """Go on from `state` while the likelihood pays for it."""
    for _ in range(PASSES):
        found, price = _step(patches, state)
        rings = patches.law(state.common)
        common, slope = patches.compare(found, rings)
        new = _State(found, price, common, rings, slope)
        if new.score(rings) < state.score(rings):
            break
        moved, state = found - state.found, new
        if float((moved - moved.mean(0)).abs().max()) < SETTLED:
            break
    return state


def _step(patches: Patches, state: _State) -> tuple[Tensor, float]:
    """Return where one step of the scoring method leads, and what that place costs."""
    curvature = precision(state.rings, patches.fade)
    result = smooth(curvature @ state.found.transpose(0, 1) + state.slope, curvature)
    return result.motion.transpose(0, 1), float((result.evidence - result.gain).sum())
