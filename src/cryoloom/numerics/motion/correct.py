"""A movie to its micrograph: motion of frames and patches, then the sums of the frames moved back.

Frames are passed over three times, one at a time: to check them and find bad pixels, for their spectra, and to be summed. What is held for
all of them at once are the bands of their spectra and of their patches (about 12 bytes for each pixel of `LARGEST_STACK` at most, however
many frames); beside these, first the spectra and then the sums, some ten images of a frame's size.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.motion.dose import left
from cryoloom.numerics.motion.field import Field, between
from cryoloom.numerics.motion.frames import Frames, Part
from cryoloom.numerics.motion.local import estimate_local
from cryoloom.numerics.motion.patches import patch_grid
from cryoloom.numerics.motion.rigid import SURE, estimate_rigid
from cryoloom.numerics.motion.spectra import LARGEST_BAND, Band, Spectra, edge_window, whiten
from cryoloom.numerics.motion.sums import Factors, MovedSums, Sums, WarpedSums
from cryoloom.numerics.motion.transforms import BandTransform, room
from cryoloom.numerics.motion.warp import warp

SMALLEST_FOR_PATCHES = 400
"""Px of the short side below which frames are not cut into patches."""

FINEST = 4.0
"""Å: nothing finer is looked at in the alignment (where pixels are small, nothing above 0.2 cycles/px)."""

ENOUGH = 1024 * 1024
"""Px of an image that holds band enough, unless a frame has more than four times as many."""

SEARCHED = 9.0
"""Å: nothing finer is looked at in the search."""

LARGEST_STACK = 64_000_000
"""Px of all images together that hold the bands of a movie's frames; their half planes take four bytes a pixel."""

CERTAIN = 0.25
"""Px of error of the motion of whole frames above which none is looked for in patches: so little signal cannot tell more."""


@dataclass(frozen=True)
class Exposure:
    """Pixel size in Å, voltage in kV, dose a frame and before the first in e/Å² (None: unknown)."""

    pixel_size: float
    voltage: float
    dose_per_frame: float | None = None
    pre_exposure: float = 0.0


@dataclass(frozen=True)
class Motion:
    """What was found.

    Attributes
    ----------
    field
        Displacement of the content, px, zero for the first frame.
    confidence, error
        Of the motion of whole frames; below `rigid.SURE` none is claimed. Error in px per axis.
    evidence
        Log evidence of local motion; 0 when there is none.
    refused
        Whether a motion was found that is worse than none (`rigid.Rigid`), and none is claimed.
    """

    field: Field
    confidence: float
    error: float
    evidence: float
    refused: bool = False

    @property
    def sure(self) -> bool:
        """Return whether frames were found to correlate, and by a motion that does them good."""
        return self.confidence >= SURE and not self.refused


def frame_spectra(frames: Frames, exposure: Exposure, group: int = 1) -> Spectra:
    """Return the whitened spectra of sums of `group` frames, up to `FINEST`: beyond, single frames carry nothing that could be aligned.

    Their memory is bounded: many frames share `LARGEST_STACK`, so that more frames mean lower frequencies and not more bytes.
    """
    groups = -(-frames.count // group)
    limit = min(0.5, max(0.2, exposure.pixel_size / FINEST))
    largest = min(LARGEST_BAND, LARGEST_STACK / groups, max(ENOUGH, frames.shape[0] * frames.shape[1] / 4))
    band = Band.fitting(frames.shape, limit, largest)
    values = room(groups, band.kept[0], band.kept[1] // 2 + 1).zero_()
    frame, transform = room(*frames.shape, dtype=np.float32), BandTransform(edge_window(frames.shape), band)
    for number in range(frames.count):
        transform.add(frames.get(number, frame), values[number // group])
    means = torch.zeros(groups, dtype=torch.float64).index_add_(0, torch.arange(frames.count) // group, frames.means)
    fade = None
    if exposure.dose_per_frame is not None:
        frequency = torch.arange(int(band.rings().max()) + 1, dtype=torch.float64) * band.spacing / exposure.pixel_size
        doses = (middles(frames.count, group) + 0.5) * exposure.dose_per_frame
        fade = left(frequency[None, :], doses[:, None], exposure.voltage)
    return whiten(values, band, fade, means)


def middles(count: int, group: int) -> Tensor:
    """Return where the middle of each group of frames lies, in frames from the first, float64 ``(groups,)``."""
    starts = torch.arange(0, count, group, dtype=torch.float64)
    return (starts + (starts + group).clamp_max(count) - 1) / 2


def estimate_motion(
    frames: Frames, exposure: Exposure, *, reach: float, grid: tuple[int, int] | None, group: int = 1, start: Tensor | None = None
) -> Motion:
    """Estimate motion.

    Parameters
    ----------
    reach
        Largest displacement from the mean that is searched, px.
    grid
        Patches (y, x); None chooses them, (1, 1) means whole frames only.
    group
        Frames that are summed and aligned as one; each then has the place that the path between the middles of groups has.
    start
        Known displacements of the frames ``(n, 2)``, px, from which the motion is found; None: searched for.
    """
    if frames.count == 1:
        return Motion(Field(torch.zeros(1, 2, dtype=torch.float64)), math.inf, 0.0, 0.0)
    group = min(group, -(-frames.count // 2))
    spectra = frame_spectra(frames, exposure, group)
    times = middles(frames.count, group)
    begin = None if start is None else between(start, torch.arange(frames.count, dtype=torch.float64), times)
    rigid = estimate_rigid(spectra, min(0.25, exposure.pixel_size / SEARCHED), reach, begin)
    grid = grid or (patch_grid(frames.shape) if min(frames.shape) >= SMALLEST_FOR_PATCHES else (1, 1))
    field, evidence = Field(rigid.motion), 0.0
    if rigid.error < CERTAIN and min(grid) >= 3:
        local = estimate_local(spectra, rigid, grid)
        field, evidence = local.field, local.evidence
    return Motion(_of_frames(field, times, frames.count), rigid.confidence, rigid.error, evidence, rigid.refused)


def sum_frames(frames: Frames | Part, field: Field, exposure: Exposure, *, halves: bool = False) -> Sums:
    """Sum the frames moved back; with a dose also weighted by it, with `halves` also every other frame.

    Whole frames are moved by Fourier phase, which loses nothing; fields by interpolation (`warp`).
    """
    doses = None
    if exposure.dose_per_frame is not None:
        doses = exposure.pre_exposure + torch.arange(1, frames.count + 1, dtype=torch.float64) * exposure.dose_per_frame
    factors = Factors.of(frames.count, doses, exposure.pixel_size, exposure.voltage, halves=halves)
    if field.local is None:
        moved, frame = MovedSums(frames.shape, factors), room(*frames.shape, dtype=np.float32)
        for number in range(frames.count):
            moved.add(number, frames.get(number, frame), field.motion[number])
        return moved.sums()
    warped = WarpedSums(frames.shape, factors)
    for number in range(frames.count):
        warp(frames.get(number, warped.place(number)), field, number)
    return warped.sums()


def _of_frames(field: Field, times: Tensor, count: int) -> Field:
    """Return the field of every frame out of that at `times`, zero for the first."""
    if len(times) == count:
        return field
    every = torch.arange(count, dtype=torch.float64)
    motion = between(field.motion, times, every)
    local = None if field.local is None else between(field.local, times, every)
    return Field(motion - motion[:1], local)
