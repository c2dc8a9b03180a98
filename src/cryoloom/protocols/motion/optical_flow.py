"""motion.optical_flow: align the frames of each movie as a whole, then by optical flow, and sum them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryoloom.data import Micrographs, Movies
from cryoloom.data import movie_alignment as form
from cryoloom.data.aligned import micrographs_of
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Hashed

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
    first_frame: form.FirstFrame
    last_frame: form.LastFrame
    sum_range: form.SumRange
    first_summed: form.FirstSummed
    last_summed: form.LastSummed
    bin_factor: form.BinFactor
    crop_x: form.CropX
    crop_y: form.CropY
    crop_width: form.CropWidth
    crop_height: form.CropHeight
    dose_weighting: form.DoseWeighting
    dose_aligning: form.DoseAligning
    halves: form.Halves
    use_alignment: form.UseAlignment
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
    max_shift: form.MaxShift

    def check(self) -> Iterator[Hint]:
        return form.hints(self)

    def run(self, job: Job) -> Aligned:
        from cryoloom.numerics.particles.extract import exact_ratio

        result = job.map(self.model_copy(update={"alignment": None}).align, form.movies_with_alignment(self))
        form.warn_of(job, self, result.rows)
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
        frames = prepared_frames(item, self.movies.meta, self.first_frame, self.last_frame, form.region(self))
        dose, pixel_size = item.row.get("dose_per_frame"), item["pixel_size"]
        undosed = Exposure(pixel_size, item["voltage"])
        motion = estimate_flow(
            frames,
            Exposure(pixel_size, item["voltage"], dose) if self.dose_aligning else undosed,
            Settings(self.window, self.group_size, self.iterations, self.blur),
            reach=self.max_shift / pixel_size,
            start=form.known_motion(self, item, frames.count),
        )
        numbers = form.summed(self, item, frames.count)
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
            "movie_blake3": Hashed.of(item.file("movie_path")).blake3,
        }

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
        from cryoloom.report.motion import SPECTRA, lengths, outliers, spectra, trajectories
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
        return [
            *trajectories(rows, size), arrows, spectra(shown["micrograph_name"].to_list(), images), *lengths(rows), outliers(rows, size)
        ]  # fmt: skip
