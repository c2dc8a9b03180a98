"""motion.optical_flow: align the frames of each movie as a whole, then by optical flow, and sum them."""

from collections.abc import Iterator, Mapping
from typing import Any

from cryoloom.data import Micrographs, Movies
from cryoloom.data import movie_alignment as form
from cryoloom.spec import Hint, Input, Item, Job, Panel, Param, Protocol

PLACES = 25
"""Places an axis at which the field is written."""


class OpticalFlow(
    Protocol,
    id="motion.optical_flow",
    version=2,
    outputs=form.Aligned,
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

    def run(self, job: Job) -> form.Aligned:
        return form.aligned(self, job)

    def align(self, item: Item) -> Mapping[str, Any]:
        """Align and sum one movie."""
        import numpy as np
        import torch

        from cryoloom.formats.aligned_sums import aligned_row
        from cryoloom.formats.movie_frames import prepared_frames
        from cryoloom.formats.mrc import write_mrc
        from cryoloom.numerics.motion.flow import Settings, estimate_flow

        torch.set_num_threads(1)
        frames = prepared_frames(item, self.movies.meta, self.first_frame, self.last_frame, form.region(self))
        motion = estimate_flow(
            frames,
            form.exposure_aligned(self, item),
            Settings(self.window, self.group_size, self.iterations, self.blur),
            reach=self.max_shift / item["pixel_size"],
            start=form.known_motion(self, item, frames.count),
        )
        grid = motion.field.grid(PLACES).permute(3, 0, 1, 2).reshape(-1, PLACES, PLACES)
        flow = item.output("_flow.mrc")
        write_mrc(flow, grid.numpy().astype(np.float32), item["pixel_size"], stack=True)
        changes = {
            f"flow_{name}_{axis}": values.tolist()
            for name, pair in motion.field.changes().items()
            for axis, values in zip("xy", pair.T, strict=True)
        }
        return {**aligned_row(self, item, frames, motion), **changes, "flow_path": flow}

    def summary(self, out: form.Aligned) -> Mapping[str, Any]:
        return form.summary(out)

    def methods(self, out: form.Aligned) -> str:
        local = int(out.micrographs.enabled()["motion_model"].is_not_null().sum())
        return form.methods(out, f"correlation of whole frames{f' and, in {local} movies, by optical flow' if local else ''}")

    def report(self, out: form.Aligned) -> list[Panel]:
        from cryoloom.formats.motion_fields import largest_local, spectra_of
        from cryoloom.report.motion import ARROWS, SPECTRA, panels

        done, size = out.micrographs, float(out.micrographs.optics[0]["movie_pixel_size"])
        return panels(done.enabled(), size, spectra_of(done, SPECTRA), largest_local(done, ARROWS))
