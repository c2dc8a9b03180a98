"""The sums of a refinement's half sets, fold by fold: whoever is compared with a reference had no part in it."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.maximisation import Insertion
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.align.refine_task import Task
from cryoloom.numerics.reconstruct.kernels import grid_bytes
from cryoloom.numerics.reconstruct.sums import PACKING, Packed, Sums

Array = NDArray[np.float64]

LANES_KEPT, LANES_AT_ONCE = 1 << 29, 3 << 29
"""Bytes of packed sums of all folds up to which they are kept, and bytes of sums that may be worked on at once."""


class FoldSums:
    """The sums of the folds of both halves: held, packed, if they fit, else summed anew whenever they are asked for."""

    def __init__(self, task: Task, points: Points, shell: int, noise: Array, count: int) -> None:
        self.count = count
        plane = task.images.plane.within(shell)
        lane = task.half + 2 * task.fold * (count > 1)
        size = grid_bytes(plane.radius)
        at_once = max(1, min(task.threads, LANES_AT_ONCE // (size if task.group.order == 1 else 2 * size)))
        insertion = Insertion(task.images, np.arange(len(task.images)), points, plane, noise, lane, task.group)
        self._sum = partial(insertion.packed, task.place, at_once)
        self._kept: list[Packed] | None = None
        self._total: list[Packed] | None = None
        if count > 1 and 2 * count * size * PACKING <= LANES_KEPT:
            self._kept = list(self._sum())

    def total(self) -> list[Sums]:
        """Return the sums of both halves over all folds."""
        if self._total is None:
            whole: list[Packed] = []
            for number, lane in enumerate(self._lanes()):
                if number < 2:
                    whole.append(Packed(lane.cells.copy(), lane.shape))
                else:
                    whole[number % 2].cells[:] += lane.cells
            self._total = whole
        return [one.grid() for one in self._total]

    def others(self) -> Iterator[list[Sums]]:
        """Yield the sums of both halves without a fold, fold by fold; of all images if there is but one. The caller may change them."""
        whole = self.total()
        if self.count == 1 or self._total is None:
            yield whole
            return
        del whole
        lanes = self._lanes()
        for pair in zip(lanes, lanes, strict=True):
            yield [Packed(all_folds.cells - one.cells, one.shape).grid() for all_folds, one in zip(self._total, pair, strict=True)]

    def _lanes(self) -> Iterator[Packed]:
        return self._sum() if self._kept is None else iter(self._kept)
