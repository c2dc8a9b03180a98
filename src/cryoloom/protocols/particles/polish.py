"""particles.polish: motion of single particles from the movies, weights of frames from the data, and new particles."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Mask, Micrographs, Particles, Volume
from cryoloom.data.alignment import MaskDiameter
from cryoloom.formats.alignment import DEFOCUS, POSE, mask_on_grid, on_grid
from cryoloom.formats.mrc import write_mrc
from cryoloom.report.panels import Histogram, LinePlot, Series, TableView
from cryoloom.report.tracks import tracks_over_micrographs
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.formats.polished import Polishing
    from cryoloom.numerics.motion.frame_weights import FrameWeights

HALVES = ("half_map1_path", "half_map2_path")
PRIOR = ("velocity", "distance", "acceleration")
TEACHERS = 500
"""Particles whose movies, spread evenly over the set, tell the prior."""
SHOWN = 4
"""Micrographs whose particles' ways are drawn."""
OF_PARTICLES = (*POSE, "defocus_u", "defocus_v", "defocus_angle", "phase_shift", "half_set", "x", "y")


@dataclass(frozen=True)
class Polished(Outputs):
    particles: Particles


@dataclass(frozen=True)
class _Grid:
    box: int
    pixel_size: float


class Polish(
    Protocol,
    id="particles.polish",
    version=2,
    outputs=Polished,
    cite=("10.1107/S205225251801463X",),
    aliases=("ProtRelionBayesianPolishing",),
):
    """Follow every particle through the frames of its movie and sum these anew, each frame weighted by what is left of the signal in it.

    Frames are compared with projections of the half map that the particle is not in. Single frames say little: a prior of smooth motion that near
    particles share decides how far they are followed. Particles keep ids and poses; only their images are new.
    """

    particles: Particles = Input(
        "Particles", help="Extracted here, with poses and half sets, as refine.auto gives them.", aliases=("inputParticles",)
    )
    micrographs: Micrographs = Input(
        "Micrographs", help="Those that the particles were extracted from, with the motion of their movies; the movies are read again.",
        aliases=("inputMovies",),
    )  # fmt: skip
    volume: Volume = Input("Map", help="Their map with its half maps.", aliases=("inputPostprocess",))
    mask: Mask | None = Input("Mask", optional=True, help="Soft mask on the half maps; without, a sphere of the mask diameter.")
    mask_diameter: MaskDiameter
    velocity: float | None = Param(
        "Velocity (σ_V)", None, gt=0, le=100, aliases=("sigma_vel", "sigmaVel"),
        help="Å for an e/Å²: how far particles may depart from their micrograph's motion. Too large follows noise, too small follows nothing. "
        "Empty: as the set itself tells.",
    )  # fmt: skip
    distance: Angstrom | None = Param(
        "Distance (σ_D)", None, gt=0, aliases=("sigma_div", "sigmaDiv"),
        help="Å over which particles move alike. Larger: more of them tell one motion, and local ones are lost. Empty: as the set itself tells.",
    )  # fmt: skip
    acceleration: float | None = Param(
        "Acceleration (σ_A)", None, gt=0, le=1000, aliases=("sigma_acc", "sigmaAcc"),
        help="Å for an e/Å²: how much velocities may change from frame to frame. Smaller gives smoother ways. Empty: as the set itself tells.",
    )  # fmt: skip
    weights: Literal["frames", "dose", "none"] = Param(
        "Weights of frames", "frames",
        help="frames: by a scale and a B-factor of each frame, from how well it agrees with the map; where they cannot be told, by the dose. "
        "dose: by the dose. none: all alike.",
    )  # fmt: skip
    reach: Angstrom = Param(
        "Largest departure", 8.0, gt=0, le=100, advanced=True,
        help="Å from the motion of the micrograph; farther, particles are not followed. Memory and time grow with its square.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        columns = self.particles.items.columns
        needed = (*POSE, *DEFOCUS, "half_set", "x", "y")
        if missing := [name for name in needed if name not in columns]:
            yield Hint("particles", f"carry no {', '.join(missing)}: extract them here, and refine them (refine.auto)")
        optics = self.particles.optics
        if any(group.get("phase_flipped") or group.get("ctf_premultiplied") for group in optics):
            yield Hint("particles", "are corrected for their CTF already: extract them without flipping phases")
        if any(not group.get("micrograph_pixel_size") or not group.get("box_size") for group in optics):
            yield Hint("particles", "do not tell what their places are pixels of: extract them here")
        if len({(group.get("box_size"), round(float(group["pixel_size"]), 4)) for group in optics}) > 1:
            yield Hint("particles", "have several boxes or pixel sizes: polish each by itself")
        if missing := [name for name in ("movie_path", "shift_x", "shift_y") if name not in self.micrographs.items.columns]:
            yield Hint("micrographs", f"carry no {', '.join(missing)}: give the output of a motion correction")
        if any(name not in self.volume.items.columns or self.volume.items[name].null_count() for name in HALVES):
            yield Hint("volume", "has no half maps: give the map of a refinement")
        if any(group.get("dose_per_frame") is None for group in self.micrographs.optics):
            yield Hint("micrographs", "do not tell their dose: 1 e/Å² a frame is taken for the prior", error=self.weights == "dose")
        halves = self.volume.meta.get("halves"), self.particles.meta.get("halves")
        if all(halves) and halves[0] != halves[1]:
            yield Hint("volume", "is not of these particles' half sets: particles meet their own noise in the maps", error=False)

    def run(self, job: Job) -> Polished:
        import numpy as np

        from cryoloom.formats.polished import Shining

        rows, work = self._work(job)
        polishing, gain = self._with_prior(job, self._polishing(job), work)
        job.progress(0, 2, "following particles")
        tracked = job.map(polishing.track, work, name="motion")
        weights = self._weights(job, polishing, work, tracked.rows)
        lists = ("track_x", "track_y", "start_x", "start_y")
        again = work.items.join(tracked.rows.select("id", *lists, frames_polished="frames"), on="id", how="inner", maintain_order="left")
        job.progress(1, 2, "summing frames")
        made = job.map(Shining(polishing, weights).write, Dataset(again, job.root, optics=work.optics), name="shiny")
        failed = {**tracked.failed, **made.failed}
        names = dict(work.items.select("id", "micrograph_name").iter_rows())
        if failed:
            movie, reason = next(iter(failed.items()))
            job.warn(
                f"{len(failed)} of {len(work.items)} movies could not be polished ({names[movie]}: {reason}); their particles are disabled."
            )
        gone = rows.join(made.rows, on="id", how="anti")
        frequency = np.arange(1, len(polishing.fsc)) / (self._grid.box * self._grid.pixel_size)
        found = {
            "scale": weights.scale.tolist(), "b_factor": weights.b_factor.tolist(), "b_factor_error": weights.error.tolist(),
            "measured": weights.measured, "frequency": frequency.tolist(),
            "weights": weights.weights(frequency).round(5).tolist(), "movies": len(work.items) - len(failed),
            "prior": dict(zip(PRIOR, polishing.prior, strict=True)), "prior_gain": gain,
        }  # fmt: skip
        particles = self.particles.with_columns(made.rows, polishing=found)
        if gone.height:
            why = {
                int(one): f"its movie could not be polished: {failed.get(movie, 'it is not among the micrographs')}"
                for one, movie in gone.select("id", "micrograph_id").iter_rows()
            }
            particles = particles.disable(why)
        return Polished(particles)

    @property
    def _grid(self) -> _Grid:
        group = self.particles.optics[0]
        return _Grid(int(group["box_size"]), float(group["pixel_size"]))

    def _work(self, job: Job) -> tuple[pl.DataFrame, Dataset]:
        """Return the particles, and the micrographs with theirs as lists."""
        rows = self.particles.enabled()
        if "phase_shift" not in rows.columns:
            rows = rows.with_columns(phase_shift=pl.lit(0.0))
        rows = rows.with_columns(pl.col("phase_shift").fill_null(0.0))
        rows = rows.with_columns(pl.col(name).cast(pl.Float64) for name in OF_PARTICLES if name != "half_set")
        if missing := [name for name in OF_PARTICLES if rows[name].null_count()]:
            raise Failure("poses-missing", f"Not all particles have {', '.join(missing)}.", "Refine them first (refine.auto).")
        if not set(rows["half_set"].unique()) <= {1, 2}:
            raise Failure("half-sets", "The column half_set must hold 1 or 2 for every particle.", "Refine them first (refine.auto).")
        lists = rows.group_by("micrograph_id", maintain_order=True).agg(
            pl.col("id").alias("particle_ids"), *OF_PARTICLES, particle_group=pl.col("optics_group").first()
        )
        own = self.micrographs.items.filter("enabled").drop(*(name for name in OF_PARTICLES if name in self.micrographs.items.columns))
        work = own.join(lists, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")
        work = work.with_columns(movie_name="micrograph_name")
        known = work.filter(pl.col("shift_x").is_not_null() & (pl.col("shift_x").list.len() > 1))
        if known.is_empty():
            raise Failure(
                "no-common-micrographs", "No particle lies on one of these micrographs whose motion over several frames is known.",
                "Give the micrographs that the particles were extracted from.",
            )  # fmt: skip
        left = rows.height - int(known["particle_ids"].list.len().sum())
        if left:
            job.warn(f"{left} particles lie on none of these micrographs, or their motion is not known; they are disabled.")
        return rows, Dataset(known, job.root, optics=self.micrographs.optics)

    def _polishing(self, job: Job) -> "Polishing":
        import numpy as np

        from cryoloom.formats.polished import COARSEST, Polishing
        from cryoloom.numerics.fsc.masked import masked_fsc
        from cryoloom.numerics.fsc.shells import crossing_shell
        from cryoloom.numerics.masks.soft import spherical_mask
        from cryoloom.numerics.motion.prior_training import USUAL

        grid, row = self._grid, self.volume.items.row(0, named=True)
        first, second = (on_grid(self.volume, str(row[name]), grid, job.warn) for name in HALVES)
        if np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99999:
            raise Failure("half-maps-same", "The two half maps are the same map.", "Give the map of a refinement in two halves.")
        mask = mask_on_grid(self.mask, grid, job.warn)
        if mask is None:
            mask = spherical_mask(grid.box, self.mask_diameter / 2 / grid.pixel_size, 5.0)
        fsc = masked_fsc(first, second, mask, seed=job.seed).corrected
        if crossing_shell(fsc, 0.143) < grid.box * grid.pixel_size / COARSEST + 3:
            raise Failure("halves-agree-little", "The half maps agree on hardly any detail.", "Refine the particles first.")
        paths = [job.output(name) for name in ("half1.mrc", "half2.mrc", "mask.mrc")]
        for path, data in zip(paths, (first, second, mask), strict=True):
            write_mrc(path, np.ascontiguousarray(data, np.float32), grid.pixel_size, volume=True)
        optics = {group["optics_group"]: group for group in self.particles.optics}
        return Polishing((paths[0], paths[1]), paths[2], fsc, self.micrographs.meta, optics, USUAL, self.reach)

    def _with_prior(self, job: Job, polishing: "Polishing", work: Dataset) -> tuple["Polishing", float | None]:
        """Return the polishing under the prior that is given or that some movies tell, and by how much it is likelier than the usual one."""
        import numpy as np

        from cryoloom.formats.polished import Trial
        from cryoloom.numerics.motion.prior_training import USUAL, axes_of, best

        given = [getattr(self, name) for name in PRIOR]
        if all(one is not None for one in given):
            return replace(polishing, prior=tuple(given)), None
        rows = work.enabled()
        movies = int(np.ceil(TEACHERS / rows["particle_ids"].list.len().to_numpy().mean()))
        some = np.unique(np.linspace(0, rows.height - 1, min(movies, rows.height)).round().astype(np.int64))
        axes = axes_of(given)
        job.progress(0, 2, "learning the prior")
        told = job.map(Trial(polishing, axes).judge, Dataset(rows[some], job.root, optics=work.optics), name="prior")
        scores = np.sum(told.rows["scores"].to_list(), axis=0).reshape([len(axis) for axis in axes])
        usual = tuple(int(np.argmin(np.abs(np.log(np.array(axis) / one)))) for axis, one in zip(axes, USUAL, strict=True))
        return replace(polishing, prior=best(scores, axes)), float(scores.max() - scores[usual])

    def _weights(self, job: Job, polishing: "Polishing", work: Dataset, tracked: pl.DataFrame) -> "FrameWeights":
        """Return the weights of frames, of all movies together."""
        import numpy as np

        from cryoloom.numerics.motion.frame_weights import FrameWeights, fitted_weights
        from cryoloom.spec import Item

        count = max(tracked["frames"].to_list())
        if self.weights == "none":
            nothing = np.zeros(count)
            return FrameWeights(np.ones(count), nothing, nothing, measured=False)
        sums: Any = None
        for one in tracked.select("frames", "cross", "norm").iter_rows(named=True):
            each = np.stack([np.reshape(one[name], (one["frames"], -1)) for name in ("cross", "norm")])
            sums = np.zeros((2, count, each.shape[2])) if sums is None else sums
            sums[:, : one["frames"]] += each
        if self.weights == "dose":
            sums[0] = 0.0
        longest = tracked.sort("frames", descending=True, maintain_order=True)["id"][0]
        row = work.enabled().filter(pl.col("id") == longest).row(0, named=True)
        doses = polishing.doses(Item(row, job.root, job.folder, 0), count)
        frequency = np.arange(sums.shape[2]) / (self._grid.box * self._grid.pixel_size)
        weights = fitted_weights(sums[0], sums[1], frequency, doses, float(row["voltage"]))
        if self.weights == "frames" and not weights.measured:
            told = "by the dose" if doses is not None else "all alike"
            job.warn(f"Single frames show too little of the map to tell their weights: they are weighted {told}.")
        return weights

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Polished) -> Mapping[str, Any]:
        import numpy as np

        good, found = out.particles.enabled(), out.particles.meta["polishing"]
        return {
            "particles": good.height,
            "movies": found["movies"],
            "median departure from the micrograph's motion (Å)": round(float(np.median(good["track_change"].to_numpy())), 2),
            "prior: σ_V, σ_D, σ_A": "{velocity:.2g}, {distance:.0f}, {acceleration:.2g}".format(**found["prior"]),
            "weights": "of the frames" if found["measured"] else "of the dose" if self.weights != "none" else "none",
            "B-factor of the last frame over the best (Å²)": round(found["b_factor"][-1], 1),
        }

    def methods(self, out: Polished) -> str:
        found = out.particles.meta["polishing"]
        prior = found["prior"]
        weighted = "by a scale and a B-factor of each, measured on the particles" if found["measured"] else "by the dose"
        return (
            f"Motion of {out.particles.enabled().height} particles in {found['movies']} movies was estimated against projections of the other half set's map "
            f"under a prior of σ_V = {prior['velocity']:.2g} Å/(e/Å²), σ_D = {prior['distance']:.0f} Å and σ_A = {prior['acceleration']:.2g} Å/(e/Å²)"
            f"{'' if found['prior_gain'] is None else ', told by halves of the coefficients of each other'}; frames were weighted "
            f"{weighted if self.weights != 'none' else 'all alike'}."
        )

    def report(self, out: Polished) -> list[Panel]:
        import numpy as np

        good, found = out.particles.enabled(), out.particles.meta["polishing"]
        most = good.group_by("micrograph_id", maintain_order=True).len().sort("len", descending=True, maintain_order=True).head(SHOWN)
        titles, places, tracks = [], [], []
        for number in most["micrograph_id"]:
            mine = good.filter(pl.col("micrograph_id") == number)
            titles.append(str(mine["micrograph_name"][0]) if "micrograph_name" in mine.columns else str(number))
            places.append(mine.select("x", "y").to_numpy() * float(mine["micrograph_pixel_size"][0]))
            tracks.append(np.stack([np.array(mine[name].to_list()) for name in ("track_x", "track_y")], axis=2))
        frames = list(range(1, len(found["scale"]) + 1))
        shown = sorted({0, len(frames) // 4, len(frames) // 2, 3 * len(frames) // 4, len(frames) - 1})
        return [
            tracks_over_micrographs(
                titles, places, tracks, title="Motion of particles", caption="Their ways through the movie, enlarged; the last frames are the brightest.",
            ),
            Histogram(
                title="Departure from the micrograph's motion", values=good["track_change"].to_list(), label="departure (Å, RMS over frames)", bins=40,
                caption="What following single particles adds to the motion of the micrograph.",
            ),
            LinePlot(
                title="B-factors of frames", x_label="frame", y_label="B-factor (Å²)", series=[Series("B", frames, found["b_factor"], found["b_factor_error"])],
                caption="Fall of the signal over that of the best frame: motion within the first frames, radiation damage in the last.",
            ),
            LinePlot(
                title="Scales of frames", x_label="frame", y_label="signal at low resolution", series=[Series("C", frames, found["scale"])],
                caption="As a part of the strongest frame's.",
            ),
            LinePlot(
                title="Weights of frames", x_label="resolution (Å)", y_label="weight", resolution_axis=True,
                series=[Series(f"frame {number + 1}", found["frequency"], found["weights"][number]) for number in shown],
                caption="Of each frame in the sum, by resolution: fine detail is taken from the frames that still hold it.",
            ),
            TableView(
                title="Frames",
                columns={"frame": frames, "scale": found["scale"], "B-factor (Å²)": found["b_factor"], "± (Å²)": found["b_factor_error"]},
            ),
        ]  # fmt: skip
