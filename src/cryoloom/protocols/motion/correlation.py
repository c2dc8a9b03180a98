"""motion.correlation: align the frames of each movie, as a whole and in patches, and sum them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryoloom.data import Micrographs, Movies
from cryoloom.data import movie_alignment as form
from cryoloom.data.aligned import micrographs_of
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Hashed

MOST_GROUPS = 60
"""Groups of frames that are aligned by default."""


@dataclass(frozen=True)
class Aligned(Outputs):
    micrographs: Micrographs


class Correlation(
    Protocol,
    id="motion.correlation",
    version=3,
    outputs=Aligned,
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
        from cryoloom.numerics.motion.correct import Exposure, estimate_motion
        from cryoloom.numerics.motion.frames import Part
        from cryoloom.numerics.particles.extract import exact_ratio

        torch.set_num_threads(1)
        frames = prepared_frames(item, self.movies.meta, self.first_frame, self.last_frame, form.region(self))
        numbers = form.summed(self, item, frames.count)
        dose, pixel_size = item.row.get("dose_per_frame"), item["pixel_size"]
        undosed = Exposure(pixel_size, item["voltage"])
        motion = estimate_motion(
            frames,
            Exposure(pixel_size, item["voltage"], dose) if self.dose_aligning else undosed,
            reach=self.max_shift / pixel_size,
            grid=(self.patches, self.patches) if self.patches else None,
            group=self.group_size or -(-frames.count // MOST_GROUPS),
            start=form.known_motion(self, item, frames.count),
        )
        before = (item.row.get("pre_exposure") or 0.0) + (self.first_frame - 1 + numbers.start) * (dose or 0.0)
        weigh = self.dose_weighting == "yes" or (self.dose_weighting == "auto" and dose is not None)
        summed = Exposure(pixel_size, item["voltage"], dose, before) if weigh else undosed
        part, field = Part(frames, numbers), motion.field.of_frames(numbers)
        return {
            **write_sums(item, part, field, summed, ratio=exact_ratio(self.bin_factor), halves=self.halves),
            **motion_columns(motion.field, pixel_size, dose),
            "crop_x": self.crop_x,
            "crop_y": self.crop_y,
            "first_frame": self.first_frame,
            "motion_error": float(motion.error) if np.isfinite(motion.error) else None,
            "motion_sure": motion.sure,
            "bad_pixels": frames.bad_pixels,
            # all of the file has just been read: it is at hand, as it was not when it was imported
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
        told = f"Beam-induced motion was corrected by cross-correlation of frames, {f'in {local} movies also of patches' if local else 'whole frames only'}, "
        told += f"and frames were summed{' with dose weighting' if weighted else ' without dose weighting'}."
        return f"{told} The median motion of {good.height} micrographs was {float(good['motion_total'].median() or 0):.1f} Å."  # pyright: ignore[reportArgumentType]

    def report(self, out: Aligned) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc
        from cryoloom.report.motion import SPECTRA, field_arrows, lengths, outliers, spectra, trajectories

        rows = out.micrographs.enabled().sort("motion_total")
        shown = rows.head(SPECTRA)
        images = [read_mrc(out.micrographs.file(path)).data for path in shown["psd_path"]]
        size = float(out.micrographs.optics[0]["movie_pixel_size"])
        widest = rows.sort("local_motion").row(-1, named=True)
        arrows = (
            [] if widest["motion_field"] is None else [field_arrows(widest, read_mrc(out.micrographs.file(widest["micrograph_path"])).data)]
        )
        return [
            *trajectories(rows, size), *arrows, spectra(shown["micrograph_name"].to_list(), images), *lengths(rows), outliers(rows, size)
        ]  # fmt: skip
