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
SETTLED = 0.01  # px
LARGE = 0.7  # px; fields beyond blur patches, which are then cut again from warped frames


@dataclass(frozen=True)
class Local:
    """A field, and the log evidence of its local part over rigid motion (zero when there is none)."""

    field: Field
    evidence: float


@dataclass(frozen=True)
class _State:
    """Trajectories of the modes ``(n, 6, 2)``, what frames then have in common, and the price of the freedom to choose them."""

    found: Tensor
    common: Tensor
    price: float

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
    patches = cut_patches(spectra, rigid, grid)
    found = torch.zeros(len(rigid.motion), TERMS, 2, dtype=torch.float64)
    still = _State(found, patches.common(found), 0.0)
    wide = still
    for limit in CATCH:
        wide = _step(patches, wide, patches.law(wide.common), limit)
    laws = patches.law(still.common), patches.law(wide.common)
    best = _climb(patches, wide if all(wide.score(rings) > still.score(rings) for rings in laws) else still)
    if float(patches.displacements(best.found).abs().max()) > LARGE:
        patches = cut_patches(spectra, rigid, grid, (patches, best.found))
        best = _climb(patches, replace(best, common=patches.common(best.found)))
    rings = patches.law(best.common)
    evidence = best.score(rings) - still.score(rings)
    if evidence < PROOF:
        return Local(Field(rigid.motion), 0.0)
    return Local(patches.field(best.found), evidence)


def _climb(patches: Patches, state: _State) -> _State:
    """Go on from `state` while the likelihood pays for it."""
    for _ in range(PASSES):
        rings = patches.law(state.common)
        new = _step(patches, state, rings)
        moved = (new.found - state.found) - (new.found - state.found).mean(0)
        if new.score(rings) < state.score(rings):
            break
        state = new
        if float(moved.abs().max()) < SETTLED:
            break
    return state


def _step(patches: Patches, state: _State, rings: Law, limit: float = math.inf) -> _State:
    """Take one step of the scoring method, with the rings up to `limit` cycles/px."""
    rings = replace(rings, weight=rings.weight * (rings.radius <= limit))
    curvature = precision(rings, patches.fade)
    result = smooth(curvature @ state.found.transpose(0, 1) + patches.slope(rings, state.found), curvature)
    found = result.motion.transpose(0, 1)
    return _State(found, patches.common(found), float((result.evidence - result.gain).sum()))
