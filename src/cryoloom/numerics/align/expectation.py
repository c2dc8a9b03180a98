"""One pass over the images of a half set: where each one may lie in the reference, and what noise that leaves."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery, search
from cryoloom.numerics.align.coefficients import Coefficients
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import phase_table, refine_candidates
from cryoloom.numerics.align.posterior import Candidates, Posterior
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.reconstruct.kernels import gather

Array = NDArray[np.float64]

BLOCK = 32
"""Images a block, whatever the number of threads."""
STAGES = ((9, 3, 16), (14, 3, 8))
"""Shell and steps of the narrow bands in which candidates are first refined, and how many go on; the current band follows."""
FINAL_STEPS, FINAL_KEPT = 6, 8
CANDIDATES = 40
"""Most peaks taken from the global search."""
MARGIN, SAMPLED = 15.0, 0.3
"""Log-likelihood by which a candidate may lie below the best and still turn out to be right; and the part of the best one's gain that a place
between two nodes of the coarse grid may hide on top of it."""


@dataclass(frozen=True)
class Effort:
    """How widely poses are looked for.

    Attributes
    ----------
    band
        Last shell compared.
    shifts
        Lattice ``(T, 2)`` px of the global search.
    prior
        Of shifts, and of rotations where poses are to be kept near given ones.
    correlate
        Choose the peaks by correlation, the reference's grey scale being unknown.
    group
        Of the reference: poses that are mates are one.
    relaxed
        Group whose mates of the last pose are tried as well: the particle nearly has it, the reference does not.
    """

    band: int
    shifts: Array
    prior: PosePrior = field(default_factory=PosePrior)
    correlate: bool = False
    group: PointGroup = C1
    relaxed: PointGroup = C1

    def starts(self, rotations: Array, shifts: Array) -> tuple[Array, Array]:
        """Return the poses to start from at last poses ``(B, 3, 3)`` and ``(B, 2)``: these, and their mates; ``(B, order, …)``."""
        return self.relaxed.mates(rotations), np.repeat(shifts[:, None], self.relaxed.order, axis=1)

    def stages(self, band: int, *, wide: bool, kept: int) -> list[tuple[int, int, int]]:
        """Return shell, steps and survivors of each stage in which candidates are refined up to `band`, the first ones only if there are many."""
        narrow = [stage for stage in STAGES if stage[0] < band] if wide or self.relaxed.order > 1 else []
        return [*narrow, (band, FINAL_STEPS, kept)]


@dataclass(frozen=True)
class Expectation:
    """Result of a `Pass`, or of a block of it.

    Attributes
    ----------
    posterior
        Of the images in the order of `rows`.
    residual, counts
        Residual power ``(groups, shells)``, and what one unit of noise would have given.
    grey
        Of every image ``Re Σ X* M / E|N|²`` and ``Σ |M|² / E|N|²`` with the model M at grey scale one, ``(n, 2)``: their quotient is its scale.
    """

    posterior: Posterior
    residual: Array
    counts: Array
    grey: Array

    @classmethod
    def joined(cls, blocks: list["Expectation"]) -> "Expectation":
        """Put blocks one after the other; sums are taken in their order."""
        return cls(
            Posterior.joined([one.posterior for one in blocks]),
            np.sum([one.residual for one in blocks], axis=0),
            np.sum([one.counts for one in blocks], axis=0),
            np.concatenate([one.grey for one in blocks]),
        )


@dataclass(frozen=True)
class Pass:
    """A pass over some images, block by block.

    Attributes
    ----------
    images, rows
        The set, and which of it.
    grid
        Reference to slice, out to `effort.band` at least.
    gallery
        Slices for a global search; None for a local one from the last pose.
    noise
        ``E|N|²`` of the whole image, ``(groups, shells)``.
    effort
        How widely to look.
    rotations, shifts
        Last poses of all images of the set, ``(n, 3, 3)`` and ``(n, 2)`` px.
    known
        Whether the last poses mean anything; they then compete with those of the global search.
    reliable
        Last shell that tells grey scales.
    """

    images: ImageSet
    rows: NDArray[np.int64]
    grid: NDArray[np.float32]
    gallery: Gallery | None
    noise: Array
    effort: Effort
    rotations: Array
    shifts: Array
    known: bool
    reliable: int = 0

    def block(self, part: slice) -> Expectation:
        """Find the posterior of the poses of a block of the rows."""
        images, grid, effort, noise, chosen = self.images, self.grid, self.effort, self.noise, self.rows[part]
        plane = images.plane.within(effort.band)
        telling = np.where(np.arange(noise.shape[1]) <= self.reliable, 1.0 / noise, 0.0)
        data, weight = images.prepare(chosen, plane, noise)
        prior = effort.prior.rows(chosen)
        start, move = effort.starts(self.rotations[chosen], self.shifts[chosen])
        found = np.full(len(chosen), start.shape[1])
        if self.gallery is not None:
            turned, moved, likely = sought(self.gallery, data, weight, effort, chosen)
            if self.known:
                start, move, found = np.concatenate([start, turned], axis=1), np.concatenate([move, moved], axis=1), likely + found
            else:
                start, move, found = turned, moved, likely
        poses = Candidates.of(start, move, found)
        for shell, steps, kept in effort.stages(plane.last, wide=self.gallery is not None, kept=FINAL_KEPT):
            refine_candidates(
                grid, plane.kx, plane.ky, plane.ends[shell], plane.box, data, weight, prior, effort.prior.mates, steps,
                poses.rotations, poses.shifts, poses.costs, poses.curvatures, poses.found,
            )  # fmt: skip
            poses = poses.distinct(kept, MARGIN, effort.group)
        posterior = Posterior.of(poses)
        residual, total = np.zeros((len(noise), plane.last + 1)), np.zeros((len(noise), plane.last + 1))
        grey = np.zeros((len(chosen), 2))
        residual_power(
            grid, plane.kx, plane.ky, plane.shell, plane.box, images.storage.take(chosen, len(plane.kx)),
            images.transfers.take(chosen, len(plane.kx)), images.group[chosen], images.premultiplied, images.scale[chosen], telling,
            posterior.rotations, posterior.shifts, posterior.weights, residual, total, grey,
        )  # fmt: skip
        return Expectation(posterior, residual, total, grey)


def sought(
    gallery: Gallery, data: Coefficients, weight: NDArray[np.float32], effort: Effort, chosen: NDArray[np.int64]
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Search prepared images ``(B, K)``, those `chosen` of the set, over all orientations: poses as `search` has them, and how many are likely."""
    centred, centres = effort.prior.centred(gallery.plane, data, chosen)
    turned, moved, gains = search(
        gallery, centred, weight, effort.shifts, CANDIDATES, prior=effort.prior.shift, correlate=effort.correlate,
        penalties=effort.prior.penalties(chosen, gallery.rotations),
    )  # fmt: skip
    likely = np.count_nonzero(gains >= gains[:, :1] - MARGIN - SAMPLED * np.maximum(gains[:, :1], 0.0), axis=1)
    return turned, moved + centres, likely


