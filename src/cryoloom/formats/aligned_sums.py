"""What aligning a movie leaves behind: the sums of its frames, the picture of their spectra, and the columns that tell the motion."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoloom.data import movie_alignment
from cryoloom.formats.mrc import write_mrc
from cryoloom.spec import Item
from cryoloom.tables import Hashed

if TYPE_CHECKING:
    from cryoloom.numerics.motion.correct import Exposure, Motion
    from cryoloom.numerics.motion.field import Field
    from cryoloom.numerics.motion.frames import Frames, Part

ENDINGS = {"micrograph": "", "weighted": "_DW", "odd": "_odd", "even": "_even"}

EARLY_DOSE = 4.0
"""e/Å² after which motion counts as late."""


def aligned_row(form: Any, item: Item, frames: "Frames", motion: "Motion") -> dict[str, Any]:
    """Sum the frames of a movie as the form of its alignment asks for, moved back by the motion found, and return its row.

    Parameters
    ----------
    form
        Has the fields that `data.movie_alignment` declares.
    frames
        All that were aligned.
    """
    from cryoloom.numerics.fourier.ratios import exact_ratio
    from cryoloom.numerics.motion.correct import Exposure
    from cryoloom.numerics.motion.frames import Part

    dose, numbers = item.row.get("dose_per_frame"), movie_alignment.summed(form, item, frames.count)
    exposure = Exposure(item["pixel_size"], item["voltage"])
    if form.dose_weighting == "yes" or (form.dose_weighting == "auto" and dose is not None):
        before = (item.row.get("pre_exposure") or 0.0) + (form.first_frame - 1 + numbers.start) * (dose or 0.0)
        exposure = Exposure(item["pixel_size"], item["voltage"], dose, before)
    part, field = Part(frames, numbers), motion.field.of_frames(numbers)
    return {
        **_write_sums(item, part, field, exposure, ratio=exact_ratio(form.bin_factor), halves=form.halves),
        **_motion_columns(motion.field, item["pixel_size"], dose),
        "crop_x": form.crop_x,
        "crop_y": form.crop_y,
        "first_frame": form.first_frame,
        "motion_error": float(motion.error) if np.isfinite(motion.error) else None,
        "motion_sure": motion.sure,
        "motion_refused": motion.refused,
        "bad_pixels": frames.bad_pixels,
        # all of the file has just been read: it is at hand, as it was not when it was imported
        "movie_blake3": Hashed.of(item.file("movie_path")).blake3,
    }


def _write_sums(item: Item, frames: "Part", field: "Field", exposure: "Exposure", *, ratio: Fraction, halves: bool) -> dict[str, Any]:
    """Write the sums of `frames` moved back by `field`, and return the columns that name them.

    Parameters
    ----------
    exposure
        With a dose: also a dose-weighted sum.
    ratio
        Pixels of the frames in one of the sums.
    halves
        Also write the sums of the odd and of the even frames, counted from 1.
    """
    from cryoloom.numerics.motion.correct import sum_frames
    from cryoloom.numerics.motion.picture import halves as both_spectra
    from cryoloom.numerics.particles.extract import bin_image

    size = exposure.pixel_size * float(ratio)
    sums = sum_frames(frames, field, exposure, halves=halves)
    columns: dict[str, Any] = {"weighted_path": None}
    images = {"micrograph": sums.plain, "weighted": sums.weighted, **dict(zip(("odd", "even"), sums.halves, strict=False))}
    for name, image in images.items():
        if image is not None:
            columns[f"{name}_path"] = item.output(f"{ENDINGS[name]}.mrc")
            write_mrc(columns[f"{name}_path"], bin_image(image, ratio), size)
    columns["psd_path"] = item.output("_psd.mrc")
    write_mrc(columns["psd_path"], both_spectra(sums.plain, frames.mean().numpy()), exposure.pixel_size)
    height, width = (int(side / ratio) for side in frames.shape)
    return {**columns, "width": width, "height": height}


def _motion_columns(field: "Field", pixel_size: float, dose_per_frame: float | None) -> dict[str, Any]:
    """Return the columns that tell a motion: shifts with RELION's sign, its polynomial, and lengths in Å."""
    from cryoloom.numerics.motion.field import relion_polynomial

    shifts = -field.motion.numpy()
    steps = np.hypot(*np.diff(shifts, axis=0).T) * pixel_size
    early = _early(steps.tolist(), dose_per_frame)
    return {
        "shift_x": shifts[:, 0].tolist(),
        "shift_y": shifts[:, 1].tolist(),
        "motion_model": relion_polynomial(field).tolist() if field.local is not None else None,
        "motion_field": None if field.local is None else field.local.flatten().tolist(),
        "motion_total": float(steps.sum()),
        "motion_early": early,
        "motion_late": float(steps.sum() - early),
        "local_motion": field.local_rms() * pixel_size,
    }


def _early(steps: Sequence[float], dose_per_frame: float | None) -> float:
    """Return the part of the motion that lies in the first `EARLY_DOSE`, or the first four frames where the dose is not known."""
    return float(np.sum(steps[: max(1, round(EARLY_DOSE / dose_per_frame))] if dose_per_frame else steps[:4]))
