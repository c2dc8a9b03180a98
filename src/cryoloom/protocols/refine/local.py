"""refine.local: poses improved near where they are, particle by particle, with weights, grey scales and defoci."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from blake3 import blake3

from cryoloom.data import FSC, Mask, Particles, Volume, symmetry_hints
from cryoloom.data.alignment import MaskDiameter, Regularisation, TransferFunction, ZeroMask
from cryoloom.formats.alignment import DEFOCUS, POSE, Alignable, alignable, alike_images, half_sets, mask_on_grid, on_grid
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.local_refinement import local_panels
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.align.local import LocalTask, Plan, State

UNSURE = 0.5
"""Mean weight of the best poses below which a map may come from noise."""
AUTOMATIC = 5
"""Iterations of the automatic method: three over all orientations, then near; the last with grey scales, magnification and defocus."""


@dataclass(frozen=True)
class LocallyRefined(Outputs):
    volume: Volume
    particles: Particles
    fsc: FSC


class LocalRefine(
    Protocol,
    id="refine.local",
    outputs=LocallyRefined,
    cite=("10.1016/j.jsb.2018.08.002", "10.1016/j.jmb.2003.07.013"),
    aliases=("XmippProtReconstructHighRes",),
):
    """Improve the poses that particles have, and what else of an image may be off, towards a resolution asked for; average with weights.

    Halves stay apart, and no particle is compared with a map that it is in. Give the particles of such a run, or of any refinement, to go on from it:
    going on is the same as having asked for more iterations at once.
    """

    particles: Particles = Input(
        "Particles", aliases=("inputParticles",),
        help="Bright particles with CTF and poses, in the pixels that the resolution needs; those of refine.local go on where it stopped.",
    )  # fmt: skip
    reference: Volume | None = Input(
        "Reference", optional=True, aliases=("inputVolumes",),
        help="A map with its halves, or two maps for the two halves. Empty: the particles at their poses make it, which keeps the halves apart.",
    )  # fmt: skip
    previous: Particles | None = Input(
        "Particles of an earlier run", optional=True, aliases=("continueRun",),
        help="Poses, halves and all else of those found there too; the images are those of the particles above. For images made anew, such as shiny ones.",
    )  # fmt: skip
    mask: Mask | None = Input(
        "Reference mask", optional=True, aliases=("nextMask", "postAdHocMask"), help="Soft mask laid on the references. It must not cut density."
    )  # fmt: skip
    mask_diameter: MaskDiameter
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group, axes as in RELION: Cn, Dn, T, O, I1 to I4. The poses must be in its frame. A wrong group spoils the map.",
    )  # fmt: skip
    method: Literal["local", "global", "automatic", "none"] = Param(
        "Alignment", "local", aliases=("alignmentMethod",),
        help=f"local: near the last poses. global: over all orientations. automatic: {AUTOMATIC} iterations, three global, then local, the last with grey "
        "scale, magnification and defocus. none: poses stay, what else is ticked is fitted, and the map averaged.",
    )  # fmt: skip
    iterations: int = Param(
        "Iterations", 2, ge=1, le=50, when="method!=automatic", aliases=("numberOfIterations",), help="Two settle poses from a refinement."
    )
    targets: str = Param(
        "Target resolutions", "8 4", aliases=("maximumTargetResolution",),
        help="Å, one an iteration, the last for those that follow. Pixels are a third of it; an iteration gets no further than to 0.8 (global: 0.5) of the "
        "resolution known. Coarser than the particles show leaves detail out, finer costs time.",
    )  # fmt: skip
    turn: bool = Param(
        "Improve orientations", True, when="method=local", aliases=("contAngles",), help="Off where they are known from elsewhere."
    )
    shift: bool = Param(
        "Improve shifts", True, when="method=local", aliases=("contShift",), help="Off where they are known from elsewhere."
    )
    fit_grey: bool = Param(
        "Fit grey scales", False, aliases=("contGrayValues",),
        help="Of every particle: one in thicker ice, or half in the picture, counts less. Faint particles do not tell theirs.",
    )  # fmt: skip
    fit_magnification: bool = Param(
        "Fit magnifications", False, aliases=("contScale",), help="Of every particle: for particles that differ in size, or uneven pixels."
    )
    fit_defocus: bool = Param(
        "Fit defoci", False, aliases=("contDefocus",),
        help="Of every particle and of what those of a micrograph have in common. Below 6 Å or so it pays, and not while the map is coarser.",
    )  # fmt: skip
    weight_by_cost: bool = Param(
        "Weigh by correlation", True, aliases=("weightCC",),
        help="By its rank among particles of like defocus: junk counts less. Off where there is none, for all to count alike.",
    )  # fmt: skip
    reference_lowpass: Angstrom = Param(
        "Low-pass of a given reference", 20.0, gt=0, advanced=True, aliases=("initialLowPassFilterA",),
        help="Of a single map: both halves see it, and finer detail of it would show in their FSC as signal. Halves are taken to their own resolution.",
    )  # fmt: skip
    multiresolution: bool = Param(
        "Pixels follow the target", True, advanced=True, help="Off, all iterations work with the images' own pixels."
    )
    max_shift: float = Param(
        "Largest shift (% of the box)",
        10.0,
        gt=0,
        le=50,
        advanced=True,
        aliases=("angularMaxShift",),
        help="Of a global search, from the box's centre.",
    )
    max_shift_change: float = Param(
        "Largest change of shifts (% of the box)", 2.0, gt=0, le=50, advanced=True, aliases=("contMaxShiftVariation",),
        help="In a local iteration. Orientations turn by three angular steps at most, a step moving the box's rim by a detail of the resolution known.",
    )  # fmt: skip
    max_grey: float = Param(
        "Largest change of grey scales",
        0.5,
        gt=0,
        lt=1,
        advanced=True,
        when="fit_grey",
        aliases=("contMaxGrayScale",),
        help="As a part of one.",
    )
    max_magnification: float = Param(
        "Largest change of size",
        0.02,
        gt=0,
        le=0.1,
        advanced=True,
        when="fit_magnification",
        aliases=("contMaxScale",),
        help="As a part of one.",
    )
    max_defocus: Angstrom = Param(
        "Largest change of defocus", 200.0, gt=0, le=5000, advanced=True, when="fit_defocus", aliases=("contMaxDefocus",),
        help="Å, either way; astigmatism changes by a quarter of that.",
    )  # fmt: skip
    least_weight: float = Param(
        "Least weight", 0.5, ge=0, le=1, advanced=True, when="weight_by_cost", aliases=("weightCCmin",),
        help="Of the particle of the lowest rank. Where all are good, 0.1 costs a tenth of what they tell, 0.5 a twenty-fifth.",
    )  # fmt: skip
    weight_by_signal: bool = Param(
        "Weigh by signal",
        False,
        advanced=True,
        aliases=("weightSSNR",),
        help="By the power over noise that the reference shows in the image.",
    )
    weight_by_fit: bool = Param(
        "Weigh by the correlation itself", False, advanced=True, aliases=("weightContinuous",), help="Beside the best; not by rank."
    )
    weight_by_rest: bool = Param(
        "Weigh by rest",
        False,
        advanced=True,
        aliases=("weightJumper",),
        help="Particles whose poses jump from iteration to iteration count less.",
    )
    spherical: bool = Param(
        "Spherical references",
        True,
        advanced=True,
        aliases=("nextSpherical",),
        help="Nothing outside the mask diameter stays in a reference.",
    )
    positive: bool = Param(
        "Positive references", True, advanced=True, aliases=("nextPositivity",),
        help="Nothing darker than the solvent stays. Off for particles lighter than what is around them in places, such as lipid in a micelle.",
    )  # fmt: skip
    follow_surface: bool = Param(
        "Mask follows the surface", True, advanced=True, aliases=("nextRemove",),
        help="Without a reference mask: lay one around the particle's surface once the halves agree to an eighth of its size.",
    )  # fmt: skip
    lowpass: bool = Param(
        "Low-pass references", False, advanced=True, aliases=("nextLowPass",),
        help="Beside the weights by signal to noise that they always get, which is as a rule enough.",
    )  # fmt: skip
    lowpass_criterion: float = Param(
        "Correlation of the low-pass",
        0.5,
        gt=0,
        lt=1,
        advanced=True,
        when="lowpass",
        aliases=("nextResolutionCriterion",),
        help="Of the halves.",
    )
    lowpass_offset: Angstrom = Param(
        "Offset of the low-pass",
        2.0,
        ge=0,
        le=50,
        advanced=True,
        when="lowpass",
        aliases=("nextResolutionOffset",),
        help="Å coarser than that.",
    )
    transfer_function: TransferFunction
    zero_mask: ZeroMask
    regularisation: Regularisation
    join_below: Angstrom = Param(
        "Join halves below", 40.0, ge=10, advanced=True,
        help="Coarser detail of the references is averaged over the two halves, so that their frames stay one; their FSC says nothing there.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        columns = (self.previous or self.particles).items.columns
        missing = [name for name in POSE if name not in columns]
        if missing and self.method != "global" and self.method != "automatic":
            yield Hint("method", f"is {self.method}, but the particles carry no {', '.join(missing)}: refine them first", fix="global")
        if missing and self.reference is None:
            yield Hint("reference", "is needed where particles carry no poses")
        try:
            targets = self._targets()
        except ValueError:
            yield Hint("targets", f"{self.targets!r} are not positive numbers: give Å, one an iteration, such as 8 4", fix="8 4")
        else:
            yield from self._finest(targets)
        if self.reference is not None and len(self.reference) > 2:
            yield Hint("reference", f"are {len(self.reference)} maps: give one, or two for the two halves")
        if self.previous is not None:
            yield from self._unlike(self.previous)
        blind = [group["optics_group"] for group in self.particles.optics if group.get("phase_flipped") or group.get("ctf_premultiplied")]
        if self.fit_defocus and blind:
            yield Hint(
                "fit_defocus",
                f"is not possible for phase-flipped or multiplied images (optics group {blind[0]}): extract them anew",
                fix=False,
            )

    def _finest(self, targets: list[float]) -> Iterator[Hint]:
        sizes = [float(group["pixel_size"]) for group in self.particles.optics if group.get("pixel_size")]
        if sizes and min(targets) < 2 * min(sizes):
            yield Hint("targets", f"{min(targets):g} Å is finer than two pixels; {2 * min(sizes):.3g} Å is taken", error=False)
        boxes = [int(group["box_size"]) for group in self.particles.optics if group.get("box_size")]
        if sizes and boxes and self.multiresolution:
            from cryoloom.numerics.align.local_schedule import next_sampling

            reached = next_sampling(targets[-1], None, max(boxes), min(sizes), wide=False)
            if reached.box < max(boxes):
                text = f"{targets[-1]:g} Å makes a map of {reached.box} px at {reached.pixel_size:.3f} Å, Nyquist {2 * reached.pixel_size:.2f} Å"
                yield Hint("targets", text, error=False)

    def _unlike(self, previous: Particles) -> Iterator[Hint]:
        extents = [
            {round(float(group["box_size"]) * float(group["pixel_size"]), 1) for group in one.optics if group.get("box_size")}
            for one in (previous, self.particles)
        ]
        if all(extents) and abs(max(extents[0]) / max(extents[1]) - 1) > 0.005:
            yield Hint("previous", f"has boxes of {max(extents[0]):g} Å, the particles have {max(extents[1]):g} Å: extract them alike")
        if not set(previous.ids()) & set(self.particles.ids()):
            yield Hint("previous", "has none of these particles")

    def _targets(self) -> list[float]:
        """Return the resolution asked for in every iteration, the last given one again where there are more."""
        given = [float(word) for word in self.targets.replace(",", " ").split()]
        if not given or min(given) <= 0:
            raise ValueError(self.targets)
        count = AUTOMATIC if self.method == "automatic" else self.iterations
        return (given + [given[-1]] * count)[:count]

    def _plans(self, box: int) -> list["Plan"]:
        """Return what each iteration is to do, given the images' box in px."""
        from cryoloom.numerics.align.local import Plan

        targets = self._targets()
        plans = []
        for number, target in enumerate(targets):
            whole = self.method == "automatic" and number == len(targets) - 1
            near = self.method == "local" or (self.method == "automatic" and number >= 3)
            plans.append(
                Plan(
                    target,
                    wide=not near and self.method != "none",
                    turn=self.method != "none" and (self.turn or self.method != "local"),
                    move=0.0 if self.method == "none" or (self.method == "local" and not self.shift) else self.max_shift_change / 100 * box,
                    grey=self.max_grey if self.fit_grey or whole else 0.0,
                    magnification=self.max_magnification if self.fit_magnification or whole else 0.0,
                    defocus=self.max_defocus if self.fit_defocus or whole else 0.0,
                )
            )
        return plans

    def run(self, job: Job) -> LocallyRefined:
        import torch

        from cryoloom.numerics.align import local

        torch.set_num_threads(1)
        particles = self._continued(job)
        loaded = alignable(particles, self.mask_diameter, transfer=self.transfer_function, zero_mask=self.zero_mask, seed=0)
        for warning in loaded.warnings:
            job.warn(warning)
        task, maps = self._task(job, loaded)
        plans = self._plans(loaded.box)

        def start() -> "State":
            known = task.base.initial_lowpass if maps else particles.meta.get("resolution")
            return local.start(self._columns(loaded), maps=maps, resolution=known)

        def step(state: "State") -> "State":
            done = len(state["history"])
            try:
                new = local.iterate(task, state, plans[done], lambda part, doing: job.progress(part, 1.0, f"iteration {done + 1}: {doing}"))
            except ValueError as problem:
                raise Failure("reference-unfit", f"{problem}.", "Check that map and particles show the same contrast.") from problem
            shown = {name: value for name, value in new["history"][-1].items() if isinstance(value, float)}
            job.note(iteration=done + 1, **shown)
            return new

        state = job.iterate(start, step, done=lambda state: len(state["history"]) == len(plans), name="local", total=len(plans))
        return self._outputs(job, particles, loaded, task, state)

    def _continued(self, job: Job) -> Particles:
        """Return the particles with all that the earlier run found of them."""
        from cryoloom.numerics.align.local import COLUMNS

        if self.previous is None:
            return self.particles
        earlier = self.previous.enabled()
        common = self.particles.select(earlier.filter(pl.col("id").is_in(self.particles.ids().to_list()))["id"])
        if (lost := self.particles.enabled().height - len(common)) > 0:
            job.warn(f"{lost} particles are not in the earlier run; they are left out.")
        taken = [name for name in (*COLUMNS, "half_set") if name in earlier.columns]
        found = earlier.select("id", *taken).join(common.ids().to_frame(), on="id", how="semi")
        return common.with_columns(found, resolution=self.previous.meta.get("resolution"))

    def _task(self, job: Job, loaded: Alignable) -> tuple["LocalTask", list[Any] | None]:
        """Return what stays the same, and the maps to start from if any are given."""
        from cryoloom.numerics.align import local, refine
        from cryoloom.numerics.geometry.symmetry import point_group

        maps, lowpass = self._maps(job, loaded)
        base = refine.Task(
            loaded.images, half_sets(loaded, job.seed), loaded.pixel_size, loaded.mask_diameter, lowpass, 0, job.threads,
            mask_on_grid(self.mask, loaded, job.warn), self.follow_surface, folds=local.FOLDS, group=point_group(self.symmetry), near=True,
            join=self.join_below, regularisation=self.regularisation, reach=self.max_shift / 100 * loaded.box, elsewhere=job.blocks,
        )  # fmt: skip
        rows = loaded.rows
        plate = (
            rows["phase_shift"].fill_null(0.0).cast(pl.Float64)
            if "phase_shift" in rows.columns
            else pl.zeros(rows.height, pl.Float64, eager=True)
        )
        finish = local.Finish(self.spherical, self.positive, self.lowpass_criterion if self.lowpass else None, self.lowpass_offset)
        weighing = local.Weighing(
            self.least_weight if self.weight_by_cost else None, ssnr=self.weight_by_signal, continuous=self.weight_by_fit, jumper=self.weight_by_rest
        )  # fmt: skip
        task = local.LocalTask(base, plate.to_numpy(), alike_images(loaded.rows), weighing, finish, self.multiresolution)
        return task, maps

    def _maps(self, job: Job, loaded: Alignable) -> tuple[list[Any] | None, float]:
        """Return the maps to start from, one for each half or one for both, and their low-pass in Å."""
        if self.reference is None:
            return None, self.reference_lowpass
        rows = self.reference.items
        names = ("half_map1_path", "half_map2_path")
        if rows.height == 2:
            paths = rows["volume_path"].to_list()
        elif all(name in rows.columns and rows[name].null_count() == 0 for name in names):
            paths = [rows.item(0, name) for name in names]
        else:
            job.warn(
                f"Both halves start from one map: below {self.reference_lowpass:g} Å their agreement is no evidence. Give its halves, or none."
            )
            paths = [rows.item(0, "volume_path")]
        lowpass = self.reference.meta.get("resolution") if len(paths) == 2 else None
        return [on_grid(self.reference, str(path), loaded, job.warn) for path in paths], float(lowpass or self.reference_lowpass)

    def _columns(self, loaded: Alignable) -> dict[str, Any]:
        """Return the columns of a state: those that the particles carry, and what stands for those that they do not."""
        import numpy as np

        from cryoloom.numerics.align.local import COLUMNS

        rows, count = loaded.rows, loaded.rows.height
        carried = [name for name in POSE if name in rows.columns]
        if lacking := [name for name in carried if rows[name].null_count()]:
            raise Failure("poses-missing", f"Not all particles have {', '.join(lacking)}.", "Refine them first, or leave them out.")
        columns: dict[str, Any] = {}
        for name in COLUMNS:
            there = name in rows.columns and not rows[name].null_count()
            if name == "pose_covariance":
                columns[name] = np.array(rows[name].to_list(), np.float64) if there else np.zeros((count, 15))
            elif there:
                columns[name] = rows[name].cast(pl.Float64).to_numpy()
            else:
                columns[name] = np.full(count, float(name in ("weight", "grey_scale", "magnification")))
        return columns

    def _outputs(self, job: Job, particles: Particles, loaded: Alignable, task: "LocalTask", state: "State") -> LocallyRefined:
        import numpy as np

        from cryoloom.numerics.align.local import COLUMNS, TOLD
        from cryoloom.numerics.fsc.shells import recovered_shell, resolution_at
        from cryoloom.numerics.reconstruct.sums import joined_ssnr

        curve, last, symmetry = np.asarray(state["fsc"]), state["history"][-1], task.base.group.name
        box, size, extent = int(last["box"]), float(last["pixel_size"]), loaded.box * loaded.pixel_size
        resolution = float(state["resolution"])
        if again := recovered_shell(curve, 0.143):
            job.warn(f"The FSC falls below 0.143 at {resolution:.1f} Å and recovers to {extent / again:.1f} Å: look at the curve.")
        self._judge(job, state)
        halves = blake3(np.stack([loaded.rows["id"].to_numpy(), task.base.half]).tobytes()).hexdigest()[:16]
        paths = {
            "volume_path": ("volume.mrc", state["combined"]), "unfiltered_path": ("unfiltered.mrc", state["unfiltered"]),
            "half_map1_path": ("half1_unfil.mrc", state["half_maps"][0]), "half_map2_path": ("half2_unfil.mrc", state["half_maps"][1]),
            "reference_path": ("reference.mrc", state["reference"]),
        }  # fmt: skip
        row: dict[str, Any] = {"id": [1]}
        for column, (name, data) in paths.items():
            write_mrc(job.output(name), np.ascontiguousarray(data, np.float32), size, volume=True)
            row[column] = [job.output(name).relative_to(job.root).as_posix()]
        common = {"resolution": resolution, "symmetry": symmetry, "halves": halves}
        volume = Volume(
            pl.DataFrame(row | {"box_size": [box]}), job.root, meta=common | {"pixel_size": size, "mask_diameter": loaded.mask_diameter}
        )
        known = [name for name in COLUMNS if name not in DEFOCUS or all(one in loaded.rows.columns for one in DEFOCUS)]
        new = {name: state[name] for name in (*known, *TOLD) if name != "pose_covariance"}
        covariance = pl.Series("pose_covariance", np.asarray(state["pose_covariance"]).tolist(), dtype=pl.List(pl.Float64))
        found = pl.DataFrame({"id": loaded.rows["id"], **new, "half_set": task.base.half + 1}).with_columns(covariance)
        refined = particles.with_columns(found, **common)
        if loaded.left_out:
            refined = refined.disable(loaded.left_out)
        history = [{name: value for name, value in step.items() if not isinstance(value, list)} for step in state["history"]]
        shells = np.arange(len(curve))
        table = pl.DataFrame({"id": shells, "shell": shells, "frequency": shells / extent, "fsc": curve, "ssnr": joined_ssnr(curve)})
        longest = max(len(step["fsc"]) for step in state["history"])
        padded = {
            f"{kind}_{number}": step[kind] + [None] * (longest - len(step[kind]))
            for number, step in enumerate(state["history"], start=1)
            for kind in ("fsc", "processed")
        }
        curves = pl.DataFrame({"id": np.arange(longest), **padded}, strict=False)
        fsc = FSC(
            table.join(curves, on="id", how="left"), job.root,
            meta={
                "resolution": resolution,
                "resolution_interpolated": resolution_at(curve, 0.143, loaded.box, loaded.pixel_size, interpolated=True),
                "threshold": 0.143, "mask": f"sphere of {loaded.mask_diameter:g} Å", "joined_below": self.join_below, "iterations": history,
            },
        )  # fmt: skip
        return LocallyRefined(volume, refined, fsc)

    def _judge(self, job: Job, state: "State") -> None:
        """Say what makes the result doubtful."""
        import numpy as np

        if not all(step["shown"] for step in state["history"]):
            job.warn(
                "The images do not show the reference: they fit it no better than their negatives do, as noise does. The map is what the reference "
                "made of noise. Look at the 2D classes, and at the reference."
            )
        certainty = float(np.mean(state["max_probability"]))
        if certainty < UNSURE:
            job.warn(
                f"The best pose of a particle holds {certainty:.0%} of its probability in the mean: poses so uncertain let noise make a map. Do not "
                "believe it before another refinement has led to the same one."
            )
        if (bounded := state["history"][-1]["bounded"]) > 0.1:
            job.warn(f"{bounded:.0%} of the poses moved as far as they may in the last iteration: do another one, or a global search.")
        if unfit := int(np.sum(np.asarray(state["cost"]) <= 0)):
            job.warn(f"{unfit} particles do not correlate with the map: they have no weight. Look at them for junk.")
        if state["resolution"] > 30:
            job.warn(
                f"The halves agree to {state['resolution']:.0f} Å only: no structure was found. Look at the 2D classes and the reference."
            )

    def summary(self, out: LocallyRefined) -> Mapping[str, Any]:
        steps = out.fsc.meta["iterations"]
        poses = out.particles.enabled()
        return {
            "resolution (Å, FSC 0.143)": round(out.fsc.meta["resolution"], 2),
            "particles": poses.height,
            "working box": f"{int(steps[-1]['box'])} px at {steps[-1]['pixel_size']:.3f} Å",
            "targets (Å)": ", ".join(f"{step['target']:.3g}" for step in steps),
            "median correlation": round(median(poses["cost"]), 3),
            "last change of poses (°, Å)": f"{steps[-1]['change_angle']:.2f}, {steps[-1]['change_shift']:.2f}",
        }

    def methods(self, out: LocallyRefined) -> str:
        steps = out.fsc.meta["iterations"]
        fitted = [
            name
            for on, name in ((self.fit_grey, "grey scale"), (self.fit_magnification, "magnification"), (self.fit_defocus, "defocus"))
            if on
        ]
        return (
            f"{out.particles.enabled().height} particles were refined {'near their poses' if self.method == 'local' else 'by ' + self.method + ' alignment'} "
            f"in two independent halves in {self.symmetry}, in {len(steps)} iterations to {steps[-1]['target']:.3g} Å with pixels of "
            f"{steps[-1]['pixel_size']:.3g} Å" + (f", with the {' and '.join(fitted)} of every particle" if fitted else "")
            + (", weighed by the rank of their correlation among those of like defocus" if self.weight_by_cost else "")
            + f". Their half maps agreed to {out.fsc.meta['resolution']:.2f} Å (FSC 0.143) under a soft {out.fsc.meta['mask']}, before anything was done "
            "to the maps."
        )  # fmt: skip

    def report(self, out: LocallyRefined) -> list[Panel]:
        poses = out.particles.enabled()
        if self.fit_defocus or self.method == "automatic":
            before = self.particles.items.select("id", before=(pl.col("defocus_u") + pl.col("defocus_v")) / 2)
            poses = poses.join(before, on="id", how="left").with_columns(
                change_defocus=(pl.col("defocus_u") + pl.col("defocus_v")) / 2 - pl.col("before")
            )
        titles = {"reference_path": "Reference", "unfiltered_path": "Reconstructed", "volume_path": "Filtered"}
        row = out.volume.items.row(0, named=True)
        maps = {title: read_mrc(out.volume.file(str(row[column]))).data for column, title in titles.items()}
        return local_panels(poses, out.fsc, maps)
