"""What every alignment of movies asks for and gives: which frames, which part of them, how they are summed; declared once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator

from cryoloom.data.aligned import micrographs_of
from cryoloom.data.identity import other_items
from cryoloom.data.kinds import Micrographs
from cryoloom.spec import Failure, Hint, Item, Job, Outputs, Param
from cryoloom.units import Angstrom, Pixels


@dataclass(frozen=True)
class Aligned(Outputs):
    """One micrograph a movie."""

    micrographs: Micrographs


def _words(**words: str) -> BeforeValidator:
    """Take other forms' yes and no for our words."""
    return BeforeValidator(lambda value: words.get(str(value).lower(), value))


FirstFrame = Annotated[int, Param(
    "First frame", 1, ge=1, aliases=("alignFrame0", "firstFrame"), help="Frames before it are left out of everything.",
)]  # fmt: skip
LastFrame = Annotated[int, Param(
    "Last frame", 0, ge=0, aliases=("alignFrameN", "lastFrame"), help="0 means the last there is. Later ones are left out.",
)]  # fmt: skip
SumRange = Annotated[Literal["aligned", "chosen"], _words(true="aligned", false="chosen"), Param(
    "Frames to sum", "aligned", aliases=("useAlignToSum",), help="aligned: all that are aligned. chosen: a part of them, given below.",
)]  # fmt: skip
FirstSummed = Annotated[int, Param(
    "First frame to sum", 1, ge=1, when="sum_range=chosen", aliases=("sumFrame0",), help="From the first frame that is aligned on.",
)]  # fmt: skip
LastSummed = Annotated[int, Param(
    "Last frame to sum", 0, ge=0, when="sum_range=chosen", aliases=("sumFrameN",), help="0 means the last that is aligned.",
)]  # fmt: skip
BinFactor = Annotated[float, Param(
    "Binning", 1.0, ge=1, le=16, aliases=("binFactor",), help="Of the micrographs; 2 for super-resolution movies. Detail beyond is lost.",
)]  # fmt: skip
CropX = Annotated[Pixels, Param(
    "Region, first column", 0, ge=0, group="Region", aliases=("cropOffsetX",), help="Px of the movie left of it are not used.",
)]  # fmt: skip
CropY = Annotated[Pixels, Param(
    "Region, first row", 0, ge=0, group="Region", aliases=("cropOffsetY",), help="Px of the movie above it are not used.",
)]  # fmt: skip
CropWidth = Annotated[Pixels, Param(
    "Region, columns", 0, ge=0, group="Region", aliases=("cropDimX",), help="0 takes whole frames; give both or neither.",
)]  # fmt: skip
CropHeight = Annotated[Pixels, Param(
    "Region, rows", 0, ge=0, group="Region", aliases=("cropDimY",), help="0 takes whole frames; give both or neither.",
)]  # fmt: skip
DoseWeighting = Annotated[Literal["auto", "yes", "no"], _words(true="auto", false="no"), Param(
    "Dose weighting", "auto", aliases=("doDW", "doDoseWeighting", "doApplyDoseFilter"),
    help="Also write sums in which late frames count less at high resolution; auto: when the dose is known. A wrong dose dims detail.",
)]  # fmt: skip
DoseAligning = Annotated[bool, Param(
    "Dose weighting for alignment", True, advanced=True, aliases=("applyDosePreAlign",),
    help="Frames count for the alignment by what radiation has left of their detail, where the dose is known.",
)]  # fmt: skip
Halves = Annotated[bool, Param(
    "Sums of odd and even frames", False, advanced=True, aliases=("splitEvenOdd",),
    help="For denoising by training and for validation. They take memory, not time.",
)]  # fmt: skip
UseAlignment = Annotated[Literal["auto", "yes", "no"], _words(true="auto", false="no"), Param(
    "Use earlier alignment", "auto", advanced=True, aliases=("useAlignment",),
    help="auto: where movies have one. yes: movies without one fail. It is followed only if frames agree better than by our own search.",
)]  # fmt: skip
MaxShift = Annotated[Angstrom, Param(
    "Largest shift", 100.0, gt=0, advanced=True, aliases=("maxShift",),
    help="From the mean position. Movies that moved further are aligned wrongly, and look it.",
)]  # fmt: skip


