"""Moving frames back by a field: interpolation with 16 taps an axis. What leaves the frame is mirrored in.

The taps are the least-squares approximation of an exact shift up to 0.45 cycles/px that keeps constants. Averaged over sub-pixel places,
amplitude is kept within 1 % up to 0.42 cycles/px, 5 % is lost at 0.447, 12 % at 0.46 (cubic B-splines lose 17 % at 0.4).
"""

import math
from functools import cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.motion.field import Field

TAPS = 16
PHASE_BITS = 8
PHASES = 1 << PHASE_BITS
PASS_BAND = 0.45  # cycles/px
NODE_STEP = 32  # px between places where the field is evaluated; linear in between
CELL = 16  # px along x that are sampled with one set of weights, unless displacements differ by more than STEEP within
STEEP = 0.1  # px
STRIP = 128  # columns that are resampled together
BEFORE = TAPS // 2 - 1  # taps before the place


def warped(frame: Tensor, field: Field, number: int) -> Tensor:
    """Return a frame ``(h, w)``, the `number`-th of `field`, with its content moved back to where it is in the first frame."""
    return warp(frame.clone(memory_format=torch.contiguous_format), field, number)


def warp(frame: Tensor, field: Field, number: int) -> Tensor:
    """Do what `warped` does to the frame itself, which must be contiguous, and return it."""
    height, width = frame.shape
    across = torch.arange(0, width + NODE_STEP, NODE_STEP, dtype=torch.float64)
    down = torch.arange(0, height + NODE_STEP, NODE_STEP, dtype=torch.float64)
    x, y = torch.meshgrid(across, down, indexing="xy")

    def displacement(rows: Tensor) -> Tensor:
        return field.at(number, x / width - 0.5, rows / height - 0.5)

    vertical = displacement(y)[..., 1]
    row = y  # of the result, that the recorded row y goes into
    for _ in range(4):
        row = y - displacement(row)[..., 1]
    horizontal = displacement(row)[..., 0]
    return resample(frame, horizontal.to(torch.float32), vertical.to(torch.float32))


def resample(frame: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Sample a contiguous frame ``(h, w)`` at x + `horizontal`, then at y + `vertical`, in place, and return it.

    Displacements are px at nodes `NODE_STEP` px apart that reach beyond the frame, float32 ``(rows, columns)``: those of x belong to
    recorded rows, those of y to rows of the result.
    """
    image, table = frame.numpy(), taps()
    for kernel, nodes in ((_resample_rows, horizontal), (_resample_columns, vertical)):
        places = np.ascontiguousarray(nodes.numpy())
        kernel(image, places, table, int(math.ceil(float(np.abs(places).max()))) + TAPS)
    return frame


@cache
def taps() -> NDArray[np.float32]:
    """Return interpolation weights ``(PHASES, TAPS)``: row p is for a place p / PHASES beyond the tap at index `BEFORE`."""
    index = np.arange(TAPS) - BEFORE
    beyond = np.arange(PHASES) / PHASES
    kept = 2 * PASS_BAND
    inverse = np.linalg.inv(kept * np.sinc(kept * (index[:, None] - index)) + 1e-9 * np.eye(TAPS))
    weights = inverse @ (kept * np.sinc(kept * (index[:, None] - beyond)))
    sums = inverse.sum(axis=1)
    weights += sums[:, None] * (1 - weights.sum(axis=0)) / sums.sum()
    return np.ascontiguousarray(weights.T.astype(np.float32))


@numba.njit(cache=True, nogil=True, forceinline=True)
def reflected(index, length):  # pragma: no cover (compiled)
    """Return where `index` falls on an axis of `length` that is mirrored at its ends."""
    period = max(1, 2 * length - 2)
    inside = index % period
    return min(inside, period - inside)


@numba.njit(cache=True, nogil=True, fastmath=True, forceinline=True)
def _between(nodes, y, out):  # pragma: no cover (compiled)
    """Fill `out` with the displacements of row `y` at the nodes along x."""
    node = y // NODE_STEP
    part = np.float32(y - node * NODE_STEP) / np.float32(NODE_STEP)
    for i in range(len(out)):
        out[i] = nodes[node, i] + part * (nodes[node + 1, i] - nodes[node, i])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _resample_rows(image, nodes, table, margin):  # pragma: no cover (compiled)
    """Sample every row of `image` (h, w) at x + displacement, in place."""
    height, width = image.shape
    line = np.zeros(width + 2 * margin + NODE_STEP, np.float32)
    moved, row = np.empty(nodes.shape[1], np.float32), np.empty(width + NODE_STEP, np.float32)
    for y in range(height):
        line[margin : margin + width] = image[y]
        for i in range(margin):
            line[i] = image[y, reflected(i - margin, width)]
            line[margin + width + i] = image[y, reflected(width + i, width)]
        _between(nodes, y, moved)
        _fill(line, margin - BEFORE, 1, moved, width, table, row)
        image[y] = row[:width]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _resample_columns(image, nodes, table, margin):  # pragma: no cover (compiled)
    """Sample every column of `image` (h, w) at y + displacement, in place, `STRIP` columns at a time."""
    height, width = image.shape
    strip = np.zeros((height + 2 * margin, STRIP), np.float32)
    line = strip.reshape(-1)
    moved, row = np.empty(STRIP // NODE_STEP + 1, np.float32), np.empty(STRIP, np.float32)
    for x in range(0, width, STRIP):
        count = min(STRIP, width - x)
        for y in range(height + 2 * margin):
            strip[y, :count] = image[reflected(y - margin, height), x : x + count]
        here = nodes[:, x // NODE_STEP : x // NODE_STEP + 1 + (count + NODE_STEP - 1) // NODE_STEP]
        for y in range(height):
            _between(here, y, moved[: here.shape[1]])
            _fill(line, (y + margin - BEFORE) * STRIP, STRIP, moved, count, table, row)
            image[y, x : x + count] = row[:count]


@numba.njit(cache=True, nogil=True, fastmath=True, forceinline=True)
def _fill(source, base, stride, moved, width, table, row):  # pragma: no cover (compiled)
    """Fill `width` px of `row`: tap t of pixel i is ``source[base + stride (t + whole displacement) + i]``; `moved` is given at nodes."""
    for node in range((width + NODE_STEP - 1) // NODE_STEP):
        slope = (moved[node + 1] - moved[node]) / np.float32(NODE_STEP)
        for cell in range(NODE_STEP // CELL):
            start = moved[node] + slope * np.float32(cell * CELL)
            first = node * NODE_STEP + cell * CELL
            out = row[first : first + CELL]
            if abs(slope) * CELL <= STEEP:
                place = np.int64(np.floor((start + slope * np.float32(0.5 * (CELL - 1))) * np.float32(PHASES) + np.float32(0.5)))
                weights, tap = table[place & (PHASES - 1)], base + first + stride * (place >> PHASE_BITS)
                piece = source[tap : tap + stride * TAPS + CELL]
                for i in range(CELL):
                    total = np.float32(0)
                    for t in range(TAPS):
                        total += weights[t] * piece[stride * t + i]
                    out[i] = total
            else:
                for i in range(CELL):
                    place = np.int64(np.floor((start + slope * np.float32(i)) * np.float32(PHASES) + np.float32(0.5)))
                    weights, tap = table[place & (PHASES - 1)], base + first + i + stride * (place >> PHASE_BITS)
                    total = np.float32(0)
                    for t in range(TAPS):
                        total += weights[t] * source[tap + stride * t]
                    out[i] = total