@njit(nogil=True, cache=True, error_model="numpy")
def residual_power(
    grid, kx, ky, shell, box, images, transfers, group, premultiplied, scales, telling, rotations, shifts, weights, residual, total, grey
):
    """Add the weighted ``|X - M|²`` of every image to its group's shells, and what one unit of noise would have given to `total`.

    To `grey` goes what tells the image's scale (see `Expectation`), the shells weighed by `telling` ``(groups, shells)``.
    """
    count = len(kx)
    reach = int(np.hypot(kx[count - 1], ky[count - 1]) + 1.5)
    found = np.empty((1, count, 2), np.float32)
    for b in range(len(images)):
        g = group[b]
        for c in range(weights.shape[1]):
            mass = weights[b, c]
            if mass <= 0:
                continue
            gather(grid, kx, ky, rotations[b, c : c + 1].astype(np.float32), found)
            across = phase_table(reach, 2 * np.pi / box * shifts[b, c, 0])
            along = phase_table(reach, 2 * np.pi / box * shifts[b, c, 1])
            for p in range(count):
                m, q = int(kx[p]) + reach, int(ky[p]) + reach
                er = across[m, 0] * along[q, 0] - across[m, 1] * along[q, 1]
                ei = across[m, 0] * along[q, 1] + across[m, 1] * along[q, 0]
                t = transfers[b, p]
                model, unit = (t * t, t * t) if premultiplied[g] else (t, np.float32(1.0))
                mr = found[0, p, 0] * er - found[0, p, 1] * ei
                mi = found[0, p, 0] * ei + found[0, p, 1] * er
                re = images[b, p].real - scales[b] * model * mr
                im = images[b, p].imag - scales[b] * model * mi
                residual[g, shell[p]] += mass * (re * re + im * im)
                total[g, shell[p]] += mass * unit
                told = mass * telling[g, shell[p]]
                grey[b, 0] += told * (np.float32(1.0) if premultiplied[g] else t) * (images[b, p].real * mr + images[b, p].imag * mi)
                grey[b, 1] += told * t * t * (mr * mr + mi * mi)
