"""motion.correlation: align the frames of each movie, as a whole and in patches, and sum them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Micrographs, Movies
from cryoloom.report.panels import Histogram, ImageGrid, TableView, Trajectory
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Hashed
from cryoloom.units import Angstrom

EARLY_DOSE = 4.0
"""e/Å² after which motion counts as late."""


@dataclass(frozen=True)
class Aligned(Outputs):
    micrographs: Micrographs


class Correlation(
    Protocol,
    id="motion.correlation",
    version=2,
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
        kept = ("id", "movie_name", "movie_path", "frames", "optics_group", "enabled", "fail_reason")
        items = self.movies.items.select([name for name in kept if name in self.movies.items.columns])
        items = items.rename({"movie_name": "micrograph_name"}).join(rows, on="id", how="left", maintain_order="left")
        items = items.with_columns(pl.col("width").fill_null(0), pl.col("height").fill_null(0), pl.col("micrograph_path").fill_null(""))
        ratio = self._ratio()
        optics = [
            {**group, "movie_pixel_size": group["pixel_size"], "pixel_size": group["pixel_size"] * ratio} for group in self.movies.optics
        ]
        gain = {name: value for name, value in self.movies.meta.items() if name.startswith(("gain", "dark", "defects"))}
        micrographs = Micrographs(items, job.root, optics=optics, meta={**gain, "first_frame": self.first_frame, "binning": ratio})
        return Aligned(micrographs.disable(result.failed) if result.failed else micrographs)

    def _ratio(self) -> float:
        from cryoloom.numerics.particles.extract import exact_ratio

        return float(exact_ratio(self.bin_factor))

    def align(self, item: Item) -> Mapping[str, Any]:
        """Align and sum one movie."""
        import numpy as np
        import torch

        from cryoloom.formats.movie import movie_of
        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.motion.correct import Exposure, estimate_motion, sum_frames
        from cryoloom.numerics.motion.field import relion_polynomial
        from cryoloom.numerics.motion.frames import Frames
        from cryoloom.numerics.motion.picture import halves
        from cryoloom.numerics.particles.extract import bin_image, exact_ratio

        torch.set_num_threads(1)
        movie = movie_of(item)
        first, last = self.first_frame - 1, self.last_frame or movie.frames
        if first >= movie.frames or last > movie.frames:
            asked = f"{self.first_frame} to {self.last_frame or 'the last'}"
            raise Failure(
                "frame-range",
                f"{item['movie_name']} has {movie.frames} frames; {asked} were asked for.",
                "Change first_frame or last_frame.",
            )
        meta = self.movies.meta
        gain = read_mrc(item.root / meta["gain_path"]).data.astype(np.float32) if meta.get("gain_path") else None
        dark = read_mrc(item.root / meta["dark_path"]).data.astype(np.float32) if meta.get("dark_path") else None
        defects = read_mrc(item.root / meta["defects_path"]).data != 0 if meta.get("defects_path") else None
        shape = (movie.height, movie.width)
        for name, image in (("gain", gain), ("dark", dark), ("defects", defects)):
            if image is not None and image.shape != shape:
                raise Failure(
                    "detector-shape", f"{item['movie_name']} is {shape[1]} × {shape[0]} px, the {name} {image.shape[1]} × {image.shape[0]}."
                )

        def read(number: int) -> Any:
            raw = movie.read(first + number, first + number + 1)[0]
            return raw if dark is None else raw - dark

        try:
            frames = Frames(read, last - first, gain=gain, defects=defects, seed=item.seed)
        except ValueError as error:
            raise Failure("movie-frame", f"{item['movie_name']}: {error}.", "Copy the movie again, or leave it out.") from error
        dose = item.row.get("dose_per_frame")
        before = (item.row.get("pre_exposure") or 0.0) + first * (dose or 0.0)
        pixel_size = item["pixel_size"]
        exposure = Exposure(pixel_size, item["voltage"], dose, before)
        grid = None if self.patches == 0 else (self.patches, self.patches)
        motion = estimate_motion(frames, exposure, reach=self.max_shift / pixel_size, grid=grid)
        weigh = self.dose_weighting == "yes" or (self.dose_weighting == "auto" and dose is not None)
        plain, weighted = sum_frames(frames, motion.field, exposure if weigh else Exposure(pixel_size, item["voltage"]))
        ratio = exact_ratio(self.bin_factor)
        size = pixel_size * float(ratio)
        raw = torch.zeros(frames.shape)
        for number in range(frames.count):
            raw += frames.get(number)
        micrograph = bin_image(plain, ratio)
        paths = {"micrograph_path": item.output(".mrc"), "weighted_path": item.output("_DW.mrc") if weighted is not None else None}
        write_mrc(paths["micrograph_path"], micrograph, size)
        if weighted is not None:
            write_mrc(paths["weighted_path"], bin_image(weighted, ratio), size)
        psd = item.output("_psd.mrc")
        write_mrc(psd, halves(plain, (raw / frames.count).numpy()), pixel_size)
        shifts = -motion.field.motion.numpy()
        steps = np.hypot(*np.diff(shifts, axis=0).T) * pixel_size
        early = steps[: max(1, round(EARLY_DOSE / dose))] if dose else steps[:4]
        return {
            **paths,
            "psd_path": psd,
            "width": micrograph.shape[1],
            "height": micrograph.shape[0],
            "first_frame": self.first_frame,
            "shift_x": shifts[:, 0].tolist(),
            "shift_y": shifts[:, 1].tolist(),
            "motion_model": relion_polynomial(motion.field).tolist() if motion.field.local is not None else None,
            "motion_total": float(steps.sum()),
            "motion_early": float(early.sum()),
            "motion_late": float(steps.sum() - early.sum()),
            "local_motion": motion.field.local_rms() * pixel_size,
            "motion_error": float(motion.error) if np.isfinite(motion.error) else None,
            "motion_sure": motion.sure,
            "bad_pixels": frames.bad_pixels,
            # all of the file has just been read: it is at hand, as it was not when it was imported
            "movie_blake3": Hashed.of(movie.path).blake3,
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

        rows = out.micrographs.enabled().sort("motion_total")
        size = float(out.micrographs.optics[0]["movie_pixel_size"])
        panels: list[Panel] = []
        for label, place in (("median", rows.height // 2), ("largest", rows.height - 1)):
            row = rows.row(place, named=True)
            x, y = ([-value * size for value in row[f"shift_{axis}"]] for axis in "xy")
            caption = f"{row['motion_total']:.1f} Å in all; the {label} motion of the set. Green: first frame, red: last."
            panels.append(Trajectory(title=f"Motion of {row['micrograph_name']}", x=x, y=y, caption=caption))
        shown = rows.head(6).to_dicts()
        columns = ("micrograph_name", "motion_total", "motion_early", "motion_late", "local_motion", "bad_pixels")
        return [
            *panels,
            ImageGrid(
                title="Power spectra", images=[read_mrc(out.micrographs.file(row["psd_path"])).data for row in shown], size=150,
                captions=[row["micrograph_name"] for row in shown], caption="Left half aligned, right half not: rings reach further on the left.",
            ),
            Histogram(title="Accumulated motion", values=rows["motion_total"].to_list(), label="Å"),
            TableView(title="Micrographs", columns={name: rows[name].to_list() for name in columns}),
        ]  # fmt: skip