def hints(form: Any) -> Iterator[Hint]:
    """Tell what cannot be in the fields of `form` that this module declares, and its inputs."""
    first, last = form.first_frame, form.last_frame
    longest = max(form.movies.enabled()["frames"], default=0)
    if last and last < first:
        yield Hint("last_frame", f"{last} is before the first frame, {first}", fix=0)
    elif longest and max(first, last) > longest:
        name = "first_frame" if first > longest else "last_frame"
        yield Hint(
            name, f"{max(first, last)} is beyond every movie: they have frames 1 to {longest}", fix=1 if name == "first_frame" else 0
        )
    if form.sum_range == "chosen":
        if form.first_summed < first:
            yield Hint("first_summed", f"{form.first_summed} is before the first frame aligned, {first}", fix=first)
        if form.last_summed and form.last_summed < form.first_summed:
            yield Hint("last_summed", f"{form.last_summed} is before the first frame summed, {form.first_summed}", fix=0)
        if last and max(form.first_summed, form.last_summed) > last:
            yield Hint("last_summed", f"is beyond the last frame aligned, {last}", fix=0)
    if (form.crop_width == 0) != (form.crop_height == 0):
        yield Hint("crop_width" if form.crop_width == 0 else "crop_height", "is 0 and the other is not; give both or neither")
    elif form.crop_width == 0 and (form.crop_x or form.crop_y):
        yield Hint("crop_width", "is needed, and crop_height, for a region that does not begin in the corner")
    if form.dose_weighting == "yes" and any(group.get("dose_per_frame") is None for group in form.movies.optics):
        yield Hint("dose_weighting", "needs the dose per frame, which these movies were imported without", fix="no")
    if form.use_alignment == "yes" and form.alignment is None and "shift_x" not in form.movies.schema:
        yield Hint("use_alignment", "needs an earlier alignment, and these movies have none", fix="auto")
    if form.alignment is not None:
        if "shift_x" not in form.alignment.schema:
            yield Hint("alignment", "has no shifts of frames: give micrographs that were aligned here or imported with their motion")
        elif unlike := other_items(form.movies, form.alignment):
            yield Hint("alignment", f"is not of these movies: {unlike}")


def movies_with_alignment(form: Any) -> Any:
    """Return the movies, with the shifts of the earlier alignment that is to be tried."""
    if form.alignment is None or form.use_alignment == "no":
        return form.movies
    return form.movies.with_columns(form.alignment.enabled().select("id", "shift_x", "shift_y", "first_frame"))


def exposure_aligned(form: Any, item: Item) -> Any:
    """Return the exposure by which the frames of a movie count for its alignment."""
    from cryoloom.numerics.motion.correct import Exposure

    return Exposure(item["pixel_size"], item["voltage"], item.row.get("dose_per_frame") if form.dose_aligning else None)


def region(form: Any) -> tuple[int, int, int, int] | None:
    """Return first column and row, columns and rows of the part of the frames that is wanted; None: all."""
    return (form.crop_x, form.crop_y, form.crop_width, form.crop_height) if form.crop_width else None


def summed(form: Any, item: Item, count: int) -> range:
    """Return the numbers, from 0 among the `count` aligned frames, of those that are summed."""
    if form.sum_range == "aligned":
        return range(count)
    start = form.first_summed - form.first_frame
    stop = form.last_summed - form.first_frame + 1 if form.last_summed else count
    if stop > count or start >= stop:
        raise Failure(
            "frame-range",
            f"{item['movie_name']}: frames {form.first_frame} to {form.first_frame + count - 1} are aligned; {form.first_summed} to "
            f"{form.last_summed or 'the last'} were to be summed.",
            "Change first_summed or last_summed.",
        )
    return range(start, stop)


