"""Poses sought in some regions of the sphere only: a local grid by the global search's products, then the continuous steps of refinement.

Memory: about two kilobytes an image and region beside the images, and the slices of one region.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery, search, shift_factors
from cryoloom.numerics.align.expectation import FINAL_KEPT, MARGIN, SAMPLED, Effort
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import refine_candidates
from cryoloom.numerics.align.posterior import Candidates, Posterior
from cryoloom.numerics.geometry.regions import Regions
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.kernels import gather

Array = NDArray[np.float64]

BLOCK = 32
ORDER = 3
"""HEALPix order of the local grid: 7 degrees, which the detail of the coarse comparison lets pass, and the continuous steps bridge."""
PEAKS = 12
"""Places of a region's grid from which an image is refined."""


@dataclass(frozen=True)
class Found:
    """Poses of images within the regions proposed for them.

    Attributes
    ----------
    posterior
        Over the poses found.
    correlation
        Of each image with the map seen from the best pose, noise of all shells alike, -1 to 1, ``(n,)``.
    """

    posterior: Posterior
    correlation: Array


@dataclass(frozen=True)
class RegionSearch:
    """What images are compared with.

    Attributes
    ----------
    grid
        Reference to slice, in the images' grey values.
    noise
        ``E|N|²`` of the whole image, ``(groups, shells)``.
    effort
        Band, lattice of shifts, prior and symmetry.
    coarse
        Last shell of the local grid's comparison.
    reach
        Degrees about a region's centre.
    """

    images: ImageSet
    grid: NDArray[np.float32]
    noise: Array
    regions: Regions
    effort: Effort
    coarse: int
    reach: float
    threads: int = 1

    def found(self, proposed: NDArray[np.bool_], told=lambda done: None) -> Found:
        """Seek every image in its `proposed` regions, ``(n, regions)``, one at least; `told` hears what part is done."""
        starts = self._starts(proposed, lambda part: told(0.5 * part))
        parts = blocks(len(proposed), BLOCK)
        results = []
        for result in ordered(lambda part: self._refined(part, *(each[part] for each in starts)), parts, self.threads):
            results.append(result)
            told(0.5 + 0.5 * len(results) / len(parts))
        return Found(Posterior.joined([one for one, _ in results]), np.concatenate([one for _, one in results]))

    def _starts(self, proposed: NDArray[np.bool_], told) -> tuple[Array, Array, NDArray[np.float32]]:
        """Return the peaks of all local grids: poses ``(n, C, …)``, and what they gain, minus infinity where there is none."""
        slots = np.cumsum(proposed, axis=1) - 1
        count = PEAKS * int(proposed.sum(axis=1).max())
        rotations, shifts = np.zeros((len(proposed), count, 3, 3)), np.zeros((len(proposed), count, 2))
        gains = np.full((len(proposed), count), -np.inf, np.float32)
        plane = self.images.plane.within(self.coarse)
        for number in range(len(self.regions)):
            rows = np.flatnonzero(proposed[:, number])
            if not len(rows):
                continue
            gallery = Gallery.of(self.grid, plane, self.regions.rotations(number, self.reach, ORDER))

            def sought(part: slice, rows=rows, gallery=gallery) -> tuple[Array, Array, NDArray[np.float32]]:
                data, weight = self.images.prepare(rows[part], plane, self.noise)
                return search(gallery, data, weight, self.effort.shifts, PEAKS, prior=self.effort.prior.shift)

            parts = blocks(len(rows), BLOCK)
            for part, peaks in zip(parts, ordered(sought, parts, self.threads), strict=True):
                here = rows[part, None], PEAKS * slots[rows[part], number][:, None] + np.arange(PEAKS)
                rotations[here], shifts[here], gains[here] = peaks
            told((number + 1) / len(self.regions))
        order = np.argsort(-gains, axis=1, kind="stable")
        images = np.arange(len(proposed))[:, None]
        return rotations[images, order], shifts[images, order], gains[images, order]

    def _refined(self, part: slice, rotations: Array, shifts: Array, gains: NDArray[np.float32]) -> tuple[Posterior, Array]:
        """Improve peaks continuously; return their posterior and the correlation of each image with the best."""
        chosen, effort = np.arange(part.start, part.stop), self.effort
        plane = self.images.plane.within(effort.band)
        data, weight = self.images.prepare(chosen, plane, self.noise)
        likely = np.count_nonzero(gains >= gains[:, :1] - MARGIN - SAMPLED * np.maximum(gains[:, :1], 0.0), axis=1)
        poses = Candidates.of(rotations, shifts, likely)
        for shell, steps, kept in effort.stages(plane.last, wide=True, kept=FINAL_KEPT):
            refine_candidates(
                self.grid, plane.kx, plane.ky, plane.ends[shell], plane.box, data, weight, effort.prior.rows(chosen), effort.prior.mates,
                steps, poses.rotations, poses.shifts, poses.costs, poses.curvatures, poses.found,
            )  # fmt: skip
            poses = poses.distinct(kept, MARGIN, effort.group)
        posterior = Posterior.of(poses)
        return posterior, self._correlation(chosen, plane, data, weight, posterior)

    def _correlation(self, chosen, plane, data, weight, posterior: Posterior) -> Array:
        model = np.empty((len(chosen), len(plane.kx), 2), np.float32)
        gather(self.grid, plane.kx, plane.ky, posterior.rotations[:, 0].astype(np.float32), model)
        slices = model.view(np.complex64)[..., 0]
        slices[:, 0] = 0
        moved = data * np.stack([shift_factors(plane, shift[None])[0] for shift in posterior.shifts[:, 0]])
        cross = (moved.real * slices.real + moved.imag * slices.imag).sum(axis=1, dtype=np.float64)
        norm = (weight * np.abs(slices) ** 2).sum(axis=1, dtype=np.float64)
        images = self.images.storage.take(chosen, len(plane.kx))
        power = np.abs(images) ** 2 / self.noise[:, plane.shell][self.images.group[chosen]]
        return cross / np.sqrt(np.maximum(norm * power[:, 1:].sum(axis=1, dtype=np.float64), 1e-30))
