"""Patches of all frames, and their likelihood as a function of a few smooth modes of motion."""

import math
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cryoloom.numerics.fourier.transforms import crop_rfft2
from cryoloom.numerics.motion.field import TERMS, Field, quadratics
from cryoloom.numerics.motion.likelihood import Law, law, pair_sums, pair_weights, static_slope
from cryoloom.numerics.motion.rigid import Rigid
from cryoloom.numerics.motion.spectra import Band, Spectra, edge_window, moved_back, ring_sums
from cryoloom.numerics.motion.warp import warped

LARGEST_BAND = 1536 * 1536  # px; the local field is smooth, so that more resolution does not pay
OVERLAP = 1.25  # side of a patch over the distance of patches
USED_REACH = 0.92  # of the band; interpolation weakens what lies beyond


@dataclass(frozen=True)
class Patches:
    """Spectra of all patches of all frames, moved back by a field found so far.

    Attributes
    ----------
    band, ring, count
        Of one patch, as in `Spectra`.
    values
        complex64 ``(patches, n, th, tw // 2 + 1)``.
    modes
        Six functions of the place, a quadratic made orthonormal over the patches, at the centres of these, ``(patches, 6)``.
    to_quadratics
        ``modes = quadratics @ to_quadratics``, ``(6, 6)``.
    done
        Trajectories of the modes ``(n, 6, 2)`` that `values` are already moved back by, beside the motion of the whole frames.
    motion
        Of the whole frames, ``(n, 2)``.
    fade, static, smeared
        As in `Spectra` and `Rigid`, for the rings of a patch.
    worth
        Independent coefficients per coefficient: less than one because patches overlap and are windowed.
    """

    band: Band
    ring: Tensor
    count: Tensor
    values: Tensor
    modes: Tensor
    to_quadratics: Tensor
    done: Tensor
    motion: Tensor
    fade: Tensor
    static: Tensor
    smeared: Tensor
    worth: float

    def field(self, found: Tensor) -> Field:
        """Return the field of mode trajectories ``(n, 6, 2)``; what they add to the mean over the frame goes to the whole frames."""
        local = torch.einsum("tm,nmc->ntc", self.to_quadratics, found)
        side = torch.tensor([1, 0, 0, 1 / 12, 0, 1 / 12], dtype=torch.float64)  # means of the quadratics over the frame
        mean = torch.einsum("ntc,t->nc", local, side)
        local[:, 0] -= mean
        return Field(self.motion + mean, local)

    def displacements(self, found: Tensor) -> Tensor:
        """Return how far each patch is still to be moved back, ``(patches, n, 2)``."""
        return torch.einsum("nmc,pm->pnc", found - self.done, self.modes)

    def common(self, found: Tensor) -> Tensor:
        """Return what frames have in common, summed over each ring of all patches (as if these were independent)."""
        return self._sums(found, torch.zeros_like(self.count))[0]

    def law(self, common: Tensor) -> Law:
        """Tell signal from noise by what moved frames have in common."""
        radius = torch.arange(len(self.count), dtype=torch.float64) * self.band.spacing
        count = self.count * (len(self.values) * self.worth)
        share = common / (pair_weights(self.fade) * count).clamp_min(1e-9) - self.smeared
        return law(count, radius, self.fade, share, self.static, half=1)

    def slope(self, rings: Law, found: Tensor) -> Tensor:
        """Return the gradient of the likelihood with respect to the trajectories of the modes, ``(6, n, 2)``."""
        held = static_slope(rings, self.fade, self.motion) / len(self.values)
        return self._sums(found, rings.weight)[1] - self.modes.sum(0)[:, None, None] * held

    def _sums(self, found: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        total, gradient = torch.zeros_like(self.count), torch.zeros(TERMS, len(found), 2, dtype=torch.float64)
        for values, mode, motion in zip(self.values, self.modes, self.displacements(found), strict=True):
            common, change = pair_sums(values, self.band, self.ring, motion, weight)
            total += common
            gradient += mode[:, None, None] * change
        return total * self.worth, gradient * self.worth


def patch_grid(shape: tuple[int, int], target: int = 150) -> tuple[int, int]:
    """Return how many patches (y, x) suit frames of `shape`: 3 to 8 an axis, of about `target` px or more."""
    rows, columns = (min(8, max(3, round(side / target))) for side in shape)
    return rows, columns


def cut_patches(spectra: Spectra, rigid: Rigid, grid: tuple[int, int], before: tuple[Patches, Tensor] | None = None) -> Patches:
    """Move frames back and cut them into ``grid`` (y, x) overlapping patches.

    With earlier patches and what was found on them, `before`, frames are also moved back by that field.
    """
    whole = spectra.band
    band = whole.narrowed(0.5, LARGEST_BAND)
    shrunk = band.kept[0] * band.kept[1] / (whole.kept[0] * whole.kept[1])
    sides = [min(kept, next_fast_len(math.ceil(OVERLAP * kept / n), real=True)) for kept, n in zip(band.kept, grid, strict=True)]
    starts = [[round(i * (kept - side) / (n - 1)) for i in range(n)] for kept, side, n in zip(band.kept, sides, grid, strict=True)]
    centres = [
        torch.tensor([(start + side / 2) / kept - 0.5 for start in axis], dtype=torch.float64)
        for axis, side, kept in zip(starts, sides, band.kept, strict=True)
    ]
    extent = (sides[0] * band.shape[0] / band.kept[0], sides[1] * band.shape[1] / band.kept[1])
    own = Band(extent, (sides[0], sides[1]), lowest=1)
    ring = own.rings()
    ring[ring * own.spacing > USED_REACH * own.reach] = 0
    rings = int(ring.max()) + 1
    window = edge_window((sides[0], sides[1]), 1 / 8)
    window /= window.square().mean().sqrt()
    unit = band.kept[0] * band.kept[1] / math.sqrt(band.kept[0] * band.kept[1] * sides[0] * sides[1])

    frames, number = len(rigid.motion), grid[0] * grid[1]
    field = None if before is None else before[0].field(before[1])
    values = torch.empty(number, frames, sides[0], sides[1] // 2 + 1, dtype=torch.complex64)
    for f in range(frames):
        spectrum = crop_rfft2(spectra.values[f], whole.kept, band.kept) / shrunk
        if field is None:
            spectrum = moved_back(spectrum[None], band, rigid.motion[f : f + 1])[0]
        image = torch.fft.irfft2(spectrum, s=band.kept)
        if field is not None:
            image = warped(image, field.scaled(band.kept[1] / band.shape[1], band.kept[0] / band.shape[0]), f)
        cut = torch.stack([image[y : y + sides[0], x : x + sides[1]] for y in starts[0] for x in starts[1]])
        values[:, f] = torch.fft.rfft2(cut * window) * unit
    values[:, :, ring == 0] = 0

    raw = quadratics(centres[1][None, :].expand(grid), centres[0][:, None].expand(grid)).reshape(number, TERMS)
    basis, triangle = torch.linalg.qr(raw)
    nearest = (torch.arange(rings) * (own.spacing / whole.spacing)).round().to(torch.int64).clamp_max(len(spectra.count) - 1)
    independent = float(window.square().mean() ** 2 / window.pow(4).mean())
    return Patches(
        band=own,
        ring=ring,
        count=ring_sums(torch.ones(ring.shape), ring, rings),
        values=values,
        modes=basis * number**0.5,
        to_quadratics=torch.linalg.inv(triangle) * number**0.5,
        done=torch.zeros(frames, TERMS, 2, dtype=torch.float64) if before is None else before[1],
        motion=rigid.motion,
        fade=spectra.fade[:, nearest],
        static=rigid.static[nearest],
        smeared=rigid.smeared[nearest],
        worth=min(independent, band.kept[0] * band.kept[1] / (number * sides[0] * sides[1])),
    )
