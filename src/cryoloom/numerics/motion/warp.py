"""Moving frames back: whole frames by Fourier phase, fields by interpolation with 16 taps an axis. What leaves the frame is mirrored in.

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

from cryoloom.numerics.fourier.transforms import shift_phases
from cryoloom.numerics.motion.field import Field

TAPS = 16
PHASE_BITS = 10
PHASES = 1 << PHASE_BITS
PASS_BAND = 0.45  # cycles/px
NODE_STEP = 32  # px between places where the field is evaluated; linear in between


def _mirrored(start: int, length: int) -> Tensor:
    """Return indices ``start … start + length - 1`` into an axis of `length`, reflected at its ends (the edge is not repeated)."""
    period = max(1, 2 * length - 2)
    index = torch.remainder(torch.arange(start, start + length), period)
    return torch.minimum(index, period - index)


def rigid_transform(frame: Tensor, motion: Tensor) -> Tensor:
    """Return the ``rfft2`` of a frame ``(h, w)`` whose content is moved back by `motion` ``(2,)``, (x, y) in px.

    Whole pixels are moved in place, mirrored at the edges; only the rest is a phase ramp, so that nothing comes in from the other side.
    """
    height, width = frame.shape
    whole = torch.round(motion)
    x, y = int(whole[0]), int(whole[1])
    if x or y:
        frame = frame[_mirrored(y, height)][:, _mirrored(x, width)]
    transform = torch.fft.rfft2(frame)
    rest = (whole - motion).to(torch.float32)
    return transform * shift_phases((height, width), rest) if bool(rest.any()) else transform


def warped(frame: Tensor, field: Field, number: int) -> Tensor:
    """Return a frame ``(h, w)``, the `number`-th of `field`, with its content moved back to where it is in the first frame."""
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
    table = taps()
    turned = _resampled(np.ascontiguousarray(frame.numpy()), horizontal.to(torch.float32).numpy(), NODE_STEP, table)
    return torch.from_numpy(_resampled(turned, np.ascontiguousarray(vertical.T.to(torch.float32).numpy()), NODE_STEP, table))


@cache
def taps() -> NDArray[np.float32]:
    """Return interpolation weights ``(PHASES, TAPS)``: row p is for a place p / PHASES beyond the tap at index TAPS / 2 - 1."""
    index = np.arange(TAPS) - (TAPS // 2 - 1)
    beyond = np.arange(PHASES) / PHASES
    kept = 2 * PASS_BAND
    inverse = np.linalg.inv(kept * np.sinc(kept * (index[:, None] - index)) + 1e-9 * np.eye(TAPS))
    weights = inverse @ (kept * np.sinc(kept * (index[:, None] - beyond)))
    sums = inverse.sum(axis=1)
    weights += sums[:, None] * (1 - weights.sum(axis=0)) / sums.sum()
    return np.ascontiguousarray(weights.T.astype(np.float32))


def _resampled(image: NDArray[np.float32], nodes: NDArray[np.float32], step: int, table: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty((image.shape[1], image.shape[0]), np.float32)
    margin = int(math.ceil(float(np.abs(nodes).max()))) + TAPS
    _resample_rows(image, nodes, step, table.reshape(-1), margin, out)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _resample_rows(image, nodes, step, table, margin, out):  # pragma: no cover (compiled)
    """Sample every row of `image` (h, w) at x + displacement and write the result transposed, `out` (w, h)."""
    height, width = image.shape
    origin = margin - (TAPS // 2 - 1)
    period = max(1, 2 * width - 2)
    block = 16
    line = np.empty(width + 2 * margin, np.float32)
    rows = np.empty((block, width + 24), np.float32)  # not a power of two apart, for the cache
    moved = np.empty(nodes.shape[1], np.float32)
    for top in range(0, height, block):
        count = min(block, height - top)
        for r in range(count):
            y = top + r
            line[margin : margin + width] = image[y]
            for i in range(margin):
                left = (-1 - i) % period
                right = (width + i) % period
                line[margin - 1 - i] = image[y, min(left, period - left)]
                line[margin + width + i] = image[y, min(right, period - right)]
            node = y // step
            part = np.float32((y - node * step) / step)
            for i in range(nodes.shape[1]):
                moved[i] = nodes[node, i] + part * (nodes[node + 1, i] - nodes[node, i])
            for cell in range(nodes.shape[1] - 1):
                start = cell * step
                slope = (moved[cell + 1] - moved[cell]) / np.float32(step)
                for x in range(start, min(width, start + step)):
                    place = np.int32(np.floor((moved[cell] + slope * np.float32(x - start)) * np.float32(PHASES) + np.float32(0.5)))
                    first = x + origin + (place >> PHASE_BITS)
                    weights = (place & (PHASES - 1)) * TAPS
                    total = np.float32(0.0)
                    for t in range(TAPS):
                        total += table[weights + t] * line[first + t]
                    rows[r, x] = total
        for x in range(width):
            for r in range(count):
                out[x, top + r] = rows[r, x]
