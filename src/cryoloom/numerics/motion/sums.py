"""Plain and dose-weighted sums of frames moved back, without a transform of every frame that is weighted.

The weights of n frames at a frequency depend smoothly on their dose, so that to `EXACT` they are products of five to eight functions of the
frame and as many of the frequency. Frames are added up by the former, and only those few sums are transformed.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.motion.dose import weights
from cryoloom.numerics.motion.transforms import ROWS, inverse, room, transform_columns, transform_rows
from cryoloom.numerics.motion.warp import reflected

Image = NDArray[np.float32]

EXACT = 1e-5
"""Largest error of a weight, of weights whose mean square over the frames is one."""

FURTHEST = math.hypot(0.5, 0.5)
"""Highest frequency of an image, cycles/px."""

STEPS = 4096
"""Of the table of weights, from zero to the highest frequency; linear in between."""

TOGETHER = 4
"""Frames added at once; `_add_turned` is written for so many."""


@dataclass(frozen=True)
class Sums:
    """Means of the frames moved back, ``(h, w)``.

    Attributes
    ----------
    plain
        Of all.
    weighted
        By dose; None without.
    halves
        Of the odd and of the even frames, counted from 1; none unless wanted, or of a single frame.
    """

    plain: Image
    weighted: Image | None
    halves: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Factors:
    """By what frames count in the sums that are kept, of which those that are wanted are made.

    Attributes
    ----------
    frames
        float32 ``(n, r)``; the first column is `share`, and with `halves` so is the last, for the odd frames alone.
    tables
        What the sums by all other columns count for in the weighted sum at each frequency, float32 ``(STEPS + 1, ·)``; None: no such sum.
    """

    frames: Tensor
    tables: Tensor | None
    halves: bool

    @classmethod
    def of(cls, count: int, doses: Tensor | None, pixel_size: float, voltage: float, *, halves: bool) -> "Factors":
        """Return those of `count` frames, at Å per pixel and kV; `doses` are cumulated after each frame, e/Å², ``(n,)``, or unknown."""
        basis, tables = torch.full((count, 1), count**-0.5, dtype=torch.float64), None
        if doses is not None:
            frequency = torch.linspace(0, FURTHEST, STEPS + 1, dtype=torch.float64) / pixel_size
            table = weights(frequency, doses, voltage)
            coarse = table[:, ::8]
            basis = torch.cat([basis, _factors(coarse - basis @ (basis.T @ coarse), EXACT / count)], dim=1)
            tables = (table.T @ basis).to(torch.float32)
        halves = halves and count > 1
        if halves:
            basis = torch.cat([basis, basis[:, :1] * (torch.arange(count) % 2 == 0)[:, None]], dim=1)
        return cls(basis.to(torch.float32), tables, halves)

    @property
    def share(self) -> float:
        """Return what every frame counts in the first sum."""
        return len(self.frames) ** -0.5

    def sums(self, first: Tensor, odd: Tensor | None, weighted: Tensor | None) -> Sums:
        """Return the means, of the first and the last of the sums kept and of the weighted one, images ``(h, w)``."""
        count = len(self.frames)
        halves: tuple[Image, ...] = ()
        if odd is not None:
            halves = (odd / (self.share * ((count + 1) // 2))).numpy(), ((first - odd) / (self.share * (count // 2))).numpy()
        return Sums((first / (self.share * count)).numpy(), None if weighted is None else weighted.numpy(), halves)


class WarpedSums:
    """Sums of images ``(h, w)``. Memory: as many images as frames have factors, and `TOGETHER`."""

    def __init__(self, shape: tuple[int, int], factors: Factors) -> None:
        self._factors = factors
        self._sums = room(factors.frames.shape[1], *shape, dtype=np.float32).zero_()
        self._waiting = room(min(TOGETHER, len(factors.frames)), *shape, dtype=np.float32)
        self._numbers: list[int] = []

    def place(self, number: int) -> Tensor:
        """Return where to write the frame of that number, counted from 0, before anything else is asked."""
        if len(self._numbers) == len(self._waiting):
            self._settle()
        self._numbers.append(number)
        return self._waiting[len(self._numbers) - 1]

    def sums(self) -> Sums:
        """Return the means of all frames that were placed."""
        self._settle()
        weighted, tables = None, self._factors.tables
        if tables is not None:
            height, width = self._sums.shape[1:]
            total = room(height, width // 2 + 1).zero_()
            for number in range(tables.shape[1]):
                table = tables[:, number : number + 1].contiguous()
                _add_filtered(torch.fft.rfft2(self._sums[number : number + 1]).numpy(), table.numpy(), width, total.numpy())
            weighted = inverse(total, width)
        return self._factors.sums(self._sums[0], self._sums[-1] if self._factors.halves else None, weighted)

    def _settle(self) -> None:
        if self._numbers:
            frames = self._waiting[: len(self._numbers)].flatten(1)
            self._sums.flatten(1).addmm_(self._factors.frames[self._numbers].T, frames)
            self._numbers.clear()


class MovedSums:
    """Sums of the transforms of frames ``(h, w)`` moved as a whole, by Fourier phase, which loses nothing. Memory as for `WarpedSums`."""

    def __init__(self, shape: tuple[int, int], factors: Factors) -> None:
        self._shape, self._factors = shape, factors
        columns = shape[1] // 2 + 1
        self._sums = room(factors.frames.shape[1], shape[0], columns).zero_()
        self._waiting = room(min(TOGETHER, len(factors.frames)), shape[0], columns)
        self._piece = np.empty((ROWS, shape[1]), np.float32)
        self._moves: list[tuple[int, Tensor]] = []

    def add(self, number: int, frame: Tensor, motion: Tensor) -> None:
        """Add the frame of that number, from 0, its content moved back by `motion` ``(2,)``, (x, y) in px.

        Whole pixels are moved in place, mirrored at the edges; only the rest is a phase ramp, so that nothing comes in from the other side.
        """
        if len(self._moves) == len(self._waiting):
            self._settle()
        whole = torch.round(motion)
        x, y = int(whole[0]), int(whole[1])

        def moved(rows: slice) -> Tensor:
            piece = self._piece[: rows.stop - rows.start]
            _move(frame.numpy(), x, y, rows.start, piece)
            return torch.from_numpy(piece)

        transform_rows(moved, self._waiting[len(self._moves)])
        self._moves.append((number, motion.to(torch.float64) - whole))

    def sums(self) -> Sums:
        """Return the means of all frames that were added."""
        self._settle()
        weighted, tables, width = None, self._factors.tables, self._shape[1]
        if tables is not None:
            total = room(*self._sums.shape[1:]).zero_()
            _add_filtered(self._sums[: tables.shape[1]].numpy(), tables.numpy(), width, total.numpy())
            weighted = inverse(total, width)
        odd = inverse(self._sums[-1], width) if self._factors.halves else None
        return self._factors.sums(inverse(self._sums[0], width), odd, weighted)

    def _settle(self) -> None:
        if not self._moves:
            return
        numbers, rest = zip(*self._moves, strict=True)
        turns = 2j * math.pi * torch.stack(rest).numpy()
        height, width = self._shape
        along, down = (
            np.exp(turns[:, axis : axis + 1] * each).astype(np.complex64)
            for axis, each in enumerate((np.fft.rfftfreq(width), np.fft.fftfreq(height)))
        )
        factors = np.zeros((self._sums.shape[0], TOGETHER), np.float32)
        factors[:, : len(numbers)] = self._factors.frames[list(numbers)].T
        for frame in self._waiting[: len(numbers)]:
            transform_columns(frame)
        _add_turned(self._waiting[: len(numbers)].numpy(), down, along, factors, torch.view_as_real(self._sums).flatten(2).numpy())
        self._moves.clear()


def _factors(table: Tensor, exact: float) -> Tensor:
    """Return orthonormal columns ``(n, r)`` that span the columns of `table` (n, k) to `exact`; the fewest that do."""
    vectors, values, others = torch.linalg.svd(table, full_matrices=False)
    for rank in range(len(values)):
        rest = (vectors[:, rank:] * values[rank:]) @ others[rank:]
        if float(rest.abs().max()) <= exact:
            return vectors[:, :rank]
    return vectors


@numba.njit(cache=True, nogil=True)
def _move(frame, x, y, top, out):  # pragma: no cover (compiled)
    """Write the rows of a frame from `top` on, moved by whole pixels and mirrored at its edges, to `out` (rows, w)."""
    height, width = frame.shape
    start = min(max(0, -x), width)
    stop = max(start, min(width, width - x))
    for row in range(len(out)):
        source, result = frame[reflected(top + row + y, height)], out[row]
        for column in range(start):
            result[column] = source[reflected(column + x, width)]
        result[start:stop] = source[start + x : stop + x]
        for column in range(stop, width):
            result[column] = source[reflected(column + x, width)]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_turned(transforms, down, along, factors, sums):  # pragma: no cover (compiled)
    """Multiply transforms (k, h, w) by phases of rows (k, h) and columns (k, w), and add them by `factors` (r, TOGETHER).

    To `sums` (r, h, 2 w), of real and imaginary parts in turn.
    """
    frames, height, width = transforms.shape
    turned = np.zeros((TOGETHER, width), np.complex64)
    flat = turned.view(np.float32)
    for y in range(height):
        for f in range(frames):
            row, ramp, result, cos, sin = transforms[f, y], along[f], turned[f], down[f, y].real, down[f, y].imag
            for x in range(width):
                turn_re = cos * ramp[x].real - sin * ramp[x].imag
                turn_im = cos * ramp[x].imag + sin * ramp[x].real
                result[x] = complex(row[x].real * turn_re - row[x].imag * turn_im, row[x].real * turn_im + row[x].imag * turn_re)
        for r in range(len(factors)):
            line, one, two, three, four = sums[r, y], factors[r, 0], factors[r, 1], factors[r, 2], factors[r, 3]
            for x in range(2 * width):
                line[x] += one * flat[0, x] + two * flat[1, x] + three * flat[2, x] + four * flat[3, x]


@numba.njit(cache=True, nogil=True)
def _add_filtered(transforms, tables, width, total):  # pragma: no cover (compiled)
    """Add half-plane transforms (r, h, w // 2 + 1), each times its isotropic filter in `tables` (STEPS + 1, r), to `total`."""
    count, height, columns = transforms.shape
    scale = np.float32(STEPS / FURTHEST)
    for y in range(height):
        ky = np.float32((y if y < (height + 1) // 2 else y - height) / height)
        for x in range(columns):
            kx = np.float32(x / width)
            place = np.sqrt(ky * ky + kx * kx) * scale
            step = min(int(place), STEPS - 1)
            part = place - np.float32(step)
            here, beyond = tables[step], tables[step + 1]
            real, imag = np.float32(0), np.float32(0)
            for r in range(count):
                weight = here[r] + part * (beyond[r] - here[r])
                real += weight * transforms[r, y, x].real
                imag += weight * transforms[r, y, x].imag
            total[y, x] += complex(real, imag)
