"""refine.auto: poses and map of one structure, by gold-standard refinement."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl
from blake3 import blake3

from cryoloom.data import FSC, Classes3D, Mask, Particles, Volume, symmetry_hints
from cryoloom.data.alignment import GreyScales, MaskDiameter, Regularisation, RelaxSymmetry, ShiftRange, TransferFunction, ZeroMask
from cryoloom.formats.alignment import POSE, Alignable, alignable, alike_images, half_sets, map_rows, mask_on_grid, on_grid, poses_of
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.grey_scales import grey_scale_panel
from cryoloom.report.panels import AngularDistribution, Histogram, LinePlot, MapSlices, Series
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol, WrongUse
from cryoloom.units import Angstrom, Degrees

UNSURE = 0.5
"""Mean probability of the best poses below which a map may come from noise: noise alone reaches 0.2."""
LEAST_EDGE = 5.0
"""Pixels over which a mask under which the FSC is taken should fall."""
FEW = 100
"""Particles below which a refinement says little."""
POOR = 10.0
"""Degrees of expected error (at odds of a hundred to one) from which poses are too uncertain to be worth a map."""
ALIKE = 0.9
"""Correlation at 20 Å, roundness taken out, that a reference must have with its symmetrised copy."""


@dataclass(frozen=True)
class Refined(Outputs):
    volume: Volume
    particles: Particles
    fsc: FSC


class AutoRefine(
    Protocol,
    id="refine.auto",
    version=4,
    outputs=Refined,
    cite=("10.1016/j.jmb.2011.11.010", "10.1016/j.jsb.2012.09.006", "10.1038/nmeth.2115"),
    aliases=("ProtRelionRefine3D", "ProtRelionAutoRefine"),
):
    """Align every particle to a reference and average, in two halves that never see each other, until nothing improves.

    Poses are sought over all orientations first, then improved continuously; each particle enters with the spread its pose has.
    """

    particles: Particles = Input(
        "Particles", help="Bright particles with their CTF. Optics groups of other boxes or pixels are matched to the largest one."
    )
    reference: Volume | Classes3D = Input(
        "Reference", help="A map to start from; box, pixel size and grey values are matched. A wrong one is low-passed, not forgotten."
    )
    reference_class: int = Param(
        "Reference class", 0, ge=0, advanced=True,
        help="Of a reference of several maps, the one to start from: its class_id, or its id. 0 takes the class of most particles, or the first.",
    )  # fmt: skip
    mask: Mask | None = Input(
        "Reference mask", optional=True,
        help="Soft mask laid on the references. It must not cut density; the shell correlation keeps the sphere.",
    )  # fmt: skip
    solvent_fsc: bool = Param(
        "FSC under the mask", False, aliases=("solventFscMask", "doSolventFsc"),
        help="Take the halves' correlation under the reference mask, corrected by phase randomisation: for small particles in much solvent or a "
        "micelle. A tight or sharp mask flatters.",
    )  # fmt: skip
    poses: Literal["search", "given", "prior"] = Param(
        "Poses", "search", aliases=("copyAlignment", "alignmentAsPriors"),
        help="search: over all orientations, whatever poses the particles carry. given: start from those and look near them only, to go on with a "
        "refinement; with the map of the same run as reference each half goes on from its own half map. prior: look everywhere, but hold poses near "
        "the given ones by a Gaussian prior: for a part of a particle under a mask, faint particles, and filaments. Wrong poses then stay wrong.",
    )  # fmt: skip
    prior_turn: Degrees = Param(
        "Prior on rotations", 5.0, gt=0, le=90, when="poses=prior", aliases=("localAngularSearchRange", "sigma_ang"),
        help="Standard deviation about each axis. Too small and poses stay where they were; from 30° on it hardly says anything.",
    )  # fmt: skip
    prior_shift: Angstrom | None = Param(
        "Prior on shifts", None, gt=0, when="poses=prior", advanced=True,
        help="Standard deviation about the given shifts; empty takes what shifts turn out to be, about the box's centre.",
    )  # fmt: skip
    free_rot: bool = Param(
        "Turn about the axis is free", False, when="poses=prior", advanced=True,
        help="Only tilt and psi are held, the turn about the map's z axis (rot) is sought: for filaments, and particles in a membrane.",
    )  # fmt: skip
    mask_diameter: MaskDiameter
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group, axes as in RELION: Cn, Dn, T, O, I1 to I4. The reference must lie on its axes. A wrong group spoils the map.",
    )  # fmt: skip
    relax_symmetry: RelaxSymmetry
    initial_lowpass: Angstrom = Param(
        "Initial low-pass", 40.0, gt=0, aliases=("initialLowPassFilterA",),
        help="Resolution of the reference at the start. Too fine and the halves share its detail, which shows in the FSC as signal.",
    )  # fmt: skip
    transfer_function: TransferFunction
    zero_mask: ZeroMask
    grey_scales: GreyScales
    follow_surface: bool = Param(
        "Mask follows the surface", True, advanced=True, aliases=("refine_dynamic_mask",),
        help="Without a reference mask: lay one around the particle's surface once the halves agree to an eighth of its size. Off, a sphere stays: "
        "safer for parts so faint or mobile that a low-passed map lacks them.",
    )  # fmt: skip
    shift_range: ShiftRange
    regularisation: Regularisation
    join_below: Angstrom = Param(
        "Join halves below", 40.0, ge=10, advanced=True, aliases=("low_resol_join_halves",),
        help="Coarser detail is averaged over the two halves, so that their frames stay one; their FSC says nothing there. Finer joins what it should judge.",
    )  # fmt: skip
    iterations: int = Param(
        "Most iterations", 25, ge=3, le=100, advanced=True,
        help="The refinement stops by itself when nothing improves; this is for particles that never settle.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        yield from symmetry_hints(self.relax_symmetry, "relax_symmetry")
        if (count := self.particles.enabled().height) < FEW:
            yield Hint("particles", f"are {count}: too few for halves to agree on much", error=False)
        missing = [name for name in POSE if name not in self.particles.items.columns]
        if missing and self.poses != "search":
            yield Hint("poses", f"must be search: the particles carry no {', '.join(missing)}", fix="search")
        if self.initial_lowpass < 15:
            yield Hint(
                "initial_lowpass", f"{self.initial_lowpass:g} Å lets the reference decide the detail of both halves", fix=40.0, error=False
            )
        if self.solvent_fsc and self.mask is None:
            yield Hint("solvent_fsc", "needs a reference mask", fix=False)
        if self.reference_class:
            try:
                map_rows(self.reference, self.reference_class)
            except WrongUse as problem:
                yield Hint("reference_class", problem.message)

    def run(self, job: Job) -> Refined:
        import torch

        from cryoloom.numerics.align import refine
        from cryoloom.numerics.geometry.symmetry import point_group

        torch.set_num_threads(1)
        loaded = alignable(self.particles, self.mask_diameter, transfer=self.transfer_function, zero_mask=self.zero_mask, seed=job.seed)
        for warning in loaded.warnings:
            job.warn(warning)
        references, lowpass = self._references(job, loaded)
        task = refine.Task(
            loaded.images, half_sets(loaded, job.seed), loaded.pixel_size, loaded.mask_diameter, lowpass, job.seed, job.threads,
            mask_on_grid(self.mask, loaded, job.warn), self.follow_surface, self.iterations, group=point_group(self.symmetry),
            alike=alike_images(loaded.rows) if self.grey_scales else None, near=self.poses == "given", solvent_fsc=self.solvent_fsc,
            prior=self._prior(loaded) if self.poses == "prior" else None, relaxed=point_group(self.relax_symmetry),
            join=self.join_below, regularisation=self.regularisation,
            reach=None if self.shift_range is None else self.shift_range / loaded.pixel_size, elsewhere=job.blocks,
        )  # fmt: skip
        if self.solvent_fsc:
            self._judge_edge(job, task.mask)

        def start() -> refine.State:
            self._judge_symmetry(job, loaded, references[0])
            given = poses_of(loaded) if task.given else ()
            try:
                return refine.begin(task, references, *given)
            except ValueError as problem:
                raise Failure("reference-unfit", f"{problem}.", "Check that map and particles show the same contrast.") from problem

        def step(state: refine.State) -> refine.State:
            number = state["iteration"] + 1
            new = refine.iterate(task, state, lambda part, doing: job.progress(part, 1.0, f"iteration {number}: {doing}"))
            job.note(iteration=number, **new["history"][-1])
            return new

        state = job.iterate(start, step, done=lambda state: state["finished"], name="refine")
        return self._outputs(job, loaded, task, state)

    def _prior(self, loaded: Alignable) -> Any:
        """Return the prior about the poses that the particles carry."""
        import numpy as np

        from cryoloom.numerics.align.priors import PosePrior
        from cryoloom.numerics.geometry.symmetry import point_group

        rotations, shifts = poses_of(loaded)
        groups = (point_group(self.symmetry), point_group(self.relax_symmetry))
        prior = PosePrior(
            turn=1.0 / np.deg2rad(self.prior_turn) ** 2,
            rotations=rotations,
            about_axis=self.free_rot,
            group=max(groups, key=lambda one: one.order),
        )
        if self.prior_shift is None:
            return prior
        return replace(prior, shift=(loaded.pixel_size / self.prior_shift) ** 2, shifts=shifts)

    def _references(self, job: Job, loaded: Alignable) -> tuple[list[Any], float]:
        """Return the map to start from, or that of each half, and the low-pass in Å."""
        row, halves = self._reference_row(), self.reference.meta.get("halves")
        if self.poses != "search" and halves and halves == self.particles.meta.get("halves"):
            paths = [str(row[name]) for name in ("half_map1_path", "half_map2_path")]
            return [on_grid(self.reference, path, loaded, job.warn) for path in paths], float(self.reference.meta["resolution"])
        return [on_grid(self.reference, str(row["volume_path"]), loaded, job.warn)], self.initial_lowpass

    def _reference_row(self) -> dict[str, Any]:
        rows = map_rows(self.reference, self.reference_class)
        if "count" in rows.columns:
            rows = rows.sort("count", descending=True, maintain_order=True)
        return rows.row(0, named=True)

    def _judge_edge(self, job: Job, mask: Any) -> None:
        """Say so when a mask falls so fast that it makes correlation of its own."""
        import numpy as np

        steepest = max(float(np.abs(np.diff(mask, axis=axis)).max()) for axis in range(3))
        if (edge := np.pi / 2 / steepest) < LEAST_EDGE:
            job.warn(
                f"The reference mask falls to 0 within {edge:.1f} px; the FSC under it may flatter. Give it a soft edge of 5 px or more."
            )

    def _judge_symmetry(self, job: Job, loaded: Alignable, reference: Any) -> None:
        """Say so when the reference has not the symmetry that will be imposed on it."""
        from cryoloom.numerics.align.axes import agreement, find_axes
        from cryoloom.numerics.geometry.symmetry import point_group

        group, radius = point_group(self.symmetry), loaded.mask_diameter / 2
        if group.order == 1 or (found := agreement(reference, loaded.pixel_size, radius, group)) >= ALIKE:
            return
        elsewhere = find_axes(reference, loaded.pixel_size, radius, group).agreement
        reason = f"not supported by the reference: CC between it and its symmetrised copy = {found:.2f}"
        if elsewhere >= ALIKE:
            job.warn(
                f"Symmetry {group.name} is {reason}, but {elsewhere:.2f} about other axes. Lay the reference on {group.name}'s axes first."
            )
        else:
            job.warn(f"Symmetry {group.name} is {reason}. Refine in C1 and compare before you believe the map.")

    def _outputs(self, job: Job, loaded: Alignable, task: Any, state: dict[str, Any]) -> Refined:
        import numpy as np

        from cryoloom.numerics.fsc.shells import recovered_shell, resolution_at, shell_frequencies
        from cryoloom.numerics.geometry.euler import matrix_to_euler
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.reconstruct.sums import joined_ssnr

        box, size, curve, symmetry = loaded.box, loaded.pixel_size, state["fsc"], point_group(self.symmetry).name
        resolution = resolution_at(curve, 0.143, box, size)
        again = recovered_shell(curve, 0.143)
        if again:
            job.warn(f"The FSC falls below 0.143 at {resolution:.1f} Å and recovers to {box * size / again:.1f} Å: look at the curve.")
        paths = {
            "volume_path": "volume.mrc", "unfiltered_path": "unfiltered.mrc",
            "half_map1_path": "half1_unfil.mrc", "half_map2_path": "half2_unfil.mrc",
        }  # fmt: skip
        for name, data in zip(paths.values(), (state["combined"], state["unfiltered"], *state["half_maps"]), strict=True):
            write_mrc(job.output(name), np.ascontiguousarray(data, np.float32), size, volume=True)
        halves = blake3(np.stack([loaded.rows["id"].to_numpy(), task.half]).tobytes()).hexdigest()[:16]
        last = state["history"][-1]
        row = {column: job.output(name).relative_to(job.root).as_posix() for column, name in paths.items()}
        volume = Volume(
            pl.DataFrame(
                {
                    "id": [1],
                    **{column: [path] for column, path in row.items()},
                    "box_size": [box],
                    "accuracy_rotations": [last["accuracy_rotations"]],
                    "accuracy_translations": [last["accuracy_translations"]],
                }
            ),
            job.root,
            meta={
                "pixel_size": size,
                "resolution": resolution,
                "mask_diameter": loaded.mask_diameter,
                "symmetry": symmetry,
                "halves": halves,
            },
        )
        rot, tilt, psi = matrix_to_euler(state["rotations"])
        poses = pl.DataFrame(
            {
                "id": loaded.rows["id"],
                "rot": rot, "tilt": tilt, "psi": psi,
                "origin_x": state["shifts"][:, 0] * size, "origin_y": state["shifts"][:, 1] * size,
                "half_set": task.half + 1,
                "max_probability": state["max_probability"],
                "log_likelihood": state["log_likelihood"],
                "grey_scale": state["scales"][task.alike] if task.alike is not None else 1.0,
            }
        )  # fmt: skip
        particles = self.particles.with_columns(poses, symmetry=symmetry, halves=halves)
        if loaded.left_out:
            particles = particles.disable(loaded.left_out)
        shells = np.arange(len(curve))
        fsc = FSC(
            pl.DataFrame(
                {"id": shells, "shell": shells, "frequency": shell_frequencies(box, size), "fsc": curve, "ssnr": joined_ssnr(curve)}
            ),
            job.root,
            meta={
                "resolution": resolution,
                "resolution_interpolated": resolution_at(curve, 0.143, box, size, interpolated=True),
                "threshold": 0.143,
                "mask": "the reference mask, corrected" if self.solvent_fsc else f"sphere of {loaded.mask_diameter:g} Å",
                "joined_below": self.join_below,
                "iterations": state["history"],
            },
        )
        if not state["shown"]:
            job.warn(
                "The images do not show the reference: they fit it no better than their negatives do, as noise does. The map is what the reference "
                "made of noise. Look at the 2D classes, and at the reference."
            )
        certainty = float(np.mean(state["max_probability"]))
        if certainty < UNSURE:
            job.warn(
                f"The best pose of a particle holds {certainty:.0%} of its probability in the mean. Poses so uncertain let noise and the "
                "reference make a map: do not believe it before another reference has led to the same one."
            )
        elif last["accuracy_rotations"] > POOR:
            job.warn(
                f"Poses are expected to be wrong by up to {last['accuracy_rotations']:.0f}° (at odds of a hundred to one): too little signal "
                "for detail. Look at the 2D classes for junk, and at the mask diameter."
            )
        if resolution > 30:
            job.warn(f"The halves agree to {resolution:.0f} Å only: no structure was found. Look at the 2D classes and the reference.")
        return Refined(volume, particles, fsc)

    def summary(self, out: Refined) -> Mapping[str, Any]:
        last = out.fsc.meta["iterations"][-1]
        return {
            "resolution (Å, FSC 0.143)": round(out.fsc.meta["resolution"], 2),
            "particles": out.particles.enabled().height,
            "iterations": len(out.fsc.meta["iterations"]),
            "mean best-pose probability": round(last["max_probability"], 3),
            "accuracy of rotations (°), shifts (Å)": f"{last['accuracy_rotations']:.1f}, {last['accuracy_translations']:.1f}",
            "last change of poses (°)": round(last["change_angle"], 2),
        }

    def methods(self, out: Refined) -> str:
        return (
            f"{out.particles.enabled().height} particles were refined in two independent halves in {self.symmetry}, from a reference "
            f"low-pass filtered to {self.initial_lowpass:g} Å, within a mask of {self.mask_diameter:g} Å. Their half maps agreed to "
            f"{out.fsc.meta['resolution']:.2f} Å (FSC 0.143) under a soft {out.fsc.meta['mask']} after {len(out.fsc.meta['iterations'])} iterations."
        )

    def report(self, out: Refined) -> list[Panel]:
        table, meta, size = out.fsc.items, out.fsc.meta, float(out.volume.meta["pixel_size"])
        poses = out.particles.enabled()
        data = read_mrc(out.volume.file(str(out.volume.items.item(0, "volume_path")))).data
        history = meta["iterations"]
        numbers = list(range(1, len(history) + 1))
        return [
            LinePlot(
                title="Gold-standard FSC", series=[Series("half maps", table["frequency"].to_list(), table["fsc"].to_list())],
                x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.143": 0.143},
                marks={f"{meta['resolution']:.2f} Å": 1 / meta["resolution"]}, y_range=(-0.1, 1.05), caption=f"Under a soft {meta['mask']}.",
            ),
            AngularDistribution(
                title="Viewing directions", rot=poses["rot"].to_list(), tilt=poses["tilt"].to_list(),
                caption="Equal areas of the map are equal areas of the sphere. Empty regions are views that the ice did not offer.",
            ),
            LinePlot(title="Resolution and band", x_label="iteration", y_label="Å",
                     series=[Series("half maps", numbers, [step["resolution"] for step in history]),
                             Series("compared to", numbers, [step["band"] for step in history])],
                     caption="What the halves agreed on, and how far images were compared."),
            LinePlot(title="Movement of poses", x_label="iteration", y_label="median turn (°)",
                     series=[Series("poses", numbers[1:], [step["change_angle"] for step in history[1:]])],
                     caption="Since the iteration before."),
            LinePlot(title="Movement of shifts", x_label="iteration", y_label="median change (Å)",
                     series=[Series("shifts", numbers[1:], [step["change_shift"] for step in history[1:]])]),
            LinePlot(title="Accuracy of poses", x_label="iteration", y_label="°, Å",
                     series=[Series("rotations (°)", numbers, [step["accuracy_rotations"] for step in history]),
                             Series("shifts (Å)", numbers, [step["accuracy_translations"] for step in history])],
                     caption="Errors expected at odds of a hundred to one; those of the last iteration hold the reference's noise too."),
            LinePlot(title="Signal to noise", x_label="resolution (Å)", y_label="log₁₀ of the ratio of powers", resolution_axis=True, levels={"1": 0.0},
                     series=[Series("a half map", table["frequency"].to_list()[1:], table["ssnr"].log10().to_list()[1:])]),
            *grey_scale_panel(poses),
            Histogram(title="Certainty of poses", values=poses["max_probability"].to_list(), label="probability of the best pose"),
            MapSlices(title="Combined map", volume=data, caption=f"Filtered by its FSC, {size:g} Å a voxel."),
        ]  # fmt: skip
