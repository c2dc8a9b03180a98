"""refine.deep_align: poses by a network that learned from aligned particles in which region of the sphere an image lies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl
from blake3 import blake3

from cryoloom.data import Particles, PoseModel, Volume, symmetry_hints
from cryoloom.data.alignment import MaskDiameter, ShiftRange
from cryoloom.formats.alignment import POSE, Alignable, alignable, halves_at_random, map_rows, on_grid, poses_of
from cryoloom.report.deep_align import deep_align_panels
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    from cryoloom.numerics.learn.pose_learning import Aligned, Aligner, Setting
    from cryoloom.numerics.learn.region_fit import Training
    from cryoloom.numerics.learn.spread import Spread

LEAST = 500
"""Aligned particles from which anything is learned."""
SAMPLING = 3.0
"""The working sampling is the target resolution over this, so that the target lies at two thirds of what it could hold; never finer than the images'."""
FARTHEST, DEVIATIONS = 0.1, 4.0
"""Shifts believed by default: this part of the box, or so many standard deviations of those of the aligned particles."""
BY_CHANCE = 2.0
"""Times as often as by chance that regions of particles held out must be found."""


@dataclass(frozen=True)
class DeepAligned(Outputs):
    particles: Particles
    model: PoseModel | None = None


@dataclass(frozen=True)
class Side:
    """What one network is for: a half, or all particles (`half` 0).

    Attributes
    ----------
    rows
        Which of the particles to align.
    volume
        Map ``(box, box, box)``.
    lessons
        Which of the aligned particles it may learn from.
    """

    half: int
    rows: Any
    volume: Any
    lessons: Any = field(default=None)