def known_motion(form: Any, item: Item, count: int) -> Any:
    """Return the displacements of an earlier alignment, ``(count, 2)`` px, or None; frames it lacks stay where their neighbour is."""
    import numpy as np
    import torch

    shifts = item.row.get("shift_x")
    if form.use_alignment == "no" or (shifts is None and form.use_alignment == "auto"):
        return None
    if shifts is None:
        raise Failure("no-alignment", f"{item['movie_name']} has no earlier alignment.", "Set use_alignment to auto.")
    known = np.stack([np.asarray(shifts, dtype=float), np.asarray(item["shift_y"], dtype=float)], axis=1)
    wanted = np.arange(count) + form.first_frame - int(item.row.get("first_frame") or 1)
    return torch.from_numpy(-known[np.clip(wanted, 0, len(known) - 1)])


def warn_of(job: Any, form: Any, rows: Any) -> None:
    """Say what looks wrong in the rows of aligned movies."""
    refused = rows.filter("motion_refused").height
    if refused:
        job.warn(
            f"{refused} movies agree less when moved back by the motion found than as recorded; it was refused, and they were summed as they are."
        )
    quiet = rows.filter(~pl.col("motion_sure") & ~pl.col("motion_refused") & (pl.col("shift_x").list.len() > 1)).height
    if quiet:
        job.warn(f"{quiet} movies show no motion above their noise and were summed as they are.")
    single = rows.filter(pl.col("shift_x").list.len() == 1).height
    if single:
        job.warn(f"{single} movies have one frame to align: it was taken as it is.")
    spoilt = rows.filter(pl.col("bad_pixels") > 0.01 * pl.col("width") * pl.col("height") * form.bin_factor**2).height
    if spoilt:
        job.warn(f"{spoilt} movies have more than 1 % bad pixels: is the gain reference the right one?")
    if "gain_path" not in form.movies.meta and any(group.get("eer_grouping") for group in form.movies.optics):
        job.warn("EER movies are never gain-corrected, and these were imported without a gain reference: its pattern is in every sum.")


def aligned(form: Any, job: Job) -> Aligned:
    """Align every movie by the form's own `align`, and return the micrographs."""
    from cryoloom.numerics.fourier.ratios import exact_ratio

    result = job.map(form.model_copy(update={"alignment": None}).align, movies_with_alignment(form))
    warn_of(job, form, result.rows)
    ratio = float(exact_ratio(form.bin_factor))
    start = (region(form) or (0, 0))[:2]
    return Aligned(
        micrographs_of(form.movies, result.rows, result.failed, root=job.root, first_frame=form.first_frame, ratio=ratio, start=start)
    )


def summary(out: Aligned) -> dict[str, Any]:
    """Return the headline numbers."""
    good = out.micrographs.enabled()
    return {
        "micrographs": good.height,
        "failed": len(out.micrographs) - good.height,
        "median motion (Å)": round(_median_motion(good), 1),
        "with local motion": good["motion_model"].is_not_null().sum(),
        "dose-weighted": "yes" if good["weighted_path"].is_not_null().any() else "no",
        "pixel size (Å)": round(out.micrographs.optics[0]["pixel_size"], 4),
    }


def methods(out: Aligned, how: str) -> str:
    """Return what a paper says; `how` is what motion was corrected by."""
    good = out.micrographs.enabled()
    weighted = "with" if good["weighted_path"].is_not_null().any() else "without"
    told = f"Beam-induced motion was corrected by {how}, and frames were summed {weighted} dose weighting."
    return f"{told} The median motion of {good.height} micrographs was {_median_motion(good):.1f} Å."


def _median_motion(rows: pl.DataFrame) -> float:
    return float(rows["motion_total"].median() or 0)  # pyright: ignore[reportArgumentType]
