"""motion.correlation: align the frames of each movie, as a whole and in patches, and sum them."""

from collections.abc import Iterator, Mapping
from typing import Any

from cryoloom.data import Micrographs, Movies
from cryoloom.data import movie_alignment as form
from cryoloom.spec import Hint, Input, Item, Job, Panel, Param, Protocol

MOST_GROUPS = 60
"""Groups of frames that are aligned by default."""


class Correlation(
    Protocol,
    id="motion.correlation",
    version=4,
    outputs=form.Aligned,
    cite=("10.1038/nmeth.4193", "10.1107/S205225251801463X", "10.7554/eLife.06980"),
    aliases=("ProtRelionMotioncor", "ProtMotionCorr"),
    streams="movies",
):
    """Cross-correlate frames, whole and in patches, under a smooth model of motion, and sum what has been moved back.

    Spectra are whitened and weighted by how much signal the data show in them, so there is no B-factor to choose. Local motion is used only
    where it explains the frames better than its freedom costs.
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
    patches: int = Param(
        "Patches an axis", 0, ge=0, le=16, aliases=("patchX", "patch_x", "patchesX"),
        help="0 chooses by the size of the frames, 1 aligns whole frames only. Many small patches hold too little signal each.",
    )  # fmt: skip
    group_size: int = Param(
        "Frames a group", 0, ge=0, advanced=True, aliases=("groupSize", "group_frames"),
        help=f"Frames summed and aligned as one. 0: single frames, or groups where a movie has more than {MOST_GROUPS}. Motion within a group is not seen.",
    )  # fmt: skip
    dose_weighting: form.DoseWeighting
    dose_aligning: form.DoseAligning
    halves: form.Halves
    use_alignment: form.UseAlignment
    max_shift: form.MaxShift

    def check(self) -> Iterator[Hint]:
        yield from form.hints(self)
        if self.patches == 2:
            yield Hint("patches", "2 patches cannot carry a smooth field; use 1 or at least 3", fix=0)

    def run(self, job: Job) -> form.Aligned:
        return form.aligned(self, job)

    def align(self, item: Item) -> Mapping[str, Any]:
        """Align and sum one movie."""
        import torch

        from cryoloom.formats.aligned_sums import aligned_row
        from cryoloom.formats.movie_frames import prepared_frames
        from cryoloom.numerics.motion.correct import estimate_motion

        torch.set_num_threads(1)
        frames = prepared_frames(item, self.movies.meta, self.first_frame, self.last_frame, form.region(self))
        motion = estimate_motion(
            frames,
            form.exposure_aligned(self, item),
            reach=self.max_shift / item["pixel_size"],
            grid=(self.patches, self.patches) if self.patches else None,
            group=self.group_size or -(-frames.count // MOST_GROUPS),
            start=form.known_motion(self, item, frames.count),
        )
        return aligned_row(self, item, frames, motion)

    def summary(self, out: form.Aligned) -> Mapping[str, Any]:
        return form.summary(out)

    def methods(self, out: form.Aligned) -> str:
        local = int(out.micrographs.enabled()["motion_model"].is_not_null().sum())
        return form.methods(out, "cross-correlation of frames, " + (f"in {local} movies also of patches" if local else "whole frames only"))

    def report(self, out: form.Aligned) -> list[Panel]:
        from cryoloom.formats.motion_fields import largest_local, spectra_of
        from cryoloom.report.motion import ARROWS, SPECTRA, panels

        done, size = out.micrographs, float(out.micrographs.optics[0]["movie_pixel_size"])
        return panels(done.enabled(), size, spectra_of(done, SPECTRA), largest_local(done, ARROWS))
