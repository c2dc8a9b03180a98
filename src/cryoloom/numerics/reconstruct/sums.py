"""What the images have told about a map: weighted sums on the grid, and the ways to divide them.

`data` is ``Σ w · CTF · X · exp(-2πi k·d) / σ²`` and `weight` ``Σ w · CTF² / σ²``, both spread with the trilinear weights (Scheres 2012,
doi:10.1016/j.jsb.2012.09.006). A shell is ``round(|k|)`` in cycles per box.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.reconstruct.grids import Map, gridding_correction, map_from_transform
from cryoloom.numerics.reconstruct.kernels import PAD
from cryoloom.numerics.reconstruct.symmetry import fading

Sums = NDArray[np.float32]
Curve = NDArray[np.float64]
Transform = NDArray[np.complex64]

FLOOR = 0.3
"""Smallest divisor of an unfiltered map, as a fraction of the shell's mean weight: cells that hardly any image has seen stay small."""


PACKING = 0.4
"""Bytes of packed sums to those of the grid: the ball in its cube, and three of four channels."""


@dataclass(frozen=True)
class Packed:
    """Sums without the cells beyond their radius and the channel that is there for alignment only.

    Attributes
    ----------
    cells
        ``(m, 3)``, those within the radius in order.
    shape
        Of the grid ``(…, 4)``.
    """

    cells: NDArray[np.float32]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, sums: Sums) -> "Packed":
        """Pack sums."""
        lengths = row_lengths(sums.shape[0] // 2)
        cells = np.empty((lengths.sum(), 3), np.float32)
        pack(sums, lengths, cells)
        return cls(cells, sums.shape)

    def grid(self, c: int | None = None) -> Sums:
        """Return the sums, or of them the grid whose frequency 0 has index `c`, if that is the smaller one."""
        whole = self.shape[0] // 2
        c = whole if c is None else min(c, whole)
        sums = np.zeros((2 * c + 1, 2 * c + 1, c + 1, self.shape[3]), np.float32)
        unpack(self.cells, row_lengths(whole), sums)
        return sums


def row_lengths(c: int) -> NDArray[np.int64]:
    """Return how many cells of each row ``(2c + 1, 2c + 1)`` lie within a grid's radius, a cell more than coefficients reach: none is spread beyond."""
    square = np.arange(-c, c + 1) ** 2
    left = (c + 1) ** 2 - (square[:, None] + square)
    return np.where(left >= 0, np.minimum(np.sqrt(np.maximum(left, 0)).astype(np.int64), c) + 1, 0)


@njit(nogil=True, cache=True)
def pack(sums, lengths, cells):
    """Write the first `lengths` cells of each row of `sums` into `cells` ``(m, 3)``, one after the other."""
    m = 0
    for k in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            for i in range(lengths[k, j]):
                cells[m, 0], cells[m, 1], cells[m, 2] = sums[k, j, i, 0], sums[k, j, i, 1], sums[k, j, i, 2]
                m += 1


@njit(nogil=True, cache=True)
def unpack(cells, lengths, sums):
    """Undo `pack` in the middle that `sums` holds."""
    m, rim = 0, (lengths.shape[0] - sums.shape[0]) // 2
    for k in range(lengths.shape[0]):
        for j in range(lengths.shape[1]):
            if rim <= k < rim + sums.shape[0] and rim <= j < rim + sums.shape[1]:
                for i in range(min(lengths[k, j], sums.shape[2])):
                    for channel in range(3):
                        sums[k - rim, j - rim, i, channel] = cells[m + i, channel]
            m += lengths[k, j]


def mean_weights(sums: Sums, last: int) -> Curve:
    """Return the mean weight a cell of shells 0 … `last` has received."""
    total, cells = np.zeros(last + 1), np.zeros(last + 1)
    add_weights(sums, total, cells)
    return total / np.maximum(cells, 1)


def divided(sums: Sums, last: int, box: int, full_box: int, *, ssnr: Curve | None = None, group: PointGroup = C1) -> Map:
    """Return the map of `sums` out to shell `last`.

    Parameters
    ----------
    sums
        Grid ``(…, 4)``, mates added.
    last
        Shells beyond are left out.
    box, full_box
        Of the map to be made, and of the images.
    ssnr
        Signal to noise power of the map a shell, 0 … `last`: the division is then Wiener's, ``data / (weight + mean weight / ssnr)``, and
        a shell of no signal vanishes. None gives the unfiltered map, ``data / max(weight, floor)``.
    group
        Symmetry that `sums` were given by `symmetrise`.

    Returns
    -------
    ndarray
        ``(box, box, box)`` float32, in the grey values that make its projections match the images.
    """
    return transformed_back(divided_transform(sums, last, ssnr=ssnr), box, full_box, group)


def transformed_back(transform: Transform, box: int, full_box: int, group: PointGroup = C1) -> Map:
    """Return the map ``(box, box, box)`` of a transform of sums that `symmetrise` gave the symmetry `group`."""
    volume = map_from_transform(transform, box, full_box)
    return volume if group.on_grid.all() else volume / fading(group, gridding_correction(box))


def divided_transform(sums: Sums, last: int, *, ssnr: Curve | None = None) -> Transform:
    """Return the transform ``(2c + 1, 2c + 1, c + 1)`` of the map that `divided` makes."""
    mean = mean_weights(sums, last)
    floor = FLOOR * mean if ssnr is None else np.zeros(last + 1)
    prior = np.zeros(last + 1) if ssnr is None else mean / np.maximum(ssnr[: last + 1], 1e-12)
    transform = np.zeros(sums.shape[:3], np.complex64)
    quotient(sums, floor.astype(np.float32), prior.astype(np.float32), transform)
    return transform


def known_part(sums: Sums, ssnr: Curve, last: int) -> float:
    """Return the part of the cells of shells 1 … `last` whose weight outdoes the prior that `ssnr`, of the whole shell, stands for."""
    c = sums.shape[0] // 2
    axis, along = np.arange(sums.shape[0]) - c, np.arange(sums.shape[2])
    shell = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + along**2) / PAD).astype(np.int64)
    within = (shell >= 1) & (shell <= last)
    least = mean_weights(sums, max(last, 1)) / np.maximum(ssnr[: max(last, 1) + 1], 1e-12)
    return float(np.mean(sums[..., 2][within] >= least[shell[within]])) if within.any() else 0.0


