"""motion.optical_flow: align the frames of each movie as a whole, then by optical flow, and sum them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator

from cryoloom.data import Micrographs, Movies
from cryoloom.data.aligned import micrographs_of
from cryoloom.data.identity import other_items
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Pixels

SumRange = Annotated[
    Literal["aligned", "chosen"],
    BeforeValidator(lambda value: {"true": "aligned", "false": "chosen"}.get(str(value).lower(), value)),
]
"""Which frames are summed, also as Xmipp's form says it: the same as aligned, or not."""

Use = Annotated[Literal["auto", "yes", "no"], BeforeValidator(lambda value: {"true": "auto", "false": "no"}.get(str(value).lower(), value))]
"""Whether something that may be there is used, also as a yes or no."""

PLACES = 25
"""Places an axis at which the field is written."""


@dataclass(frozen=True)
class Aligned(Outputs):
    micrographs: Micrographs


class OpticalFlow(
    Protocol,
    id="motion.optical_flow",
    outputs=Aligned,
    cite=("10.1016/j.jsb.2015.02.001", "10.1007/3-540-45103-X_50", "10.7554/eLife.06980"),
    aliases=("XmippProtOFAlignment", "ProtMovieAlignment"),
    streams="movies",
):
    """Follow the content of frames by dense optical flow after they were aligned as a whole, and sum what has been moved back.

    The flow is kept where frames then have more in common than its freedom explains: no movie comes out worse than aligned as a whole.
    """

    movies: Movies = Input("Movies", help="With their gain reference and dose, if these are known.", aliases=("inputMovies",))
    alignment: Micrographs | None = Input(
        "Earlier alignment", optional=True, help="Micrographs of these movies whose shifts are tried as a start, beside our own search."
    )
    first_frame: int = Param(
        "First frame", 1, ge=1, aliases=("alignFrame0", "firstFrame"), help="Frames before it are left out of everything."
    )
    last_frame: int = Param(
        "Last frame", 0, ge=0, aliases=("alignFrameN", "lastFrame"), help="0 means the last there is. Later ones are left out."
    )
    sum_range: SumRange = Param(
        "Frames to sum", "aligned", aliases=("useAlignToSum",), help="aligned: all that are aligned. chosen: a part of them, given below."
    )
    first_summed: int = Param(
        "First frame to sum", 1, ge=1, when="sum_range=chosen", aliases=("sumFrame0",), help="From the first frame that is aligned on."
    )
    last_summed: int = Param(
        "Last frame to sum", 0, ge=0, when="sum_range=chosen", aliases=("sumFrameN",), help="0 means the last that is aligned."
    )
    bin_factor: float = Param(
        "Binning", 1.0, ge=1, le=16, aliases=("binFactor",),
        help="Of the micrographs; 2 for super-resolution movies. Detail beyond is lost.",
    )  # fmt: skip
    crop_x: Pixels = Param(
        "Region, first column", 0, ge=0, group="Region", aliases=("cropOffsetX",), help="Px of the movie left of it are not used."
    )
    crop_y: Pixels = Param(
        "Region, first row", 0, ge=0, group="Region", aliases=("cropOffsetY",), help="Px of the movie above it are not used."
    )
    crop_width: Pixels = Param(
        "Region, columns", 0, ge=0, group="Region", aliases=("cropDimX",), help="0 takes whole frames; give both or neither."
    )
    crop_height: Pixels = Param(
        "Region, rows", 0, ge=0, group="Region", aliases=("cropDimY",), help="0 takes whole frames; give both or neither."
    )
    dose_weighting: Use = Param(
        "Dose weighting", "auto", aliases=("doApplyDoseFilter",),
        help="Also write sums in which late frames count less at high resolution; auto: when the dose is known. A wrong dose dims detail.",
    )  # fmt: skip
    dose_aligning: bool = Param(
        "Dose weighting for alignment", True, aliases=("applyDosePreAlign",),
        help="Frames count for the alignment by what radiation has left of their detail, where the dose is known.",
    )  # fmt: skip
    halves: bool = Param(
        "Sums of odd and even frames", False, advanced=True, aliases=("splitEvenOdd",),
        help="For denoising by training and for validation. Two more passes over the frames.",
    )  # fmt: skip
    use_alignment: Use = Param(
        "Use earlier alignment", "auto", advanced=True, aliases=("useAlignment",),
        help="auto: where movies have one. yes: movies without one fail. It is followed only if frames agree better than by our own search.",
    )  # fmt: skip
    window: float = Param(
        "Window (px)", 150.0, ge=16, advanced=True, aliases=("winSize",),
        help="Content so near together moves alike. Smaller windows allow finer detail of the field, which is kept only where it proves itself.",
    )  # fmt: skip
    group_size: int = Param(
        "Frames a group", 1, ge=1, advanced=True, aliases=("groupSize",),
        help="Flow is found between sums of so many frames: faster for movies of many frames; motion within a group is taken as even.",
    )  # fmt: skip
    iterations: int = Param(
        "Flow iterations", 5, ge=1, le=30, advanced=True, aliases=("flowIterations",),
        help="Most passes at full detail; fewer leave part of large fields.",
    )  # fmt: skip
    blur: float = Param(
        "Blur (px)", 0.0, ge=0, le=20, advanced=True, aliases=("preBlur",),
        help="Standard deviation of a Gaussian that frames are blurred with to find the flow. The noise is weighted down anyway; more loses accuracy.",
    )  # fmt: skip
    max_shift: Angstrom = Param(
        "Largest shift", 100.0, gt=0, advanced=True, aliases=("maxShift",),
        help="From the mean position. Movies that moved further are aligned wrongly, and look it.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.last_frame and self.last_frame < self.first_frame:
            yield Hint("last_frame", f"{self.last_frame} is before the first frame, {self.first_frame}", fix=0)
        if self.sum_range == "chosen":
            yield from self._sum_hints()
        if (self.crop_width == 0) != (self.crop_height == 0):
            yield Hint("crop_width" if self.crop_width == 0 else "crop_height", "is 0 and the other is not; give both or neither")
        elif self.crop_width == 0 and (self.crop_x or self.crop_y):
            yield Hint("crop_width", "is needed, and crop_height, for a region that does not begin in the corner")
        if self.dose_weighting == "yes" and any(group.get("dose_per_frame") is None for group in self.movies.optics):
            yield Hint("dose_weighting", "needs the dose per frame, which these movies were imported without", fix="no")
        if self.use_alignment == "yes" and self.alignment is None and "shift_x" not in self.movies.schema:
            yield Hint("use_alignment", "needs an earlier alignment, and these movies have none", fix="auto")
        if self.alignment is not None:
            if "shift_x" not in self.alignment.schema:
                yield Hint("alignment", "has no shifts of frames: give micrographs that were aligned here or imported with their motion")
            elif unlike := other_items(self.movies, self.alignment):
                yield Hint("alignment", f"is not of these movies: {unlike}")

    def _sum_hints(self) -> Iterator[Hint]:
        if self.first_summed < self.first_frame:
            yield Hint("first_summed", f"{self.first_summed} is before the first frame aligned, {self.first_frame}", fix=self.first_frame)
        if self.last_summed and self.last_summed < self.first_summed:
            yield Hint("last_summed", f"{self.last_summed} is before the first frame summed, {self.first_summed}", fix=0)
        if self.last_frame and max(self.first_summed, self.last_summed) > self.last_frame:
            yield Hint("last_summed", f"is beyond the last frame aligned, {self.last_frame}", fix=0)

    def run(self, job: Job) -> Aligned:
        from cryoloom.numerics.particles.extract import exact_ratio

        movies = self.movies
        if self.alignment is not None and self.use_alignment != "no":
            movies = movies.with_columns(self.alignment.enabled().select("id", "shift_x", "shift_y", "first_frame"))
        result = job.map(self.model_copy(update={"alignment": None}).align, movies)
        quiet = result.rows.filter(~pl.col("motion_sure")).height
        if quiet:
            job.warn(f"{quiet} movies show no motion above their noise and were summed as they are.")
        spoilt = result.rows.filter(pl.col("bad_pixels") > 0.01 * pl.col("width") * pl.col("height") * self.bin_factor**2).height
        if spoilt:
            job.warn(f"{spoilt} movies have more than 1 % bad pixels: is the gain reference the right one?")
        ratio = float(exact_ratio(self.bin_factor))
        return Aligned(micrographs_of(self.movies, result.rows, result.failed, root=job.root, first_frame=self.first_frame, ratio=ratio))

    def align(self, item: Item) -> Mapping[str, Any]:
        """Align and sum one movie."""
        import numpy as np
        import torch

        from cryoloom.formats.aligned_sums import motion_columns, write_sums
        from cryoloom.formats.movie_frames import prepared_frames
        from cryoloom.formats.mrc import write_mrc
        from cryoloom.numerics.motion.correct import Exposure
        from cryoloom.numerics.motion.flow import Settings, estimate_flow
        from cryoloom.numerics.motion.frames import Part
        from cryoloom.numerics.particles.extract import exact_ratio

        torch.set_num_threads(1)
        region = (self.crop_x, self.crop_y, self.crop_width, self.crop_height) if self.crop_width else None
        frames = prepared_frames(item, self.movies.meta, self.first_frame, self.last_frame, region)
        dose, pixel_size = item.row.get("dose_per_frame"), item["pixel_size"]
        undosed = Exposure(pixel_size, item["voltage"])
        motion = estimate_flow(
            frames,
            Exposure(pixel_size, item["voltage"], dose) if self.dose_aligning else undosed,
            Settings(self.window, self.group_size, self.iterations, self.blur),
            reach=self.max_shift / pixel_size,
            start=self._start(item, frames.count),
        )
        numbers = self._summed(item, frames.count)
        before = (item.row.get("pre_exposure") or 0.0) + (self.first_frame - 1 + numbers.start) * (dose or 0.0)
        weigh = self.dose_weighting == "yes" or (self.dose_weighting == "auto" and dose is not None)
        summed = Exposure(pixel_size, item["voltage"], dose, before) if weigh else undosed
        part, field = Part(frames, numbers), motion.field.of_frames(numbers)
        steps = motion.field.changes()
        flow = item.output("_flow.mrc")
        write_mrc(
            flow,
            motion.field.grid(PLACES).permute(3, 0, 1, 2).reshape(-1, PLACES, PLACES).numpy().astype(np.float32),
            pixel_size,
            stack=True,
        )
        return {
            **write_sums(item, part, field, summed, ratio=exact_ratio(self.bin_factor), halves=self.halves),
            **motion_columns(motion.field, pixel_size, dose),
            **{f"flow_{name}_{axis}": values.tolist() for name, pair in steps.items() for axis, values in zip("xy", pair.T, strict=True)},
            "flow_path": flow,
            "crop_x": self.crop_x,
            "crop_y": self.crop_y,
            "first_frame": self.first_frame,
            "motion_error": float(motion.error) if np.isfinite(motion.error) else None,
            "motion_sure": motion.sure,
            "bad_pixels": frames.bad_pixels,
        }

    def _summed(self, item: Item, count: int) -> range:
        """Return the numbers, from 0 among the aligned frames, of those that are summed."""
        if self.sum_range == "aligned":
            return range(count)
        start, stop = self.first_summed - self.first_frame, (self.last_summed or self.first_frame - 1 + count) - self.first_frame + 1
        if stop > count or start >= stop:
            raise Failure(
                "frame-range",
                f"{item['movie_name']}: frames {self.first_frame} to {self.first_frame + count - 1} are aligned; {self.first_summed} to "
                f"{self.last_summed or 'the last'} were to be summed.",
                "Change first_summed or last_summed.",
            )
        return range(start, stop)

    def _start(self, item: Item, count: int) -> Any:
        """Return the displacements of an earlier alignment, ``(count, 2)`` px; frames it lacks stay where their neighbour is."""
        import numpy as np
        import torch

        shifts = item.row.get("shift_x")
        if self.use_alignment == "no" or (shifts is None and self.use_alignment == "auto"):
            return None
        if shifts is None:
            raise Failure("no-alignment", f"{item['movie_name']} has no earlier alignment.", "Set use_alignment to auto.")
        known = np.stack([np.asarray(shifts, dtype=float), np.asarray(item["shift_y"], dtype=float)], axis=1)
        wanted = np.arange(count) + self.first_frame - int(item.row.get("first_frame") or 1)
        return torch.from_numpy(-known[np.clip(wanted, 0, len(known) - 1)])

    def summary(self, out: Aligned) -> Mapping[str, Any]:
        good = out.micrographs.enabled()
        return {
            "micrographs": good.height,
            "failed": len(out.micrographs) - good.height,
            "median motion (Å)": round(float(good["motion_total"].median() or 0), 1),  # pyright: ignore[reportArgumentType]
            "with local motion": good["motion_model"].is_not_null().sum(),
            "dose-weighted": "yes" if good["weighted_path"].is_not_null().any() else "no",
            "pixel size (Å)": round(out.micrographs.optics[0]["pixel_size"], 4),
        }

    def methods(self, out: Aligned) -> str:
        good = out.micrographs.enabled()
        local = int(good["motion_model"].is_not_null().sum())
        weighted = bool(good["weighted_path"].is_not_null().any())
        told = f"Beam-induced motion was corrected by correlation of whole frames{f' and, in {local} movies, by optical flow' if local else ''}, "
        told += f"and frames were summed{' with dose weighting' if weighted else ' without dose weighting'}."
        return f"{told} The median motion of {good.height} micrographs was {float(good['motion_total'].median() or 0):.1f} Å."  # pyright: ignore[reportArgumentType]

    def report(self, out: Aligned) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc
        from cryoloom.report.motion import SPECTRA, lengths, spectra, trajectories
        from cryoloom.report.panels import FlowArrows

        rows = out.micrographs.enabled().sort("motion_total")
        shown = rows.head(SPECTRA)
        images = [read_mrc(out.micrographs.file(path)).data for path in shown["psd_path"]]
        size = float(out.micrographs.optics[0]["movie_pixel_size"])
        widest = rows.sort("local_motion").row(-1, named=True)
        flow = read_mrc(out.micrographs.file(widest["flow_path"])).data.reshape(2, -1, PLACES, PLACES)
        last = flow[:, -1, 2::4, 2::4]
        arrows = FlowArrows(
            title=f"Local motion of {widest['micrograph_name']}",
            image=read_mrc(out.micrographs.file(widest["micrograph_path"])).data,
            dx=(last[0] - flow[0, -1].mean()).tolist(),
            dy=(last[1] - flow[1, -1].mean()).tolist(),
            caption=f"From the first frame to the last, the mean over the frame taken off; the largest of the set, {widest['local_motion']:.2f} Å RMS.",
        )
        return [*trajectories(rows, size), arrows, spectra(shown["micrograph_name"].to_list(), images), *lengths(rows)]
