"""The FSC of masked half maps, corrected for the mask by phase randomisation (Chen et al. 2013, doi:10.1016/j.ultramic.2013.06.004)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.fourier.grids import shells_3d
from cryoloom.numerics.fourier.transforms import centred_irfft3, centred_rfft3
from cryoloom.numerics.fsc.shells import fourier_shell_correlation

Map = NDArray[np.float32]
Curve = NDArray[np.float64]

DRAWS = 8
"""Random phases tried. The curve of one draw is off by some 0.015 a shell, enough to move a flat crossing by several shells."""


@dataclass(frozen=True)
class MaskedFSC:
    """FSC curves over shells 0 … box // 2.

    Attributes
    ----------
    unmasked, masked, randomised
        Of the half maps, of the masked half maps, and of the masked half maps with random phases beyond `randomised_from`, the mean of `DRAWS`.
    corrected
        ``(masked - randomised) / (1 - randomised)`` from two shells beyond `randomised_from`, `masked` before.
    randomised_from
        First shell whose phases were randomised; None when the unmasked FSC never falls below the limit.
    """

    unmasked: Curve
    masked: Curve
    randomised: Curve
    corrected: Curve
    randomised_from: int | None


def randomise_phases(volume: Map, first_shell: int, rng: np.random.Generator) -> Map:
    """Give every coefficient of `volume` from `first_shell` on a random phase, keeping amplitudes and a real map."""
    box = volume.shape[0]
    transform = centred_rfft3(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)))
    # The transform of real white noise has uniform phases with Hermitian symmetry already right on the x = 0 plane.
    noise = centred_rfft3(torch.from_numpy(rng.standard_normal((box, box, box), dtype=np.float32)))
    phases = noise / noise.abs().clamp_min(1e-20)
    beyond = shells_3d(box) >= first_shell
    return centred_irfft3(torch.where(beyond, transform.abs() * phases, transform), box).numpy()


def masked_fsc(first: Map, second: Map, mask: Map, *, randomise_below: float = 0.8, seed: int = 0) -> MaskedFSC:
    """Return the FSC curves of two half maps ``(d, d, d)`` under a soft `mask` in [0, 1].

    Parameters
    ----------
    randomise_below
        Phases are randomised from the first shell (≥ 1) where the unmasked FSC falls below this.
    seed
        Of the random phases; each half and draw gets its own.
    """
    unmasked = fourier_shell_correlation(first, second)
    masked = fourier_shell_correlation(first * mask, second * mask)
    low = np.flatnonzero(unmasked[1:] < randomise_below)
    if low.size == 0:
        return MaskedFSC(unmasked, masked, np.zeros_like(masked), masked.copy(), None)
    start = int(low[0]) + 1
    randomised = np.zeros_like(masked)
    for draw in range(DRAWS):
        halves = (
            randomise_phases(half, start, np.random.default_rng([seed, number, draw])) * mask
            for number, half in enumerate((first, second), start=1)
        )
        randomised += fourier_shell_correlation(*halves) / DRAWS
    corrected = masked.copy()
    beyond = slice(start + 2, None)
    corrected[beyond] = (masked[beyond] - randomised[beyond]) / np.maximum(1.0 - randomised[beyond], 1e-6)
    return MaskedFSC(unmasked, masked, randomised, corrected, start)


def particle_fsc(unmasked: Curve, mask: Map) -> Curve:
    """Return the FSC expected without solvent: ``f F / (1 + (f - 1) F)`` with f the box-to-particle volume ratio; independent of the mask's shape."""
    fraction = 0.476 / max(float(mask.mean()), 1e-6)
    return fraction * unmasked / (1.0 + (fraction - 1.0) * unmasked)