class DeepAlign(
    Protocol,
    id="refine.deep_align",
    outputs=DeepAligned,
    cite=("10.1016/j.jsb.2021.107712", "10.1016/j.jmb.2011.11.010"),
    aliases=("XmippProtDeepAlign",),
):
    """Find poses with a network trained on particles that are aligned already, and on projections of their map; each says how far it may be off.

    The network tells from which regions of the sphere an image may have been seen, whatever its turn in the plane; there a local search finds the pose.
    A second opinion on how images are assigned, to compare with a refinement's poses. It is not independent of the map: network and search know it.
    """

    particles: Particles = Input(
        "Particles", aliases=("inputSet",), help="Bright particles with their CTF; poses that they carry are not looked at."
    )
    volume: Volume = Input(
        "Map",
        aliases=("inputVolume",),
        help="That the aligned particles were refined to: networks learn its projections, and poses are sought in it.",
    )
    training: Particles | None = Input(
        "Aligned particles", optional=True, aliases=("inputTrainSet",),
        help="To learn from: 500 to 5000 of the same box and pixel size, with poses that are right in most cases. A fifth is kept back, and calibrates.",
    )  # fmt: skip
    model: PoseModel | None = Input(
        "Trained networks", optional=True, aliases=("pretrainedModels",),
        help="Of another run, in place of aligned particles: same box, pixel size, mask and symmetry.",
    )  # fmt: skip
    mask_diameter: MaskDiameter
    target_resolution: Angstrom = Param(
        "Target resolution", 10.0, ge=2, le=60, aliases=("targetResolution",),
        help="Finer detail is ignored by the search; the networks see a half of it. Finer takes longer, and helps where the map has it.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group of the map, axes as in RELION: Cn, Dn, T, O, I1 to I4. A wrong one sends poses to the wrong mates.",
    )  # fmt: skip
    epochs: int = Param(
        "Epochs", 10, ge=1, le=1000, aliases=("numEpochs",),
        help="How often each aligned particle is shown. The epoch that does best on the particles kept back is taken.",
    )  # fmt: skip
    batch_size: int = Param(
        "Batch size",
        128,
        ge=8,
        le=4096,
        advanced=True,
        aliases=("batchSize",),
        help="Images a step. Large ones take fewer and surer steps.",
    )
    projections: float = Param(
        "Projections a particle", 2.0, ge=0, le=20, advanced=True,
        help="Of the map, with CTF and noise of the particles, shown beside each aligned one; a few show noise alone. 0 learns from particles only: views "
        "that they lack are then searched in every image.",
    )  # fmt: skip
    span: Degrees = Param(
        "Distance of regions", 30.0, ge=8, le=30, advanced=True, aliases=("spanConesTilt",),
        help="Between their centres; poses are sought as far from them. Small regions are told apart less surely and need more particles.",
    )  # fmt: skip
    regions: int = Param(
        "Regions an image", 2, ge=1, le=20, advanced=True, aliases=("numConesSelected",),
        help="The likeliest ones, in which its pose is sought. More find poses that the network missed, and take longer.",
    )  # fmt: skip
    apply_ctf: bool = Param(
        "Correct images for their CTF", False, advanced=True, aliases=("applyCTF",),
        help="By a Wiener filter, before the networks see them: for strong defocus, where contrast turns within the detail seen. The search knows the CTF "
        "in any case.",
    )  # fmt: skip
    shift_range: ShiftRange
    halves: bool = Param(
        "A network for each half", True, advanced=True,
        help="Where the aligned particles carry half sets: each half is aligned by what its own half taught, to its own half map if the map has them, so "
        "that a gold-standard refinement may go on. Off, one network learns from all.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        if (self.training is None) == (self.model is None):
            both = (
                "and trained networks are given; give one of them"
                if self.model is not None
                else "are needed, or the networks of another run"
            )
            yield Hint("training", both)
        if self.training is not None:
            yield from self._training_hints(self.training)
        if self.model is not None:
            for name, mine in (("mask_diameter", self.mask_diameter), ("symmetry", self.symmetry.upper()), ("span", self.span)):
                if (known := self.model.meta[name]) != mine:
                    yield Hint(name, f"is {mine}, but the networks were trained with {known}", fix=known)
        if not list(symmetry_hints(self.symmetry)) and self._regions_of() < 2:
            yield Hint("span", f"of {self.span:g}° leaves a single region of {self.symmetry}: there is nothing to tell", fix=10.0)

    def _training_hints(self, training: Particles) -> Iterator[Hint]:
        rows = training.enabled()
        missing = [name for name in POSE if name not in rows.columns or rows[name].null_count() == rows.height]
        if missing:
            yield Hint("training", f"is not aligned: it carries no {', '.join(missing)}. Refine it first")
        elif rows.height < LEAST:
            yield Hint("training", f"are {rows.height} particles; at least {LEAST} are needed to learn from")
        sizes = [{round(float(size), 3) for size in each.of_groups("pixel_size").values()} for each in (training, self.particles)]
        if not sizes[0] & sizes[1]:
            words = [" and ".join(f"{size:g}" for size in sorted(one)) for one in sizes]
            yield Hint("training", f"has {words[0]} Å/px, the particles {words[1]} Å/px: extract them alike")

    def _regions_of(self) -> int:
        from cryoloom.numerics.geometry.regions import Regions
        from cryoloom.numerics.geometry.symmetry import point_group

        return len(Regions.of(self.span, point_group(self.symmetry)))

    def run(self, job: Job) -> DeepAligned:
        import torch

        torch.set_num_threads(1)
        loaded, taught = self._loaded(job, self.particles), None
        if self.training is not None:
            taught = self._loaded(job, self.training, "the aligned particles")
            if taught.box != loaded.box or abs(taught.pixel_size / loaded.pixel_size - 1) > 5e-3:
                raise Failure(
                    "box-mismatch",
                    f"The aligned particles are {taught.box} px of {taught.pixel_size:g} Å, those to align {loaded.box} px of {loaded.pixel_size:g} Å.",
                    "Extract both with the same box and binning.",
                )
        elif self.model is not None:
            box, size = self.model.meta["box_size"], self.model.meta["pixel_size"]
            if box != loaded.box or abs(size / loaded.pixel_size - 1) > 5e-3:
                raise Failure(
                    "box-mismatch",
                    f"The networks were trained on {box} px of {size:g} Å; the particles are {loaded.box} px of {loaded.pixel_size:g} Å.",
                    "Extract the particles alike, or train anew on aligned particles.",
                )
        networks, parts = [], []
        for side in self._sides(job, loaded, taught):
            about, spread, aligner = self._learned(job, side, taught) if taught is not None else self._known(job, side, loaded)
            images = loaded.images.subset(side.rows)
            name = f"half {side.half}: poses" if side.half else "poses"
            found = aligner.poses(images, aligner.settled.noise_of(images), lambda part, name=name: job.progress(part, 1.0, name))
            parts.append(self._columns(side, loaded, found, spread))
            networks.append(about)
        return self._outputs(job, loaded, pl.concat(parts).sort("id"), networks)

    def _loaded(self, job: Job, particles: Particles, which: str = "") -> Alignable:
        loaded = alignable(particles, self.mask_diameter, finest=self.target_resolution, least=LEAST if which else 1)
        for warning in loaded.warnings:
            job.warn(f"Of {which}: {warning}" if which else warning)
        return loaded

    def _sides(self, job: Job, loaded: Alignable, taught: Alignable | None) -> list[Side]:
        """Return what is aligned by which network: each half by its own, or all by one."""
        import numpy as np

        row = map_rows(self.volume).row(0, named=True)
        learned = self.model.items["half_set"].to_list() if self.model is not None else []
        given = taught.rows["half_set"] if taught is not None and self.halves and "half_set" in taught.rows.columns else None
        if learned != [1, 2] and (given is None or given.null_count() or set(given.unique()) != {1, 2}):
            volume = on_grid(self.volume, str(row["volume_path"]), loaded, job.warn)
            return [Side(0, np.arange(loaded.rows.height), volume, None if taught is None else np.arange(taught.rows.height))]
        paths = [row.get(name) for name in ("half_map1_path", "half_map2_path")]
        if not all(paths):
            job.warn("The map has no half maps: both halves are aligned to one map, and their FSC is no gold standard.")
            paths = [row["volume_path"]] * 2
        half = self._half_sets(job, loaded, taught)
        return [
            Side(
                number, np.flatnonzero(half == number), on_grid(self.volume, str(path), loaded, job.warn),
                None if given is None else np.flatnonzero(given.to_numpy() == number),
            )
            for number, path in zip((1, 2), paths, strict=True)
        ]  # fmt: skip

    def _half_sets(self, job: Job, loaded: Alignable, taught: Alignable | None) -> Any:
        """Return the half of every particle: its own, or that of the aligned particle of its id, or else one at random."""
        import numpy as np

        half = halves_at_random(loaded, job.seed) + 1
        for rows in ([] if taught is None else [taught.rows]) + [loaded.rows]:
            if "half_set" in rows.columns:
                known = loaded.rows.select("id").join(rows.select("id", "half_set"), on="id", how="left", maintain_order="left")["half_set"]
                half = np.where(known.is_null(), half, known.fill_null(0).to_numpy())
        return half

    def _setting(self, loaded: Alignable, deviation: float) -> "Setting":
        from cryoloom.numerics.geometry.regions import Regions
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.learn.pose_learning import Setting
        from cryoloom.numerics.learn.rings import PASSED

        size, extent, band = loaded.pixel_size, loaded.box * loaded.pixel_size, loaded.images.plane.last
        farthest = max(FARTHEST * loaded.box, DEVIATIONS * deviation) if self.shift_range is None else self.shift_range / size
        return Setting(
            Regions.of(self.span, point_group(self.symmetry)), loaded.mask_diameter / 2 / size,
            min(band, max(4, round(PASSED * extent / max(size, self.target_resolution / SAMPLING)))), band, self.apply_ctf, deviation, farthest,
            self.span, self.regions,
        )  # fmt: skip

    def _learned(self, job: Job, side: Side, taught: Alignable) -> tuple[dict[str, Any], "Spread", "Aligner"]:
        """Train the network of a side; return what is said of it, the calibration of its poses, and what finds them."""
        import numpy as np

        from cryoloom.numerics.learn import region_fit
        from cryoloom.numerics.learn.pose_learning import Aligner, calibration, lesson
        from cryoloom.numerics.learn.weights import read_weights, write_weights

        images = taught.images.subset(side.lessons)
        rotations, shifts = (each[side.lessons] for each in poses_of(taught))
        deviation = max(1.0, float(np.sqrt((shifts**2).mean())))
        setting = replace(self._setting(taught, deviation), threads=job.threads)
        try:
            settled, training = lesson(
                setting, images, side.volume, rotations, shifts, epochs=self.epochs, batch=self.batch_size, projections=self.projections,
                seed=job.seed + side.half,
            )  # fmt: skip
        except ValueError as problem:
            raise Failure(
                "training-unfit", f"{problem}.", "Give the map that the aligned particles were refined to, in their frame."
            ) from problem
        lacking = np.setdiff1d(np.arange(len(setting.regions)), setting.regions.nearest(training.examples.directions))
        if len(lacking):
            how = "learned from projections only" if self.projections else "searched in every image"
            job.warn(
                f"The aligned particles show nothing of {len(lacking)} of {len(setting.regions)} regions ({_listed(lacking)}): these are {how}."
            )
        always = np.zeros(len(setting.regions), bool)
        always[lacking] = not self.projections
        state = self._trained(job, training, f"network{side.half or ''}")
        path = job.output(_weights(side.half))
        write_weights(region_fit.best_network(training, state), path)
        network = training.network()
        read_weights(network, path)
        aligner = Aligner(setting, network.eval(), settled, always)
        spread, told = calibration(aligner, training, rotations)
        if told["first"] < BY_CHANCE * told["chance"]:
            job.warn(
                f"The network finds the region of aligned particles that it was not shown no better than by chance ({told['first']:.0%}): either their "
                "poses are wrong or of another frame than the map, or they show too little."
            )
        about = {
            "half": side.half, "deviation": deviation, "share": settled.share.tolist(), "always": always.tolist(), "best": state["best"],
            "history": state["history"], "learned": len(training.examples.rows), "held_out": len(training.held_out),
            "kernels": len(network.strength), "spread": spread.numbers(), **told,
        }  # fmt: skip
        return about, spread, aligner

    def _trained(self, job: Job, training: "Training", name: str) -> dict[str, Any]:
        from cryoloom.numerics.learn import region_fit

        def step(state: dict[str, Any]) -> dict[str, Any]:
            number = state["epoch"] + 1
            new = region_fit.epoch(training, state, lambda done: job.progress(done, training.steps, f"epoch {number} of {self.epochs}"))
            job.note(epoch=number, **new["history"][-1])
            return new

        return job.iterate(
            lambda: region_fit.start(training), step, done=lambda state: state["epoch"] >= self.epochs, name=name, total=self.epochs
        )

    def _known(self, job: Job, side: Side, loaded: Alignable) -> tuple[dict[str, Any], "Spread", "Aligner"]:
        """Return what an earlier run learned, ready for other particles."""
        import numpy as np

        from cryoloom.numerics.align.known_poses import Settled
        from cryoloom.numerics.learn.pose_learning import Aligner
        from cryoloom.numerics.learn.region_net import RegionNet
        from cryoloom.numerics.learn.spread import Spread
        from cryoloom.numerics.learn.weights import read_weights

        assert self.model is not None
        number = max(side.half - 1, 0)
        about, images = self.model.meta["networks"][number], loaded.images.subset(side.rows)
        setting = replace(self._setting(loaded, about["deviation"]), threads=job.threads)
        try:
            settled = Settled.guessed(images, side.volume, np.array(about["share"]), setting.band, setting.radius)
        except ValueError as problem:
            raise Failure("map-unfit", f"{problem}.", "Check that map and particles show the same contrast.") from problem
        network = RegionNet(setting.rings(images), len(setting.regions), about["kernels"])
        file = self.model.file(self.model.items["model_path"][number])
        try:
            read_weights(network, file)
        except ValueError as problem:
            raise Failure(
                "bad-model", f"{file}: {problem}.", "Give the networks of a refine.deep_align run of like particles."
            ) from problem
        return about, Spread.of_numbers(about["spread"]), Aligner(setting, network.eval(), settled, np.array(about["always"]))

    def _columns(self, side: Side, loaded: Alignable, found: "Aligned", spread: Any) -> pl.DataFrame:
        from cryoloom.numerics.geometry.euler import matrix_to_euler

        rot, tilt, psi = matrix_to_euler(found.rotations)
        shifts = found.shifts * loaded.pixel_size
        half = {"half_set": pl.Series([side.half] * len(side.rows), dtype=pl.Int64)} if side.half else {}
        return pl.DataFrame(
            {
                "id": loaded.rows["id"].gather(side.rows), "rot": rot, "tilt": tilt, "psi": psi, "origin_x": shifts[:, 0], "origin_y": shifts[:, 1],
                **half, "score": found.correlation, "region": found.region + 1, "region_probability": found.probability,
                "pose_spread": spread(found.features), "valid": found.valid,
            }
        )  # fmt: skip

    def _outputs(self, job: Job, loaded: Alignable, columns: pl.DataFrame, networks: list[dict[str, Any]]) -> DeepAligned:
        import numpy as np

        from cryoloom.numerics.geometry.symmetry import point_group

        symmetry = point_group(self.symmetry).name
        valid = columns["valid"]
        dropped = columns.filter(~valid)["id"].to_list()
        if len(dropped) == columns.height:
            raise Failure(
                "no-poses", "No particle fits the map anywhere.", "Check that map and particles belong together, and the mask diameter."
            )
        meta: dict[str, Any] = {"symmetry": symmetry}
        if networks[0]["half"]:
            half = np.stack([columns["id"].to_numpy(), columns["half_set"].to_numpy() - 1])
            meta["halves"] = blake3(half.tobytes()).hexdigest()[:16]
        reasons = loaded.left_out | dict.fromkeys(dropped, "no pose within the largest shift fits the map")
        particles = self.particles.with_columns(columns.drop("valid"), **meta)
        if reasons:
            particles = particles.disable(reasons)
        if self.training is None:
            return DeepAligned(particles)
        rows = [
            {
                "id": each["half"] or 1,
                "model_path": job.output(_weights(each["half"])).relative_to(job.root).as_posix(),
                "half_set": each["half"],
            }
            for each in networks
        ]
        said = {name: getattr(self, name) for name in ("mask_diameter", "span", "target_resolution", "apply_ctf")}
        about = {"pixel_size": loaded.pixel_size, "box_size": loaded.box, "symmetry": symmetry, **said, "networks": networks}
        return DeepAligned(particles, PoseModel(pl.DataFrame(rows), job.root, meta=about))

    # -- what it says -------------------------------------------------------------------------------------------

    def _about(self, out: DeepAligned) -> list[dict[str, Any]]:
        model = out.model or self.model
        assert model is not None
        return model.meta["networks"]

    def summary(self, out: DeepAligned) -> Mapping[str, Any]:
        poses, networks = out.particles.enabled(), self._about(out)
        looked = out.particles.items.filter(pl.col("score").is_not_null()).height
        return {
            "particles with a pose": poses.height,
            "dropped": f"{looked - poses.height} of {looked}",
            "median error to expect (°, 68 %)": round(float(poses["pose_spread"].median()), 1),  # pyright: ignore[reportArgumentType]
            "region or a neighbour found": _each(networks, "near", "{:.0%}"),
            "kept back, within 10°": _each(networks, "within_10", "{:.0%}"),
            "networks": "one for each half" if len(networks) == 2 else "one for all particles",
            "note": "the poses are not independent of the map: networks and search know it",
        }

    def methods(self, out: DeepAligned) -> str:
        networks = self._about(out)
        count = sum(each["learned"] for each in networks)
        halves = ", one for each half," if len(networks) == 2 else ""
        return (
            f"Poses were found by deep alignment: a network{halves} learned from {count} aligned particles and projections of their map in which of "
            f"{len(networks[0]['always'])} regions of the sphere an image lies; in the {self.regions} likeliest ones the pose was sought by maximum "
            f"likelihood to {self.target_resolution:g} Å in {self.symmetry}. This gave poses of {out.particles.enabled().height} particles. Of aligned "
            f"particles that the network was not shown, {_each(networks, 'within_10', '{:.0%}')} were placed within 10° of their pose."
        )

    def report(self, out: DeepAligned) -> list[Panel]:
        return deep_align_panels(out.particles, self._about(out))


def _weights(half: int) -> str:
    return f"network_half{half}.npz" if half else "network.npz"


def _each(networks: list[dict[str, Any]], name: str, form: str) -> str:
    return ", ".join(form.format(each[name]) for each in networks)


def _listed(regions: Any) -> str:
    """Return the numbers of some regions, from 1, the first ten of them."""
    return ", ".join(str(int(number) + 1) for number in regions[:10]) + (" …" if len(regions) > 10 else "")