def join_low_shells(first: Sums, second: Sums, last: int) -> None:
    """Replace shells 0 … `last` of both halves by their mean, in place, so that their frames cannot drift apart."""
    c, reach = first.shape[0] // 2, PAD * (last + 1)
    near = (slice(max(c - reach, 0), c + reach + 1),) * 2 + (slice(0, reach + 1),)
    one, two = first[near], second[near]
    axis = np.arange(one.shape[0]) - (c - max(c - reach, 0))
    along = np.arange(one.shape[2])
    low = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + along**2) / PAD) <= last
    mean = 0.5 * (one[low] + two[low])
    one[low] = mean
    two[low] = mean


def joined_ssnr(fsc: Curve, *, combined: bool = False) -> Curve:
    """Return ``f / (1 - f)`` of a half-map curve clipped to [0.001, 0.999]; of both halves together (``2f / (1 + f)``) when `combined`."""
    f = np.clip(fsc, 0.001, 0.999)
    if combined:
        f = 2 * f / (1 + f)
    return f / (1 - f)


@njit(nogil=True, cache=True, error_model="numpy")
def add_weights(sums, total, cells):
    """Add to `total` and `cells` ``(last + 1,)`` the weights of the cells of each shell, and their number."""
    c = sums.shape[0] // 2
    for k in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            for i in range(sums.shape[2]):
                shell = int(np.rint(np.sqrt((k - c) ** 2 + (j - c) ** 2 + i * i) / PAD))
                if shell < len(total):
                    total[shell] += sums[k, j, i, 2]
                    cells[shell] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def quotient(sums, floor, prior, out):
    """Write ``data / (max(weight, floor) + prior)`` into `out`, `floor` and `prior` being those of the shell; nothing beyond the last."""
    c = sums.shape[0] // 2
    for k in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            for i in range(sums.shape[2]):
                shell = int(np.rint(np.sqrt((k - c) ** 2 + (j - c) ** 2 + i * i) / PAD))
                if shell < len(floor):
                    cell = sums[k, j, i]
                    divisor = max(cell[2], floor[shell]) + prior[shell]
                    if divisor > 0:
                        out[k, j, i] = complex(cell[0] / divisor, cell[1] / divisor)
