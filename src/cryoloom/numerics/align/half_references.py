"""References that a particle's own noise is not in: each half set is compared with the map of the other, its detail weighted by how far both agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.filters.maps import multiply_shells
from cryoloom.numerics.fsc.masked import masked_fsc
from cryoloom.numerics.fsc.shells import crossing_shell
from cryoloom.numerics.reconstruct.grids import Map, reference_grid
from cryoloom.numerics.reconstruct.kernels import gather


@dataclass(frozen=True)
class HalfReferences:
    """Maps of both half sets as images are compared with them.

    Attributes
    ----------
    grids
        What slices are gathered from; that of the first half set is the map of the second.
    fsc
        Shell correlation of the maps under the mask, corrected for it, ``(box // 2 + 1,)``.
    last
        Shell to which they agree, FSC 0.143; images are compared to there.
    """

    grids: tuple[NDArray[np.float32], NDArray[np.float32]]
    fsc: NDArray[np.float64]
    last: int

    @classmethod
    def of(cls, halves: tuple[Map, Map], mask: Map, *, last: int | None = None, seed: int = 0) -> "HalfReferences":
        """Weight the maps ``(box, box, box)`` of both halves, unfiltered, by their agreement under `mask`; go no farther than shell `last`."""
        return cls.weighted(halves, mask, masked_fsc(*halves, mask, seed=seed).corrected, last=last)

    @classmethod
    def weighted(cls, halves: tuple[Map, Map], mask: Map, fsc: NDArray[np.float64], *, last: int | None = None) -> "HalfReferences":
        """Weight them by an agreement that is known already."""
        box = len(mask)
        end = min(crossing_shell(fsc, 0.143), box // 2 - 1 if last is None else last)
        weight = np.where(np.arange(len(fsc)) <= end, np.clip(fsc, 0.0, 1.0), 0.0)
        first, second = (reference_grid(multiply_shells(half * mask, weight), end + 0.5, box) for half in halves)
        return cls((second, first), fsc, end)

    def slices(self, plane: HalfPlane, half: NDArray[np.int64], rotations: NDArray[np.float64]) -> Coefficients:
        """Return the slices ``(n, K)`` that images of half sets 0 or 1 `half` ``(n,)`` are compared with at `rotations` ``(n, 3, 3)``."""
        found = np.empty((len(half), len(plane.kx), 2), np.float32)
        turned = rotations.astype(np.float32)
        for number, grid in enumerate(self.grids):
            rows = np.flatnonzero(half == number)
            part = np.empty((len(rows), len(plane.kx), 2), np.float32)
            gather(grid, plane.kx, plane.ky, turned[rows], part)
            found[rows] = part
        return found.view(np.complex64)[..., 0]
