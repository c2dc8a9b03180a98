"""classify2d.em: centred class averages by regularised maximum likelihood."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Classes2D, Particles
from cryoloom.data.alignment import GreyScales, ShiftRange, TransferFunction
from cryoloom.formats.alignment import alike_images
from cryoloom.formats.class_images import groups_from_zero, has_ctf, image_blocks
from cryoloom.formats.common_grid import CommonGrid
from cryoloom.report.class_levels import correlation_panel, sizes_panel
from cryoloom.report.grey_scales import grey_scale_panel
from cryoloom.report.panels import ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cryoloom.numerics.align.class2d_prepare import Geometry, Outcome


@dataclass(frozen=True)
class Classified(Outputs):
    classes: Classes2D
    particles: Particles


class Classify2D(
    Protocol,
    id="classify2d.em",
    version=9,
    outputs=Classified,
    cite=("10.1016/j.jmb.2005.02.031", "10.1016/j.jmb.2011.11.010", "10.1038/nmeth.4169"),
    aliases=("ProtCryo2D", "ProtRelionClassify2D"),
):
    """Sort particles into classes of equal views under unknown in-plane rotation and shift, and average each.

    Online expectation-maximisation: batches of images, running sums, likelihoods tempered at first, averages weighted by the correlation
    of their own half sets, centred where they lie aside; classes that die are given half of a large one.
    """

    particles: Particles = Input(
        "Particles", help="Bright particles with their CTF. Optics groups of other boxes or pixels are matched to the largest one."
    )
    classes: int = Param(
        "Classes", 50, ge=1, le=1000, aliases=("numberOfClasses",),
        help="About one for 80 to 500 particles. Too few mix views, too many leave noisy averages.",
    )  # fmt: skip
    mask_diameter: Angstrom = Param(
        "Mask diameter", gt=0, wizard="mask-circle", aliases=("particle_diameter", "maskDiameterA"),
        help="Circle on the averages: the particle's diameter plus a fifth. Too large lets neighbours in.",
    )  # fmt: skip
    outer_diameter: Angstrom | None = Param(
        "Outer diameter of the mask", None, gt=0, advanced=True,
        help="Where the soft edge of the circle on the averages ends; empty for 1.2 times the mask diameter. A narrow edge is itself a feature.",
    )  # fmt: skip
    max_resolution: Angstrom = Param(
        "Finest resolution", 8.0, gt=0, aliases=("maximunResolution", "highres_limit"),
        help="Up to which images are compared; what the pixels hold at most. Finer costs time and sorts no better.",
    )  # fmt: skip
    method: Literal["online", "full"] = Param(
        "Method",
        "online",
        advanced=True,
        aliases=("engine",),
        help="Batches, or all images in each iteration, which is slower and seldom better.",
    )
    iterations: int = Param(
        "Iterations",
        20,
        ge=1,
        le=200,
        advanced=True,
        aliases=("numberOnlineEMIterator",),
        help="Up to twice as many where classes are found that mix views. 40 for low contrast.",
    )
    batch_per_class: int = Param(
        "Images a class and batch",
        100,
        ge=10,
        advanced=True,
        aliases=("batchSizeClass",),
        help="200 for low contrast. Small batches make noise.",
    )
    uncertainty: float = Param(
        "Initial uncertainty", 2.0, ge=1, le=10, advanced=True, aliases=("initialClassification",),
        help="How much less sure the first assignments are than the noise says; higher commits later and finds more good classes.",
    )  # fmt: skip
    annealing_start: int = Param(
        "Annealing from", 2, ge=0, advanced=True, aliases=("iterationToStartAnneling",),
        help="Iterations at full uncertainty before it falls. Longer finds more classes, and needs more iterations.",
    )  # fmt: skip
    annealing_length: int = Param(
        "Annealing over", 15, ge=1, advanced=True, aliases=("iterationToStartAnneal",),
        help="Iterations in which the uncertainty falls to what the noise says; at most what there are less four.",
    )  # fmt: skip
    final_iterations: int = Param(
        "Final iterations", 1, ge=1, le=20, advanced=True, aliases=("numberFinalIterator",),
        help="With all images at the end. More settle the last members of alike classes.",
    )  # fmt: skip
    white_noise: bool = Param(
        "White noise", False, advanced=True, aliases=("useWhiteNoiseModel",),
        help="One noise level for all rings. Right for simulated or whitened images only.",
    )  # fmt: skip
    initial_scale: float = Param(
        "Scale of first references", 1.0, gt=0, le=10, advanced=True, aliases=("initialScale2D",),
        help="Factor on the random first averages; a small one makes the first assignments less sure.",
    )  # fmt: skip
    recentre: bool = Param(
        "Centre averages", True, advanced=True, aliases=("reCenter2D",), help="In every iteration. Off, off-centre picks stay so."
    )
    recentre_threshold: float = Param(
        "Centring threshold", 0.2, ge=0, lt=1, advanced=True, when="recentre", aliases=("reCenterMask",),
        help="Part of an average's maximum above which pixels count for its centre. High ones follow the densest part.",
    )  # fmt: skip
    recentre_binary: bool = Param(
        "Centre the outline", False, advanced=True, when="recentre", aliases=("reCenterMaskBinary",),
        help="Pixels above the threshold count alike. For particles with one heavy end.",
    )  # fmt: skip
    vertical: bool = Param(
        "Long axis vertical", False, advanced=True, aliases=("class2D_estimate_in_plane_pose",),
        help="Turn the averages, and their members' psi, so that what is long stands upright: filaments, membranes seen from the side. Round views "
        "have no such axis.",
    )  # fmt: skip
    force_max_over_poses: bool = Param(
        "Best pose only",
        True,
        advanced=True,
        aliases=("forceMaxover",),
        help="Average each image in its best pose rather than in all likely ones.",
    )
    frc_regularised: bool = Param(
        "Weight by half-set correlation", True, advanced=True, aliases=("useFRCRegularized",),
        help="Otherwise by the averages' own power, as RELION does, which lets noise of small classes grow.",
    )  # fmt: skip
    transfer_function: TransferFunction
    grey_scales: GreyScales
    shift_range: ShiftRange
    regularisation: float = Param(
        "Regularisation T", 1.0, gt=0, le=20, advanced=True, aliases=("tau_fudge", "regularisationParamT"),
        help="Weight of the images over the averages' prior: 2 to 4 for more detail in small classes, and more noise.",
    )  # fmt: skip
    flip_phases_only: bool = Param(
        "CTF phases only", False, advanced=True, aliases=("ctfFlipPhases",), help="Take the CTF as a sign. Averages are then coarser."
    )

    def check(self) -> Iterator[Hint]:
        count = self.particles.enabled().height
        if count < 5:
            yield Hint("particles", f"are {count}; a class needs 5 or more")
        elif self.classes > count / 5:
            yield Hint("classes", f"is {self.classes}: of {count} particles that leaves fewer than 5 a class", fix=max(1, count // 50))
        if self.outer_diameter is not None and self.outer_diameter < self.mask_diameter:
            yield Hint("outer_diameter", f"{self.outer_diameter:g} Å is within the mask diameter", fix=1.2 * self.mask_diameter)
        for group in self.particles.optics:
            if group.get("contrast") == "dark":
                yield Hint("particles", "are dark; extract them with inverted contrast")
            box = group.get("box_size")
            if box and box < 32:
                yield Hint("particles", f"have a box of {box} px; 32 or more are needed")
            if box and self.mask_diameter > box * group["pixel_size"]:
                yield Hint(
                    "mask_diameter", f"{self.mask_diameter:g} Å is wider than the box of {box * group['pixel_size']:.0f} Å", error=False
                )

    def automatic(self) -> Mapping[str, Any]:
        return {"outer_diameter": round(1.2 * self.mask_diameter, 1)}

    def run(self, job: Job) -> Classified:
        import numpy as np
        import torch

        from cryoloom.numerics.align import class2d_prepare as prepare
        from cryoloom.numerics.align import class2d_schedule as schedule

        torch.set_num_threads(1)
        rows = self.particles.enabled()
        grid = CommonGrid.of(self.particles, rows)
        for notice in grid.notices():
            job.warn(notice)
        diameter = min(self.mask_diameter, 0.98 * grid.extent)
        coarsest = max(grid.finest(number) for number in grid.native)
        shape = prepare.geometry(
            grid.box, grid.pixel_size, diameter, max(self.max_resolution, 1.025 * coarsest), outer=self.outer_diameter,
            reach=0.08 if self.shift_range is None else min(self.shift_range / grid.extent, 0.25),
        )  # fmt: skip
        if self.transfer_function != "none" and not has_ctf(grid):
            job.warn("The particles have no CTF; classification goes on without.")
        observed = prepare.observations(
            image_blocks(self.particles, grid, self.transfer_function, phases_only=self.flip_phases_only, progress=job.progress),
            shape, grid.pixel_size, diameter,
        )  # fmt: skip
        usable = observed.usable.numpy()
        if not usable.all():
            job.warn(f"{np.count_nonzero(~usable)} particles are constant or hold values that are not numbers; they are disabled.")
        group = torch.from_numpy(groups_from_zero(grid))
        settings = schedule.Settings(
            classes=self.classes, iterations=self.iterations, final_iterations=self.final_iterations,
            batch=rows.height if self.method == "full" else min(rows.height, self.batch_per_class * self.classes),
            start_band=shape.start_band, reach=shape.reach, uncertainty=self.uncertainty, hard=self.force_max_over_poses,
            annealing_start=self.annealing_start, annealing_length=max(1, min(self.annealing_length, self.iterations - 4)),
            frc_regularised=self.frc_regularised, tau_fudge=self.regularisation, white_noise=self.white_noise, recentre=self.recentre,
            recentre_threshold=self.recentre_threshold, recentre_binary=self.recentre_binary, initial_scale=self.initial_scale,
        )  # fmt: skip
        task = schedule.Task(
            observed, group, prepare.half_sets(rows.height, job.seed), shape.frame, settings, job.seed, job.threads,
            alike_images(rows) if self.grey_scales else None,
        )  # fmt: skip

        def step(state: schedule.State) -> schedule.State:
            new = schedule.iterate(task, state)
            job.note(iteration=new["iteration"], **new["history"][-1])
            return new

        state = job.iterate(
            lambda: schedule.begin(task),
            step,
            done=lambda state: state["iteration"] >= task.iterations(state),
            name="classify",
            total=task.iterations,
        )
        return self._outputs(
            job, rows, usable, prepare.outcome(task, state, shape, vertical=self.vertical), shape, diameter, state["history"]
        )

    def _outputs(
        self,
        job: Job,
        rows: pl.DataFrame,
        usable: "NDArray[np.bool_]",
        found: "Outcome",
        shape: "Geometry",
        diameter: float,
        history: list[Any],
    ) -> Classified:
        import numpy as np

        from cryoloom.formats.stack import write_stack
        from cryoloom.numerics.align.class_quality import GOOD, class_quality, reasons

        label = found.label
        counts = np.bincount(label[usable], minlength=self.classes)
        choices = np.bincount(label, found.choices, minlength=self.classes) / np.maximum(np.bincount(label, minlength=self.classes), 1)
        path = job.output("class_averages.mrcs")
        write_stack(path, found.averages, shape.pixel_size)
        particle = float(self.particles.meta.get("diameter") or diameter / 1.2)
        rings = shape.box * shape.pixel_size / found.resolution
        match, evidence = (self._medians(label[usable], values[usable]) for values in (found.match, found.evidence))
        quality = class_quality(
            found.averages, counts, rings, particle / shape.pixel_size, frc=found.frc.astype(np.float64), match=match, evidence=evidence
        )
        if not found.shown:
            job.warn(
                "The classes show nothing that the images have: images kept out of the averages fit them no better than their negatives do, as "
                "noise does. All classes count as bad. Look at the picks, and whether particles are bright."
            )
        total = np.where((counts > 0) & found.shown, quality.total, 0.0)
        classes = pl.DataFrame(
            {
                "id": np.arange(1, self.classes + 1),
                "class_id": np.arange(1, self.classes + 1),
                "stack_path": [path.relative_to(job.root).as_posix()] * self.classes,
                "stack_index": np.arange(self.classes),
                "count": counts,
                "resolution": found.resolution,
                "resolution_0143": found.resolution_0143,
                "accuracy_rotations": found.accuracy_rotations,
                "accuracy_translations": found.accuracy_translations,
                "eca": choices,
                "distribution": counts / max(counts.sum(), 1),
                "quality": total,
                "good": total >= GOOD,
                **{f"quality_{name}": scores for name, scores in quality.scores.items()},
                "reason": reasons(total, quality.scores),
                "pixel_size": np.full(self.classes, shape.pixel_size),
                "frc": pl.Series(found.frc.astype(np.float64).tolist(), dtype=pl.List(pl.Float64)),
            }
        )
        poses = pl.DataFrame(
            {
                "id": rows["id"], "class_id": label + 1, "psi": found.psi, "origin_x": found.origin[:, 0], "origin_y": found.origin[:, 1],
                "max_probability": found.certainty.astype(np.float64), "log_likelihood": found.evidence.astype(np.float64),
                "match": found.match.astype(np.float64), "grey_scale": found.scale,
            }
        )  # fmt: skip
        particles = self.particles.with_columns(poses)
        if not usable.all():
            particles = particles.disable({int(each): "constant, or not a number" for each in rows["id"].to_numpy()[~usable]})
        meta = {"pixel_size": shape.pixel_size, "box_size": shape.box, "mask_diameter": diameter, "iterations": history}
        return Classified(Classes2D(classes, job.root, meta=meta), particles)

    def _medians(self, label: Any, values: Any) -> Any:
        """Return the median of each class, ``(K,)``; 0 where a class is empty."""
        import numpy as np

        found = pl.DataFrame({"label": label, "value": values}).group_by("label").agg(pl.col("value").median())
        out = np.zeros(self.classes)
        out[found["label"].to_numpy()] = found["value"].to_numpy()
        return out

    def summary(self, out: Classified) -> Mapping[str, Any]:
        classes = out.classes.items
        good = classes.filter("good")
        return {
            "classes": f"{classes.filter(pl.col('count') > 0).height} of {classes.height} in use",
            "suggested good": good.height,
            "particles in them": good["count"].sum(),
            "best resolution (Å)": round(float(classes.filter(pl.col("count") > 0)["resolution"].min() or 0), 1),  # pyright: ignore[reportArgumentType]
        }

    def methods(self, out: Classified) -> str:
        classes = out.classes.items
        used = classes.filter(pl.col("count") > 0)
        best = float(used["resolution"].min() or 0)  # pyright: ignore[reportArgumentType]
        return (
            f"Particles were sorted into {self.classes} 2D classes by expectation-maximisation within a mask of {self.mask_diameter:g} Å, at up to "
            f"{self.max_resolution:g} Å. The best of {used.height} classes in use reached {best:.1f} Å."
        )

    def report(self, out: Classified) -> list[Panel]:
        from cryoloom.formats.stack import read_particles

        table = out.classes.items.sort("count", descending=True)
        averages = read_particles(out.classes)
        history = out.classes.meta["iterations"]
        numbers = list(range(1, len(history) + 1))
        extent = out.classes.meta["box_size"] * out.classes.meta["pixel_size"]
        return [
            ImageGrid(
                title="Class averages", images=[averages[row - 1] for row in table["class_id"]], good=table["good"].to_list(), size=100,
                captions=[f"{row['count']}, {row['resolution']:.0f} Å, {row['quality']:.2f}" for row in table.iter_rows(named=True)],
                caption="Largest first. Captions: particles, resolution (half-set FRC 0.5), quality. Green frames are suggested as good.",
            ),
            correlation_panel(table, extent),
            sizes_panel(table, "A few giants beside many empty ones: attractors; more iterations or a higher initial uncertainty help."),
            LinePlot(title="Convergence", x_label="iteration", y_label="fraction", y_range=(0, 1.05),
                     series=[Series("best probability", numbers, [step["certainty"] for step in history]),
                             Series("changed class", numbers, [step["changed"] for step in history])],
                     caption="The probability of the best pose, in the mean. The last iteration compares all images with all poses, and tells it lower."),
            LinePlot(title="Likelihood", x_label="iteration", y_label="log-likelihood per image",
                     series=[Series("of the images", numbers, [step["log_likelihood"] for step in history])],
                     caption="Full expectation-maximisation raises it at every step, unless classes are begun anew or moved to the centre, or the band "
                             "grows; batches and a falling uncertainty let it go up and down."),
            LinePlot(title="Resolution and band", x_label="iteration", y_label="Å",
                     series=[Series("better classes' halves", numbers, [extent / max(step["ring"], 1) for step in history]),
                             Series("compared to", numbers, [extent / step["band"] for step in history])]),
            *grey_scale_panel(out.particles.enabled()),
            TableView(title="Classes", columns={
                label: table[name].to_list() for name, label in {
                    "class_id": "class", "count": "particles", "resolution": "resolution (Å, FRC 0.5)", "resolution_0143": "(Å, FRC 0.143)",
                    "eca": "classes an image shares", "accuracy_rotations": "accuracy of psi (°)", "accuracy_translations": "of shifts (Å)",
                    "quality": "quality", "reason": "why"}.items()}),
        ]  # fmt: skip
