"""Patches of all frames, and their likelihood as a function of a few smooth modes of motion."""

import math
from dataclasses import dataclass, replace

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cryoloom.numerics.fourier.transforms import crop_rfft2
from cryoloom.numerics.motion.field import TERMS, Field, quadratics
from cryoloom.numerics.motion.likelihood import Law, law, pair_sums, pair_weights, static_slope
from cryoloom.numerics.motion.rigid import Rigid
from cryoloom.numerics.motion.spectra import Band, Spectra, edge_window, moved_back, ring_sums
from cryoloom.numerics.motion.warp import warp

LEAST_REACH = 0.1  # cycles/px
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

    def trajectories(self, field: Field) -> Tensor:
        """Return the mode trajectories of a field; the inverse of `field`."""
        if field.local is None:
            return torch.zeros(len(self.motion), TERMS, 2, dtype=torch.float64)
        local = field.local.clone()
        local[:, 0] += field.motion - self.motion
        return torch.einsum("mt,ntc->nmc", torch.linalg.inv(self.to_quadratics), local)

    def displacements(self, found: Tensor) -> Tensor:
        """Return how far each patch is still to be moved back, ``(patches, n, 2)``."""
        return torch.einsum("nmc,pm->pnc", found - self.done, self.modes)

    def law(self, common: Tensor) -> Law:
        """Tell signal from noise by what moved frames have in common."""
        radius = torch.arange(len(self.count), dtype=torch.float64) * self.band.spacing
        count = self.count * (len(self.values) * self.worth)
        share = common / (pair_weights(self.fade) * count).clamp_min(1e-9) - self.smeared
        return law(count, radius, self.fade, share, self.static, half=1)

    def compare(self, found: Tensor, rings: Law | None = None, limit: float = math.inf) -> tuple[Tensor, Tensor]:
        """Return what frames have in common when moved back by `found`, and the slope of the likelihood there.

        Parameters
        ----------
        found
            Trajectories of the modes, ``(n, 6, 2)``.
        rings
            Weights; None: no slope is wanted.
        limit
            Frequency, cycles/px, up to which that is wanted.

        Returns
        -------
        common
            Summed over each ring of all patches (as if these were independent).
        slope
            With respect to the trajectories of the modes, ``(6, n, 2)``.
        """
        weight = torch.zeros_like(self.count) if rings is None else rings.weight
        total, slope = torch.zeros_like(self.count), torch.zeros(TERMS, len(found), 2, dtype=torch.float64)
        for values, mode, motion in zip(self.values, self.modes, self.displacements(found), strict=True):
            common, change = pair_sums(values, self.band, self.ring, motion, weight, limit)
            total += common
            slope += mode[:, None, None] * change
        total, slope = total * self.worth, slope * self.worth
        if rings is not None:
            slope -= self.modes.sum(0)[:, None, None] * static_slope(rings, self.fade, self.motion) / len(self.values)
        return total, slope


def patch_grid(shape: tuple[int, int], target: int = 150) -> tuple[int, int]:
    """Return how many patches (y, x) suit frames of `shape`: 3 to 8 an axis, of about `target` px or more."""
    rows, columns = (min(8, max(3, round(side / target))) for side in shape)
    return rows, columns


def cut_patches(spectra: Spectra, rigid: Rigid, grid: tuple[int, int], limit: float, field: Field | None = None) -> Patches:
    """Move frames back and cut them into ``grid`` (y, x) overlapping patches.

    Parameters
    ----------
    limit
        Highest frequency kept, cycles/px.
    field
        Found on earlier patches: frames are also moved back by it.
    """
    whole = spectra.band
    band = whole.narrowed(min(0.5, max(limit, LEAST_REACH) / USED_REACH))
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
    cut = torch.empty(number, *sides)
    values = torch.empty(number, frames, sides[0], sides[1] // 2 + 1, dtype=torch.complex64)
    for f in range(frames):
        spectrum = crop_rfft2(spectra.values[f], whole.kept, band.kept).div_(shrunk)
        if field is None:
            spectrum = moved_back(spectrum[None], band, rigid.motion[f : f + 1])[0]
        image = torch.fft.irfft2(spectrum, s=band.kept)
        if field is not None:
            image = warp(image, field.scaled(band.kept[1] / band.shape[1], band.kept[0] / band.shape[0]), f)
        for place, (y, x) in enumerate((y, x) for y in starts[0] for x in starts[1]):
            torch.mul(image[y : y + sides[0], x : x + sides[1]], window, out=cut[place])
        values[:, f] = torch.fft.rfft2(cut)
    values *= unit * (ring > 0)

    raw = quadratics(centres[1][None, :].expand(grid), centres[0][:, None].expand(grid)).reshape(number, TERMS)
    basis, triangle = torch.linalg.qr(raw)
    nearest = (torch.arange(rings) * (own.spacing / whole.spacing)).round().to(torch.int64).clamp_max(len(spectra.count) - 1)
    independent = float(window.square().mean() ** 2 / window.pow(4).mean())
    patches = Patches(
        band=own,
        ring=ring,
        count=ring_sums(torch.ones(ring.shape), ring, rings),
        values=values,
        modes=basis * number**0.5,
        to_quadratics=torch.linalg.inv(triangle) * number**0.5,
        done=torch.zeros(frames, TERMS, 2, dtype=torch.float64),
        motion=rigid.motion,
        fade=spectra.fade[:, nearest],
        static=rigid.static[nearest],
        smeared=rigid.smeared[nearest],
        worth=min(independent, band.kept[0] * band.kept[1] / (number * sides[0] * sides[1])),
    )
    return patches if field is None else replace(patches, done=patches.trajectories(field))
