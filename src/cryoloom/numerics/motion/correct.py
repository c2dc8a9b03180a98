"""A movie to its micrograph: motion of frames and patches, then the sums of the frames moved back."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.motion.dose import DoseWeights, left
from cryoloom.numerics.motion.field import Field
from cryoloom.numerics.motion.frames import Frames, Part
from cryoloom.numerics.motion.local import estimate_local
from cryoloom.numerics.motion.patches import patch_grid
from cryoloom.numerics.motion.rigid import SURE, estimate_rigid
from cryoloom.numerics.motion.spectra import Band, Spectra, band_spectrum, edge_window, whiten
from cryoloom.numerics.motion.warp import rigid_transform, warped

Image = NDArray[np.float32]

SMALLEST_FOR_PATCHES = 400
"""Px of the short side below which frames are not cut into patches."""

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
    """

    field: Field
    confidence: float
    error: float
    evidence: float

    @property
    def sure(self) -> bool:
        """Return whether frames were found to correlate at all."""
        return self.confidence >= SURE


def frame_spectra(frames: Frames, exposure: Exposure) -> Spectra:
    """Return the whitened spectra of all frames, up to 4 Å or so: beyond, single frames carry nothing that could be aligned."""
    band = Band.fitting(frames.shape, min(0.5, max(0.2, exposure.pixel_size / 4.0)))
    window = edge_window(frames.shape)
    values = torch.stack([band_spectrum(frames.get(number), window, band) for number in range(frames.count)])
    fade = None
    if exposure.dose_per_frame is not None:
        frequency = torch.arange(int(band.rings().max()) + 1, dtype=torch.float64) * band.spacing / exposure.pixel_size
        doses = (torch.arange(frames.count, dtype=torch.float64) + 0.5) * exposure.dose_per_frame
        fade = left(frequency[None, :], doses[:, None], exposure.voltage)
    return whiten(values, band, fade, frames.means)


def estimate_motion(frames: Frames, exposure: Exposure, *, reach: float, grid: tuple[int, int] | None) -> Motion:
    """Estimate motion.

    Parameters
    ----------
    reach
        Largest displacement from the mean that is searched, px.
    grid
        Patches (y, x); None chooses them, (1, 1) means whole frames only.
    """
    if frames.count == 1:
        return Motion(Field(torch.zeros(1, 2, dtype=torch.float64)), math.inf, 0.0, 0.0)
    spectra = frame_spectra(frames, exposure)
    rigid = estimate_rigid(spectra, min(0.25, 0.14 * exposure.pixel_size), reach)
    grid = grid or (patch_grid(frames.shape) if min(frames.shape) >= SMALLEST_FOR_PATCHES else (1, 1))
    if not rigid.error < CERTAIN or min(grid) < 3:
        return Motion(Field(rigid.motion), rigid.confidence, rigid.error, 0.0)
    local = estimate_local(spectra, rigid, grid)
    return Motion(local.field, rigid.confidence, rigid.error, local.evidence)


def sum_frames(
    frames: Frames | Part, field: Field, exposure: Exposure, *, report: Callable[[int], None] | None = None
) -> tuple[Image, Image | None]:
    """Return the mean of the frames moved back, and the dose-weighted mean (None without a dose).

    Whole frames are moved by Fourier phase, which loses nothing; fields by interpolation (`warp`).
    """
    height, width = frames.shape
    weights = None
    if exposure.dose_per_frame is not None:
        doses = exposure.pre_exposure + torch.arange(1, frames.count + 1, dtype=torch.float64) * exposure.dose_per_frame
        weights = DoseWeights(frames.shape, exposure.pixel_size, doses, exposure.voltage)
    plain = torch.zeros(height, width // 2 + 1, dtype=torch.complex64)
    weighted = torch.zeros_like(plain)
    for number in range(frames.count):
        transform = _moved_back(frames.get(number), field, number)
        plain += transform
        if weights is not None:
            weighted += transform * weights.of(number)
        if report:
            report(number + 1)
    image = torch.fft.irfft2(plain / frames.count, s=(height, width)).numpy()
    return image, None if weights is None else torch.fft.irfft2(weighted, s=(height, width)).numpy()


def _moved_back(frame: Tensor, field: Field, number: int) -> Tensor:
    if field.local is None:
        return rigid_transform(frame, field.motion[number])
    return torch.fft.rfft2(warped(frame, field, number))
