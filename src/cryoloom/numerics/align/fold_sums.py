"""The sums of a refinement's half sets, fold by fold: whoever is compared with a reference had no part in it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.maximisation import Insertion
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.align.refine_task import Task
from cryoloom.numerics.reconstruct.kernels import grid_bytes, grid_centre
from cryoloom.numerics.reconstruct.sums import PACKING, Packed, Sums

Array = NDArray[np.float64]

LANES_KEPT, LANES_AT_ONCE = 1 << 29, 3 << 29
"""Bytes of packed sums of all folds up to which they are kept, and bytes of sums that may be worked on at once."""

RIM = 2
"""Shells summed beyond the last one that is asked for, so that the cells of that have all that falls on them, turned copies too."""


class FoldSums:
    """The sums of the folds of both halves: held, packed, if they fit, else summed anew whenever they are asked for."""

    def __init__(self, task: Task, points: Points, shell: int, noise: Array, count: int) -> None:
        self.count = count
        self._task, self._plane = task, task.images.plane.within(shell)
        lane = task.half + 2 * task.fold * (count > 1)
        self._insertion = Insertion(task.images, np.arange(len(task.images)), points, self._plane, noise, lane, task.group)
        self._kept: list[Packed] | None = None
        self._total: list[Packed] | None = None
        if count > 1 and 2 * count * grid_bytes(self._plane.radius) * PACKING <= LANES_KEPT:
            self._kept = list(self._lanes(self._plane))

    def total(self) -> Iterator[Sums]:
        """Yield the sums of one half over all folds, then those of the other."""
        return (one.grid() for one in self._whole())

    def both(self) -> Sums:
        """Return the sums of both halves together."""
        first, second = self._whole()
        return Packed(first.cells + second.cells, first.shape).grid()

    def others(self, last: int | None = None) -> Iterator[list[Sums]]:
        """Yield the sums of both halves without a fold, fold by fold; of all images if there is but one. The caller may change them.

        With `last`, only out to this shell: what is beyond costs more memory and time than all that is within.
        """
        plane = self._plane if last is None else self._task.images.plane.within(min(last + RIM, self._plane.last))
        c, whole = grid_centre(plane.radius), self._whole()
        if self.count == 1:
            yield [one.grid(c) for one in whole]
            return
        lanes = self._lanes(plane)
        for pair in zip(lanes, lanes, strict=True):
            sums = [all_folds.grid(c) for all_folds in whole]
            for number in (0, 1):
                sums[number] -= pair[number].grid(c)
            yield sums

    def _whole(self) -> list[Packed]:
        if self._total is None:
            whole: list[Packed] = []
            for number, lane in enumerate(self._lanes(self._plane)):
                if number < 2:
                    whole.append(Packed(lane.cells.copy(), lane.shape))
                else:
                    whole[number % 2].cells[:] += lane.cells
            self._total = whole
        return self._total

    def _lanes(self, plane: HalfPlane) -> Iterator[Packed]:
        """Yield the lanes, out to `plane` at least."""
        if self._kept is not None:
            return iter(self._kept)
        size = grid_bytes(plane.radius)
        at_once = max(1, min(self._task.threads, LANES_AT_ONCE // (size if self._task.group.order == 1 else 2 * size)))
        return replace(self._insertion, plane=plane).packed(self._task.place, at_once)
