"""classify3d.em: several structures in one set of particles."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import Classes3D, Mask, Particles, Volume, symmetry_hints
from cryoloom.data.alignment import GreyScales, MaskDiameter, Regularisation, RelaxSymmetry, ShiftRange, TransferFunction, ZeroMask
from cryoloom.formats.alignment import POSE, Alignable, alignable, alike_images, halves_at_random, map_rows, mask_on_grid, on_grid, poses_of
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.grey_scales import grey_scale_panel
from cryoloom.report.panels import AngularDistribution, ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    from cryoloom.numerics.align.classify3d import State, Task

LEAST = 50
"""Particles without which nothing can be told apart."""
WORSE = 1.5
"""Times the best class's accuracy of rotations from which a class is clearly worse."""


@dataclass(frozen=True)
class Classified3D(Outputs):
    classes: Classes3D
    particles: Particles


class Classify3D(
    Protocol,
    id="classify3d.em",
    version=2,
    outputs=Classified3D,
    cite=("10.1038/nmeth992", "10.1016/j.jmb.2011.11.010", "10.1162/089976600300015088"),
    aliases=("ProtRelionClassify3D",),
):
    """Sort particles into structures and average each, poses being sought at the same time or left as they are.

    Classes start alike and drift apart on what images say beyond noise. An image is judged by maps it is not in; classes that two halves of the images
    do not tell apart are given up and tried elsewhere. In a homogeneous set classes stay equal, and say so.
    """

    particles: Particles = Input(
        "Particles", help="Bright particles with their CTF. Optics groups of other boxes or pixels are matched to the largest one."
    )
    reference: Volume | Classes3D = Input(
        "Reference",
        help="One map, from which all classes start, or as many as classes, one for each. Box, pixel size and grey values are matched.",
    )
    mask: Mask | None = Input(
        "Reference mask", optional=True,
        help="Soft mask laid on the references: classes are told apart inside it. It must not cut the particle.",
    )  # fmt: skip
    classes: int = Param(
        "Classes", 3, ge=1, le=20, aliases=("numberOfClasses", "nr_classes"),
        help="One or two more than the structures you expect, for junk. More than there are come out equal.",
    )  # fmt: skip
    mask_diameter: MaskDiameter
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup", "sym"),
        help="Point group that every class has: Cn, Dn, T, O, I1 to I4. With a wrong one every class is an average of what differs.",
    )  # fmt: skip
    initial_lowpass: Angstrom = Param(
        "Initial low-pass", 40.0, gt=0, aliases=("initialLowPassFilterA", "ini_high"),
        help="Resolution of the references at the start. Too fine and they decide the poses, too coarse and there are none.",
    )  # fmt: skip
    align: bool = Param(
        "Align", True, aliases=("doImageAlignment",),
        help="Seek poses. No leaves the particles' own: seconds, and as good where these are right and the structures are similar.",
    )  # fmt: skip
    local_search: bool = Param(
        "Near the given poses", False, advanced=True, when="align", aliases=("localAngularSearch",),
        help="Improve the particles' own poses instead of seeking over all orientations. Wrong ones then stay wrong.",
    )  # fmt: skip
    local_range: Degrees | None = Param(
        "Range of local search", None, gt=0, le=90, advanced=True, when="local_search", aliases=("localAngularSearchRange",),
        help="Poses are held near the given ones by a Gaussian prior that is nearly over at this angle, three standard deviations. Empty for none.",
    )  # fmt: skip
    relax_symmetry: RelaxSymmetry
    transfer_function: TransferFunction
    zero_mask: ZeroMask
    grey_scales: GreyScales
    max_resolution: Angstrom = Param(
        "Finest resolution", 0.0, ge=-1, advanced=True, aliases=("limitResolEStep", "strict_highres_exp"),
        help="Up to which images are compared, 0 or -1 for what they hold. Coarser is faster, and sorts by large differences only.",
    )  # fmt: skip
    shift_range: ShiftRange
    regularisation: Regularisation
    iterations: int = Param(
        "Most iterations", 35, ge=3, le=200, advanced=True, aliases=("numberOfIterations",),
        help="It stops by itself when classes have come to rest; fewer than 20 leave no time to try classes again that turned out equal.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        count = self.particles.enabled().height
        yield from symmetry_hints(self.symmetry)
        yield from symmetry_hints(self.relax_symmetry, "relax_symmetry")
        if count < LEAST:
            yield Hint("particles", f"are {count}; {LEAST} or more are needed")
        elif self.classes > count / 100:
            yield Hint(
                "classes", f"is {self.classes}: of {count} particles that leaves fewer than 100 each", fix=max(1, count // 100), error=False
            )
        if self.classes == 1:
            yield Hint("classes", "is 1: nothing is sorted; refine.auto makes the better map", error=False)
        if len(self.reference) not in (1, self.classes):
            yield Hint(
                "classes", f"is {self.classes}, the reference has {len(self.reference)} maps: give one, or one a class",
                fix=len(self.reference),
            )  # fmt: skip
        if self.initial_lowpass < 10:
            yield Hint("initial_lowpass", f"{self.initial_lowpass:g} Å lets the reference decide the poses", fix=40.0, error=False)
        missing = [name for name in POSE if name not in self.particles.items.columns]
        if missing and not self.align:
            yield Hint("align", f"must be yes: the particles carry no {', '.join(missing)}", fix=True)
        elif missing and self.local_search:
            yield Hint("local_search", f"must be no: the particles carry no {', '.join(missing)}", fix=False)
        for group in self.particles.optics:
            box = group.get("box_size")
            if box and self.mask_diameter > box * group["pixel_size"]:
                yield Hint(
                    "mask_diameter", f"{self.mask_diameter:g} Å is wider than the box of {box * group['pixel_size']:.0f} Å", error=False
                )

    def run(self, job: Job) -> Classified3D:
        import numpy as np
        import torch

        from cryoloom.numerics.align import classify3d
        from cryoloom.numerics.align.priors import PosePrior
        from cryoloom.numerics.geometry.symmetry import point_group

        torch.set_num_threads(1)
        finest = self.max_resolution if self.max_resolution > 0 else None
        loaded = alignable(
            self.particles, self.mask_diameter, least=LEAST, transfer=self.transfer_function, zero_mask=self.zero_mask, seed=job.seed
        )
        for warning in loaded.warnings:
            job.warn(warning)
        task = classify3d.Task(
            loaded.images, halves_at_random(loaded, job.seed), loaded.pixel_size, loaded.mask_diameter, self.initial_lowpass, job.seed,
            job.threads, mask_on_grid(self.mask, loaded, job.warn), iterations=self.iterations, classes=self.classes,
            search="global" if self.align and not self.local_search else "local" if self.align else "fixed", finest=finest,
            group=point_group(self.symmetry), relaxed=point_group(self.relax_symmetry), regularisation=self.regularisation,
            reach=None if self.shift_range is None else self.shift_range / loaded.pixel_size,
            alike=alike_images(loaded.rows) if self.grey_scales else None, elsewhere=job.blocks,
        )  # fmt: skip
        if task.finest_shell < task.shell(finest or 0.1):
            job.warn(
                f"Images are compared to {task.angstrom(task.finest_shell):.1f} Å: {self.classes} classes take no finer sums in memory."
            )
        maps = [on_grid(self.reference, path, loaded, job.warn) for path in map_rows(self.reference)["volume_path"]]
        count = len(loaded.images)
        poses = (np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 2))) if task.search == "global" else poses_of(loaded)
        if task.search == "local" and self.local_range is not None:
            group = max(task.group, task.relaxed, key=lambda one: one.order)
            turn = 1.0 / np.deg2rad(self.local_range / 3.0) ** 2
            task = replace(task, prior=PosePrior(turn=turn, rotations=poses[0], group=group))

        def start() -> "State":
            try:
                return classify3d.begin(task, maps, *poses)
            except ValueError as problem:
                raise Failure("reference-unfit", f"{problem}.", "Check that map and particles show the same contrast.") from problem

        def step(state: "State") -> "State":
            number = state["iteration"] + 1
            new = classify3d.iterate(task, state, lambda part, doing: job.progress(part, 1.0, f"iteration {number}: {doing}"))
            job.note(iteration=number, **{name: value for name, value in new["history"][-1].items() if isinstance(value, float)})
            return new

        state = job.iterate(start, step, done=lambda state: state["finished"], name="classify")
        return self._outputs(job, loaded, task, state)

    def _outputs(self, job: Job, loaded: Alignable, task: "Task", state: "State") -> Classified3D:
        from cryoloom.numerics.align.classify3d_rounds import SURE
        from cryoloom.numerics.geometry.euler import matrix_to_euler

        member, size = state["member"], loaded.pixel_size
        table = self._table(job, loaded, task, state)
        rot, tilt, psi = matrix_to_euler(state["rotations"])
        columns = pl.DataFrame(
            {
                "id": loaded.rows["id"],
                "class_id": member + 1,
                "class_probabilities": pl.Series(state["members"].tolist(), dtype=pl.List(pl.Float64)),
                "rot": rot, "tilt": tilt, "psi": psi,
                "origin_x": state["shifts"][:, 0] * size, "origin_y": state["shifts"][:, 1] * size,
                "max_probability": state["max_probability"],
                "log_likelihood": state["log_likelihood"],
                "grey_scale": state["scales"][task.alike] if task.alike is not None else 1.0,
            }
        )  # fmt: skip
        particles = self.particles.with_columns(columns, symmetry=task.group.name)
        if loaded.left_out:
            particles = particles.disable(loaded.left_out)
        for row in table.iter_rows(named=True):
            if not row["count"]:
                job.warn(f"Class {row['class_id']} is empty.")
        alike = table.filter((pl.col("count") > 0) & (pl.col("separation") < SURE))
        if alike.height > 1:
            job.warn(
                f"Classes {', '.join(map(str, alike['class_id']))} differ from another by no more than chance: which of them a particle is in "
                "means nothing. There are fewer structures than classes, or the particles are too few to tell."
            )
        meta = {
            "pixel_size": size, "box_size": loaded.box, "mask_diameter": loaded.mask_diameter, "symmetry": task.group.name,
            "iterations": state["history"], "curves": state["class_fsc"].tolist(), "differences": state["separation"].tolist(),
        }  # fmt: skip
        return Classified3D(Classes3D(table, job.root, meta=meta), particles)

    def _table(self, job: Job, loaded: Alignable, task: "Task", state: "State") -> pl.DataFrame:
        import numpy as np

        from cryoloom.numerics.align.class_accuracy import class_accuracy, quality
        from cryoloom.numerics.fsc.shells import resolution_at

        members, classes = state["members"], self.classes
        counts = np.bincount(state["member"], minlength=classes)
        rotations, shifts = class_accuracy(state["errors"], state["member"], classes)
        separation = state["separation"] + np.diag(np.full(classes, np.inf))
        paths = [job.output(f"class{number + 1:03d}.mrc") for number in range(classes)]
        for path, data in zip(paths, state["maps"], strict=True):
            write_mrc(path, np.ascontiguousarray(data, np.float32), loaded.pixel_size, volume=True)
        good = quality(rotations, WORSE)
        return pl.DataFrame(
            {
                "id": np.arange(1, classes + 1),
                "class_id": np.arange(1, classes + 1),
                "volume_path": [path.relative_to(job.root).as_posix() for path in paths],
                "box_size": [loaded.box] * classes,
                "count": counts,
                "distribution": members.mean(axis=0),
                "accuracy_rotations": rotations,
                "accuracy_translations": shifts * loaded.pixel_size,
                "estimated_resolution": [resolution_at(curve, 0.143, loaded.box, loaded.pixel_size) for curve in state["class_fsc"]],
                "completeness": state["completeness"],
                "nearest_class": separation.argmin(axis=1) + 1 if classes > 1 else [0],
                "separation": np.where(np.isfinite(separation.min(axis=1)), separation.min(axis=1), 0.0),
                "quality": good,
                "clearly_worse": good < 0.5,
            }
        )

    def summary(self, out: Classified3D) -> Mapping[str, Any]:
        table = out.classes.items
        return {
            "particles a class": ", ".join(map(str, table["count"])),
            "clearly worse": ", ".join(map(str, table.filter("clearly_worse")["class_id"])) or "none",
            "accuracy of rotations (°)": ", ".join(f"{value:.1f}" for value in table["accuracy_rotations"]),
            "estimated resolution (Å, internal)": ", ".join(f"{value:.1f}" for value in table["estimated_resolution"]),
            "iterations": len(out.classes.meta["iterations"]),
        }

    def methods(self, out: Classified3D) -> str:
        counts = [int(count) for count in out.classes.items["count"]]
        how = "with alignment" if self.align else "at their given poses"
        return (
            f"Particles were sorted {how} into {len(counts)} 3D classes in {self.symmetry}, from a reference low-pass filtered to "
            f"{self.initial_lowpass:g} Å, within a mask of {self.mask_diameter:g} Å. They hold {', '.join(map(str, counts))} particles."
        )

    def report(self, out: Classified3D) -> list[Panel]:
        import numpy as np

        table, meta = out.classes.items, out.classes.meta
        maps = {row["class_id"]: read_mrc(out.classes.file(row["volume_path"])).data for row in table.iter_rows(named=True)}
        whole = sum(maps[row["class_id"]] * row["distribution"] for row in table.iter_rows(named=True))
        spread = max(float(np.std(whole)), 1e-30)
        middle = meta["box_size"] // 2
        history, extent = meta["iterations"], meta["box_size"] * meta["pixel_size"]
        numbers = list(range(1, len(history) + 1))
        cuts = [
            ("across z", lambda data: data[middle]),
            ("across y", lambda data: data[:, middle]),
            ("across x", lambda data: data[:, :, middle]),
        ]
        labels = {
            "class_id": "class", "count": "particles", "distribution": "part", "accuracy_rotations": "accuracy of rotations (°)",
            "accuracy_translations": "accuracy of shifts (Å)", "estimated_resolution": "resolution (Å, internal)", "completeness": "completeness",
            "nearest_class": "most like class", "separation": "differs by (σ)",
        }  # fmt: skip
        return [
            TableView(
                title="Classes",
                columns={label: table[name].to_list() for name, label in labels.items()}
                | {"verdict": ["clearly worse" if worse else "" for worse in table["clearly_worse"]]},
                caption=f"Clearly worse: poses less accurate than {WORSE:g} times those of the best class. The resolution is that on which halves agree "
                "that were classified together: an internal estimate, no gold standard.",
            ),
            ImageGrid(
                title="Class maps", images=[cut(maps[number]) for number in table["class_id"] for _, cut in cuts], size=150,
                captions=[f"class {number}, {name}" for number in table["class_id"] for name, _ in cuts],
                good=[not worse for worse in table["clearly_worse"] for _ in cuts], caption="Central slices.",
            ),
            ImageGrid(
                title="Differences", images=[cut(maps[number] - whole) / spread for number in table["class_id"] for _, cut in cuts], size=150,
                captions=[
                    f"class {number}, {name}, up to {np.abs(cut(maps[number] - whole)).max() / spread:.1f} σ"
                    for number in table["class_id"]
                    for name, cut in cuts
                ],
                caption="Each class less the mean of all, in standard deviations of that mean.",
            ),
            LinePlot(
                title="Sizes of classes", x_label="iteration", y_label="part of the particles", y_range=(0, 1),
                series=[Series(f"class {k + 1}", numbers, [step["share"][k] for step in history]) for k in range(table.height)],
            ),
            LinePlot(
                title="Movement", x_label="iteration", y_label="part of memberships that changed",
                series=[Series("memberships", numbers, [step["changed"] for step in history])], y_range=(0, 1),
                caption="High again wherever classes that turned out equal were tried elsewhere.",
            ),
            LinePlot(
                title="Likelihood", x_label="iteration", y_label="log-likelihood per image",
                series=[Series("gained over noise", numbers, [step["evidence"] for step in history])],
                caption="By maps that the image is not in; it also rises with the band compared.",
            ),
            AngularDistribution(
                title="Viewing directions", rot=out.particles.enabled()["rot"].to_list(), tilt=out.particles.enabled()["tilt"].to_list(),
                caption="Of all classes together.",
            ),
            *grey_scale_panel(out.particles.enabled()),
            LinePlot(
                title="Agreement of halves", x_label="resolution (Å)", y_label="correlation", resolution_axis=True, levels={"0.143": 0.143},
                series=[
                    Series(f"class {k + 1}", [shell / extent for shell in range(len(curve))], curve) for k, curve in enumerate(meta["curves"])
                ],
                caption="Internal: the halves share the mean map that poses were sought in.",
            ),
        ]  # fmt: skip
