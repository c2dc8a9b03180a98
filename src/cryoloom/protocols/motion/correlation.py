"""motion.correlation: align the frames of each movie, as a whole and in patches, and sum them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Micrographs, Movies
from cryoloom.data.aligned import micrographs_of
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom


@dataclass(frozen=True)
class Aligned(Outputs):
    micrographs: Micrographs


class Correlation(
    Protocol,
    id="motion.correlation",
    outputs=Aligned,
    cite=("10.1038/nmeth.4193", "10.1107/S205225251801463X", "10.7554/eLife.06980"),
    aliases=("ProtRelionMotioncor", "ProtMotionCorr"),
    streams="movies",
):
    """Cross-correlate frames, whole and in patches, under a smooth model of motion, and sum what has been moved back.

    Spectra are whitened and weighted by how much signal the data show in them, so there is no B-factor to choose. Local motion is used only
    where it explains the frames better than its freedom costs.
    """

    movies: Movies = Input("Movies", help="With their gain reference and dose, if these are known.")
    first_frame: int = Param(
        "First frame", 1, ge=1, aliases=("alignFrame0", "firstFrame"), help="Frames before it are left out of everything."
    )
    last_frame: int = Param(
        "Last frame", 0, ge=0, aliases=("alignFrameN", "lastFrame"), help="0 means the last there is. Later ones are left out."
    )
    bin_factor: float = Param(
        "Binning",
        1.0,
        ge=1,
        le=16,
        aliases=("binFactor",),
        help="Of the micrographs; 2 for super-resolution movies. Detail beyond is lost.",
    )
    patches: int = Param(
        "Patches an axis", 0, ge=0, le=16, aliases=("patchX", "patch_x", "patchesX"),
        help="0 chooses by the size of the frames, 1 aligns whole frames only. Many small patches hold too little signal each.",
    )  # fmt: skip
    max_shift: Angstrom = Param(
        "Largest shift", 100.0, gt=0, advanced=True, aliases=("maxShift",),
        help="From the mean position. Movies that moved further are aligned wrongly, and look it.",
    )  # fmt: skip
    dose_weighting: Literal["auto", "yes", "no"] = Param(
        "Dose weighting", "auto", aliases=("doDW", "doDoseWeighting"),
        help="Also write sums in which late frames count less at high resolution; auto: when the dose is known. A wrong dose dims detail.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.last_frame and self.last_frame < self.first_frame:
            yield Hint("last_frame", f"{self.last_frame} is before the first frame, {self.first_frame}", fix=0)
        if self.patches == 2:
            yield Hint("patches", "2 patches cannot carry a smooth field; use 1 or at least 3", fix=0)
        if self.dose_weighting == "yes" and any(group.get("dose_per_frame") is None for group in self.movies.optics):
            yield Hint("dose_weighting", "needs the dose per frame, which these movies were imported without", fix="no")

    def run(self, job: Job) -> Aligned:
        result = job.map(self.align, self.movies)
        rows = result.rows
        quiet = rows.filter(~pl.col("motion_sure")).height
        if quiet:
            job.warn(f"{quiet} movies show no motion above their noise and were summed as they are.")
        spoilt = rows.filter(pl.col("bad_pixels") > 0.01 * pl.col("width") * pl.col("height")).height
        if spoilt:
            job.warn(f"{spoilt} movies have more than 1 % bad pixels: is the gain reference the right one?")
        micrographs = micrographs_of(self.movies, rows, result.failed, root=job.root, first_frame=self.first_frame, ratio=self._ratio())
        return Aligned(micrographs)

    def _ratio(self) -> float:
        from cryoloom.numerics.particles.extract import exact_ratio

        return float(exact_ratio(self.bin_factor))

    def align(self, item: Item) -> Mapping[str, Any]:
        """Align and sum one movie."""
        import numpy as np
        import torch

        from cryoloom.formats.aligned_sums import motion_columns, write_sums
        from cryoloom.formats.movie_frames import prepared_frames
        from cryoloom.numerics.motion.correct import Exposure, estimate_motion
        from cryoloom.numerics.particles.extract import exact_ratio

        torch.set_num_threads(1)
        frames = prepared_frames(item, self.movies.meta, self.first_frame, self.last_frame)
        dose = item.row.get("dose_per_frame")
        before = (item.row.get("pre_exposure") or 0.0) + (self.first_frame - 1) * (dose or 0.0)
        pixel_size = item["pixel_size"]
        exposure = Exposure(pixel_size, item["voltage"], dose, before)
        grid = None if self.patches == 0 else (self.patches, self.patches)
        motion = estimate_motion(frames, exposure, reach=self.max_shift / pixel_size, grid=grid)
        weigh = self.dose_weighting == "yes" or (self.dose_weighting == "auto" and dose is not None)
        summed = exposure if weigh else Exposure(pixel_size, item["voltage"])
        return {
            **write_sums(item, frames, motion.field, summed, ratio=exact_ratio(self.bin_factor)),
            **motion_columns(motion.field, pixel_size, dose),
            "first_frame": self.first_frame,
            "motion_error": float(motion.error) if np.isfinite(motion.error) else None,
            "motion_sure": motion.sure,
            "bad_pixels": frames.bad_pixels,
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
        from cryoloom.report.motion import SPECTRA, lengths, spectra, trajectories

        rows = out.micrographs.enabled().sort("motion_total")
        shown = rows.head(SPECTRA)
        images = [read_mrc(out.micrographs.file(path)).data for path in shown["psd_path"]]
        size = float(out.micrographs.optics[0]["movie_pixel_size"])
        return [*trajectories(rows, size), spectra(shown["micrograph_name"].to_list(), images), *lengths(rows)]
