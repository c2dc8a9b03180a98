"""classify2d.hierarchical: class averages by splitting (CL2D), every level kept, with cores and stable cores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Classes2D, Particles
from cryoloom.data.alignment import ShiftRange, TransferFunction
from cryoloom.formats.class_images import groups_from_zero, has_ctf, image_blocks
from cryoloom.formats.common_grid import CommonGrid
from cryoloom.report.class_levels import class_panels, level_panels, sizes_panel
from cryoloom.report.panels import LinePlot, Series
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cryoloom.numerics.align.class2d_prepare import Geometry
    from cryoloom.numerics.align.hierarchical_outcome import Level
    from cryoloom.numerics.align.hierarchical_schedule import State
    from cryoloom.numerics.align.hierarchical_task import Task

MEMBERS, MOST = 200, 256
"""Particles a class that are aimed at, and classes at the most, where nothing else is asked for."""
REJECTED, FEWEST_REJECTED = 300, 100
"""Rejected particles a class, and how many there must be to look at."""
LEVEL = 1000
"""Class 7 of level 2 has the number 2007; those of the last level are numbered from 1."""
COARSE = 3.0
"""Å/px below which it is better to downsample first."""


@dataclass(frozen=True)
class Split(Outputs):
    classes: Classes2D
    particles: Particles
    levels: Classes2D | None = None
    rejected_classes: Classes2D | None = None
    core_classes: Classes2D | None = None
    core_particles: Particles | None = None
    stable_core_classes: Classes2D | None = None
    stable_core_particles: Particles | None = None


class Hierarchical2D(
    Protocol,
    id="classify2d.hierarchical",
    version=4,
    outputs=Split,
    cite=("10.1016/j.jsb.2010.03.011",),
    aliases=("XmippProtCL2D",),
):
    """Sort particles into classes of equal views, mirrored or not, by splitting few classes again and again (CL2D).

    No class begins small beside a large one, so that none swallows the others: a second opinion after `classify2d.em`. Every level is kept.
    The core of a class is its members less those that differ from it as members do not; the stable core those that stayed together from level
    to level.
    """

    particles: Particles = Input(
        "Particles",
        help="Bright particles. Optics groups of other boxes or pixels are matched to the largest one; 3 to 5 Å a pixel are enough.",
    )
    initial: Classes2D | None = Input(
        "First classes", optional=True, aliases=("initialClasses",),
        help="Averages to begin with, of any classification; without them particles are dealt out to the first classes at random.",
    )  # fmt: skip
    classes: int | None = Param(
        "Classes", None, ge=1, le=LEVEL - 1, aliases=("numberOfClasses",),
        help="Of the last level; empty for one in 200 particles, 256 at the most. Too few mix views, too many leave noisy averages.",
    )  # fmt: skip
    mask_diameter: Angstrom | None = Param(
        "Mask diameter", None, gt=0, wizard="mask-circle", aliases=("particle_diameter", "maskDiameterA"),
        help="Circle on the averages: the particle's diameter plus a fifth, which is taken where the picks tell it; else the whole box. Too large lets "
        "neighbours in.",
    )  # fmt: skip
    initial_classes: int = Param(
        "Classes of the first level", 4, ge=1, advanced=True, aliases=("numberOfInitialClasses",),
        help="Each level has twice as many as the one before. Many at once invite what splitting avoids.",
    )  # fmt: skip
    iterations: int = Param(
        "Iterations a level", 10, ge=1, le=100, advanced=True, aliases=("numberOfIterations",),
        help="At most, for a level and for a split; they end when fewer than 0.5 % of the particles change class.",
    )  # fmt: skip
    comparison: Literal["correlation", "correntropy"] = Param(
        "Comparison", "correlation", advanced=True, aliases=("comparisonMethod",),
        help="Correntropy counts pixels that agree, whatever the others hold: for images with hot pixels or gold. It takes the CTF by its sign, and longer.",
    )  # fmt: skip
    clustering: Literal["classical", "robust"] = Param(
        "Clustering", "classical", advanced=True, aliases=("clusteringMethod",),
        help="Classical: to the most similar class. Robust: to where a particle is as similar as members are and others are not.",
    )  # fmt: skip
    core: bool = Param(
        "Cores",
        True,
        aliases=("doCore",),
        help="Find the members of each class that differ from it as members do. Off, no outlier is told.",
    )
    junk_z: float = Param(
        "Junk Z", 3.0, gt=0, advanced=True, when="core", aliases=("thZscore",),
        help="Members that show this many deviations too little of their average, or leave that much more or less of themselves, are no core.",
    )  # fmt: skip
    component_z: float = Param(
        "PCA Z", 3.0, gt=0, advanced=True, when="core", aliases=("thPCAZscore",),
        help="As many deviations along the principal axes of what members leave of their average. Low values cost true members.",
    )  # fmt: skip
    stable_core: bool = Param(
        "Stable cores", True, when="core", aliases=("doStableCore",),
        help="Keep of the cores who stayed with a companion from level to level. Off, chance companions stay.",
    )  # fmt: skip
    tolerance: int = Param(
        "Tolerance", 1, ge=0, advanced=True, when="stable_core",
        help="Levels in which companions of a stable core may have been apart. None is strict; as many as there are keeps the core.",
    )  # fmt: skip
    hierarchy: bool = Param(
        "Hierarchy", True, advanced=True, aliases=("computeHierarchy",),
        help="Show in the report which class each class comes from. Off, levels stand for themselves.",
    )  # fmt: skip
    analyze_rejected: bool = Param(
        "Classify the rejected", False, advanced=True, when="core", aliases=("analyzeRejected",),
        help="Make classes of what is in no core, one in 300, when there are more than 100: good averages among them say that too much was rejected.",
    )  # fmt: skip
    max_resolution: Angstrom = Param(
        "Finest resolution", 8.0, gt=0, advanced=True,
        help="Up to which images are compared once the averages hold that much. Finer costs time and sorts no better.",
    )  # fmt: skip
    candidates: int = Param(
        "Classes refined", 5, ge=1, le=50, advanced=True,
        help="A particle is compared with every class, and its pose refined in so many: the most similar ones and its own. Few may miss the best.",
    )  # fmt: skip
    least_size: float = Param(
        "Least size", 0.2, ge=0, lt=1, advanced=True,
        help="Of the mean: a class that is smaller, and below a quarter of the largest, gives its place to a half of the largest. 0 keeps all.",
    )  # fmt: skip
    split_trials: int = Param(
        "Split trials", 5, ge=1, le=20, advanced=True,
        help="How often a split that leaves one side nearly empty is tried again without it, before the class is halved by similarity.",
    )  # fmt: skip
    mirrors: bool = Param(
        "Mirrored images",
        True,
        advanced=True,
        help="Opposite views are mirror images: one class holds both. Off for what has no opposite views.",
    )
    centre: bool = Param("Centre averages", True, advanced=True, help="In every iteration. Off, off-centre picks stay so.")
    classify_all: bool = Param(
        "Classify all", False, advanced=True, help="Also those that are similar to no class; they are disabled otherwise."
    )
    transfer_function: TransferFunction
    flip_phases_only: bool = Param(
        "CTF phases only", False, advanced=True, aliases=("ctfFlipPhases",),
        help="Take the CTF as a sign, as the original method does on flipped images. Off, images count where their CTF lets them show something.",
    )  # fmt: skip
    shift_range: ShiftRange

    def check(self) -> Iterator[Hint]:
        count = self.particles.enabled().height
        classes = self._number(count)
        if count < 2 * classes or count < 2:
            most = count // 2
            yield Hint("classes", f"is {classes}: {count} particles make {most} classes of two or more at the most", fix=most or None)
        first = self._first(classes)
        if first > classes:
            what = "initial_classes" if self.initial is None else "initial"
            yield Hint(what, f"begins with {first} classes, more than the {classes} wanted", fix=classes if self.initial is None else None)
        for group in self.particles.optics:
            if group.get("contrast") == "dark":
                yield Hint("particles", "are dark; extract them with inverted contrast")
            box = group.get("box_size")
            if box and box < 32:
                yield Hint("particles", f"have a box of {box} px; 32 or more are needed")
            if group["pixel_size"] < COARSE:
                yield Hint(
                    "particles", f"have {group['pixel_size']:g} Å/px: at {COARSE:g} or more this is faster, and no worse", error=False
                )
            if box and self.mask_diameter and self.mask_diameter > box * group["pixel_size"]:
                yield Hint(
                    "mask_diameter", f"{self.mask_diameter:g} Å is wider than the box of {box * group['pixel_size']:.0f} Å", error=False
                )

    def automatic(self) -> Mapping[str, Any]:
        found = {"classes": self._number(self.particles.enabled().height)}
        diameter = self.particles.meta.get("diameter")
        return found | ({"mask_diameter": round(1.2 * float(diameter), 1)} if diameter else {})

    def _number(self, particles: int) -> int:
        """Return how many classes the last level has."""
        if self.classes is not None:
            return self.classes
        least = self.initial_classes if self.initial is None else self.initial.items.height
        return max(least, min(MOST, particles // MEMBERS))

    def _first(self, classes: int) -> int:
        """Return how many classes the first level has."""
        if self.initial is not None:
            return self.initial.items.height
        # The default first level is no choice that could contradict a small number of classes.
        chosen = self.initial_classes
        return min(chosen, classes) if chosen == type(self).model_fields["initial_classes"].default else chosen

    def run(self, job: Job) -> Split:
        import torch

        from cryoloom.numerics.align import hierarchical_outcome as outcome

        torch.set_num_threads(1)
        grid = CommonGrid.of(self.particles, self.particles.enabled())
        for notice in grid.notices():
            job.warn(notice)
        task, shape, diameter = self._task(job, grid)
        usable = task.observations.usable.numpy()
        if not usable.all():
            job.warn(f"{int((~usable).sum())} particles are constant or hold values that are not numbers; they are disabled.")
        if usable.sum() < 2 * task.settings.classes:
            raise Failure(
                "particles-few",
                f"{int(usable.sum())} usable particles for {task.settings.classes} classes.",
                f"Ask for {int(usable.sum()) // 2} at most.",
            )
        state = self._classified(job, task, self._references(shape), "classify")
        limits = {"junk_z": self.junk_z if self.core else float("inf"), "component_z": self.component_z if self.core else float("inf")}
        levels = []
        for number in range(state["level"] + 1):
            job.progress(number, state["level"] + 1, "levels")
            levels.append(outcome.level(task, state, number, **limits))
        return _Writer(self, job, grid, task, shape, diameter, state, levels).outputs()

    def _task(self, job: Job, grid: CommonGrid) -> "tuple[Task, Geometry, float]":
        """Read the images; return them with the working geometry and the mask's diameter."""
        import torch

        from cryoloom.numerics.align import class2d_prepare as prepare
        from cryoloom.numerics.align import hierarchical_outcome as outcome
        from cryoloom.numerics.align.hierarchical_correntropy import limited
        from cryoloom.numerics.align.hierarchical_task import Settings, Task

        wanted = self.mask_diameter or self.automatic().get("mask_diameter") or grid.extent
        diameter = min(float(wanted), 0.98 * grid.extent)
        coarsest = max(grid.finest(number) for number in grid.native)
        shape = prepare.geometry(
            grid.box, grid.pixel_size, diameter, max(self.max_resolution, 1.025 * coarsest),
            reach=0.1 if self.shift_range is None else min(self.shift_range / grid.extent, 0.25),
        )  # fmt: skip
        if self.transfer_function != "none" and not has_ctf(grid):
            job.warn("The particles have no CTF; classification goes on without.")
        correntropy = self.comparison == "correntropy"
        blocks = image_blocks(
            self.particles, grid, self.transfer_function, phases_only=self.flip_phases_only or correntropy, progress=job.progress
        )
        if correntropy:
            blocks = ((limited(torch.from_numpy(images)).numpy(), defocus, optics) for images, defocus, optics in blocks)
        observed = prepare.observations(blocks, shape, grid.pixel_size, diameter)
        count = grid.rows.height
        classes = self._number(count)
        settings = Settings(
            classes=classes, initial_classes=self._first(classes), iterations=self.iterations, robust=self.clustering == "robust",
            correntropy=correntropy, candidates=self.candidates, least_size=self.least_size, split_trials=self.split_trials,
            mirrors=self.mirrors, centre=self.centre, classify_all=self.classify_all, start_band=shape.start_band, reach=shape.reach,
        )  # fmt: skip
        group = torch.from_numpy(groups_from_zero(grid))
        task = Task(observed, group, prepare.half_sets(count, job.seed), shape.frame, settings, job.seed, job.threads)
        return outcome.with_pixels(task) if correntropy else task, shape, diameter

    def _references(self, shape: "Geometry") -> Any:
        """Return the averages to begin with on the working grid, or None."""
        if self.initial is None:
            return None
        import torch

        from cryoloom.formats.common_grid import interpolation
        from cryoloom.formats.stack import read_particles

        images = read_particles(self.initial)
        size = float(self.initial.meta.get("pixel_size") or shape.pixel_size)
        turn = interpolation(size, images.shape[-1], shape.pixel_size, shape.box)
        return torch.from_numpy(turn @ images @ turn.T)

    def _classified(self, job: Job, task: "Task", references: Any, name: str) -> "State":
        """Classify; a checkpoint after every round of assignments and every round of splits."""
        from cryoloom.numerics.align import hierarchical_schedule as schedule

        def step(state: "State") -> "State":
            new = schedule.advance(task, state)
            if (new["label"] < 0).all():
                raise Failure(
                    "nothing-similar",
                    f"No particle is similar to any of {len(new['images'])} class averages.",
                    "Increase the largest shift (shift_range), and look at the particles.",
                )
            job.note(step=new["step"], **new["history"][-1])
            return new

        return job.iterate(
            lambda: schedule.begin(task, references), step, done=lambda state: state["finished"], name=name, total=schedule.steps(task)
        )

    def summary(self, out: Split) -> Mapping[str, Any]:
        classes = out.classes.items
        good = classes.filter("good")
        found: dict[str, Any] = {
            "classes": f"{classes.filter(pl.col('count') > 0).height} of {classes.height} in use",
            "levels": len(out.classes.meta["level_sizes"]),
            "suggested good": good.height,
            "particles in them": good["count"].sum(),
            "best resolution (Å)": round(float(classes.filter(pl.col("count") > 0)["resolution"].min() or 0), 1),  # pyright: ignore[reportArgumentType]
        }
        for label, particles in (("in cores", out.core_particles), ("in stable cores", out.stable_core_particles)):
            if particles is not None:
                found[label] = particles.items.height
        return found

    def methods(self, out: Split) -> str:
        classes = out.classes.items
        sizes = " → ".join(map(str, out.classes.meta["level_sizes"]))
        best = float(classes.filter(pl.col("count") > 0)["resolution"].min() or 0)  # pyright: ignore[reportArgumentType]
        text = (
            f"Particles were sorted into {classes.height} 2D classes by hierarchical multi-reference alignment (CL2D, {sizes} classes; {self.comparison}, "
            f"{self.clustering} clustering). The best class reached {best:.1f} Å."
        )
        if out.core_particles is not None:
            text += f" {out.core_particles.items.height} particles were in the cores of their classes"
            stable = "" if out.stable_core_particles is None else f", {out.stable_core_particles.items.height} in stable cores"
            text += f"{stable}."
        return text

    def report(self, out: Split) -> list[Panel]:
        from cryoloom.formats.stack import read_particles

        history = out.classes.meta["iterations"]
        numbers = list(range(1, len(history) + 1))
        extent = out.classes.meta["box_size"] * out.classes.meta["pixel_size"]
        begins = {
            f"{step['classes']}": float(number) for number, step in zip(numbers, history, strict=True) if _begins(history, number - 1)
        }
        table = out.classes.items
        panels = class_panels(table, read_particles(out.classes), "Class averages", extent)
        for kept, title in ((out.core_classes, "Cores"), (out.stable_core_classes, "Stable cores")):
            if kept is not None:
                panels += class_panels(kept.items, read_particles(kept), title)
        if out.levels is not None:
            panels += level_panels(pl.concat([out.levels.items, table], how="diagonal"), read_particles(out.levels), lineage=self.hierarchy)
        if out.rejected_classes is not None:
            panels += class_panels(out.rejected_classes.items, read_particles(out.rejected_classes), "Classes of the rejected")
        return [
            *panels,
            LinePlot(title="Convergence", x_label="iteration", y_label="fraction", y_range=(0, 1.05), marks=begins,
                     series=[Series("similarity", numbers, [step["similarity"] for step in history]),
                             Series("changed class", numbers, [step["changes"] for step in history])],
                     caption="Dotted: a level begins, with so many classes. Similarity falls where finer detail is compared."),
            LinePlot(title="Resolution and band", x_label="iteration", y_label="Å", marks=begins,
                     series=[Series("better classes' halves", numbers, [extent / max(step["ring"], 1) for step in history]),
                             Series("compared to", numbers, [extent / step["band"] for step in history])]),
            LinePlot(title="Smallest and largest class", x_label="iteration", y_label="particles", marks=begins,
                     series=[Series("largest", numbers, [step["largest"] for step in history]),
                             Series("smallest", numbers, [step["smallest"] for step in history])],
                     caption="A giant beside small ones is an attractor."),
            sizes_panel(table),
        ]  # fmt: skip


def _begins(history: list[Any], number: int) -> bool:
    return number == 0 or history[number]["level"] != history[number - 1]["level"]


@dataclass(frozen=True)
class _Writer:
    """Makes the outputs of a finished classification."""

    form: Hierarchical2D
    job: Job
    grid: CommonGrid
    task: "Task"
    shape: "Geometry"
    diameter: float
    state: "State"
    found: "list[Level]"

    def outputs(self) -> Split:
        import numpy as np

        from cryoloom.numerics.align.hierarchical_outcome import stable_core

        last, form = self.found[-1], self.form
        core = last.core if form.core else None
        stable = stable_core(self.found, form.tolerance) if form.core and form.stable_core else None
        table = self._last(core, stable)
        meta = {
            "pixel_size": self.shape.pixel_size, "box_size": self.shape.box, "mask_diameter": self.diameter,
            "iterations": self.state["history"], "level_sizes": [len(level.counts) for level in self.found],
        }  # fmt: skip
        classes = self._stored("class_averages.mrcs", table, last.averages, meta)
        particles = self._particles(core, stable)
        made: dict[str, Any] = {"levels": self._levels(meta)}
        for name, members in (("core", core), ("stable_core", stable)):
            if members is not None:
                made |= self._kept(name, members, table, particles, meta)
        if form.analyze_rejected and core is not None:
            made["rejected_classes"] = self._rejected(np.flatnonzero(self.task.observations.usable.numpy() & ~core), meta)
        return Split(classes, particles, **made)

    def _stored(self, name: str, table: pl.DataFrame, averages: "NDArray[np.float32]", meta: Mapping[str, Any]) -> Classes2D:
        """Write averages, and return their set."""
        import numpy as np

        from cryoloom.formats.stack import write_stack

        path = self.job.output(name)
        write_stack(path, averages, self.shape.pixel_size)
        place = pl.DataFrame(
            {"stack_path": [path.relative_to(self.job.root).as_posix()] * table.height, "stack_index": np.arange(table.height)}
        )
        return Classes2D(pl.concat([table, place], how="horizontal"), self.job.root, meta=dict(meta))

    def _table(self, level: "Level", numbers: "NDArray[np.int64]") -> pl.DataFrame:
        """Return the columns that classes of any level have."""
        import numpy as np

        extent = self.shape.box * self.shape.pixel_size
        counts = level.counts
        return pl.DataFrame(
            {
                "id": numbers, "class_id": numbers, "count": counts, "resolution": extent / level.rings, "resolution_0143": extent / level.rings_0143,
                "similarity": level.median(level.poses.similarity.numpy().astype(np.float64)), "distribution": counts / max(counts.sum(), 1),
                "pixel_size": np.full(len(counts), self.shape.pixel_size), "frc": pl.Series(level.frc.tolist(), dtype=pl.List(pl.Float64)),
            }
        )  # fmt: skip

    def _last(self, core: "NDArray[np.bool_] | None", stable: "NDArray[np.bool_] | None") -> pl.DataFrame:
        """Return the classes of the last level, judged as those of classify2d.em are."""
        import numpy as np

        from cryoloom.numerics.align.class_quality import GOOD, class_quality, reasons

        level = self.found[-1]
        particle = float(self.form.particles.meta.get("diameter") or self.diameter / 1.2)
        match = level.median(level.match)
        quality = class_quality(
            level.averages,
            level.counts,
            level.rings.astype(np.float64),
            particle / self.shape.pixel_size,
            frc=level.frc.astype(np.float64),
            match=match,
        )
        total = np.where(level.counts > 0, quality.total, 0.0)
        table = self._table(level, self._numbers(len(self.found)))
        table = table.with_columns(
            pl.Series("quality", total), pl.Series("good", total >= GOOD), pl.Series("match", match), *self._descent(len(self.found)),
            *(pl.Series(f"quality_{name}", scores) for name, scores in quality.scores.items()), pl.Series("reason", reasons(total, quality.scores)),
        )  # fmt: skip
        parts = {"core": core, "stable": stable}
        return table.with_columns(
            *(pl.Series(name, _counted(level.label, among, table.height)) for name, among in parts.items() if among is not None)
        )

    def _numbers(self, level: int) -> "NDArray[np.int64]":
        """Return the numbers of the classes of a level (from 1)."""
        import numpy as np

        return np.arange(1, len(self.found[level - 1].counts) + 1) + (LEVEL * level if level < len(self.found) else 0)

    def _descent(self, level: int) -> list[pl.Series]:
        """Return the columns that say where the classes of a level (from 1) come from."""
        import numpy as np

        from cryoloom.numerics.align.hierarchical_outcome import parents

        parent, share = parents(self.found)[level - 1]
        before = self._numbers(level - 1) if level > 1 else np.zeros(1, dtype=np.int64)
        number = np.where(parent >= 0, before[np.maximum(parent, 0)], 0)
        return [pl.Series("level", np.full(len(parent), level)), pl.Series("parent", number), pl.Series("parent_share", share)]

    def _levels(self, meta: Mapping[str, Any]) -> Classes2D | None:
        """Return the classes of all levels before the last."""
        import numpy as np

        if len(self.found) == 1:
            return None
        tables = [
            self._table(level, self._numbers(number)).with_columns(*self._descent(number))
            for number, level in enumerate(self.found[:-1], start=1)
        ]
        return self._stored("levels.mrcs", pl.concat(tables), np.concatenate([level.averages for level in self.found[:-1]]), meta)

    def _particles(self, core: "NDArray[np.bool_] | None", stable: "NDArray[np.bool_] | None") -> Particles:
        """Return the particles with their class, pose, and what sets them apart."""
        import numpy as np

        from cryoloom.numerics.align.hierarchical_outcome import TablePoses

        last, rows = self.found[-1], self.grid.rows
        poses = TablePoses.of(last.poses, self.shape)
        paths = [np.where(level.label >= 0, self._numbers(number)[level.label], 0) for number, level in enumerate(self.found, start=1)]
        columns: dict[str, Any] = {
            "id": rows["id"], "class_id": paths[-1], "psi": poses.psi, "origin_x": poses.origin[:, 0], "origin_y": poses.origin[:, 1], "flip": poses.flip,
            "similarity": last.poses.similarity.numpy().astype(np.float64), "match": last.match,
            "class_path": pl.Series(np.stack(paths, axis=1).tolist(), dtype=pl.List(pl.Int64)),
        }  # fmt: skip
        if core is not None:
            columns |= {"junk_z": last.junk, "component_z": last.component, "core": core}
        if stable is not None:
            columns["stable_core"] = stable
        particles = self.form.particles.with_columns(pl.DataFrame(columns))
        usable, ids = self.task.observations.usable.numpy(), rows["id"].to_numpy()
        reasons = {int(each): "similar to no class" for each in ids[usable & (last.label < 0)]}
        reasons |= {int(each): "constant, or not a number" for each in ids[~usable]}
        return particles.disable(reasons) if reasons else particles

    def _kept(
        self, name: str, members: "NDArray[np.bool_]", table: pl.DataFrame, particles: Particles, meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the classes and particles of cores."""
        import numpy as np

        from cryoloom.numerics.align.hierarchical_outcome import average_of

        last = self.found[-1]
        band = int(self.state[f"level{len(self.found) - 1}_band"])
        averages, rings = average_of(self.task, last.poses, members, table.height, band)
        counts = _counted(last.label, members, table.height)
        kept = table.drop("frc", "core", "stable", "similarity", "distribution", strict=False).with_columns(
            pl.Series("count", counts), pl.Series("kept", counts / np.maximum(last.counts, 1)),
            pl.Series("resolution", self.shape.box * self.shape.pixel_size / rings),
        )  # fmt: skip
        ids = self.grid.rows["id"].to_numpy()[members]
        return {
            f"{name}_classes": self._stored(f"{name}_averages.mrcs", kept, averages, meta),
            f"{name}_particles": particles.select(ids.tolist()),
        }

    def _rejected(self, rows: "NDArray[np.int64]", meta: Mapping[str, Any]) -> Classes2D | None:
        """Return classes of particles that are in no core, if there are enough."""
        import numpy as np
        import torch

        from cryoloom.numerics.align.class2d_observations import Observations
        from cryoloom.numerics.align.hierarchical_outcome import level

        if len(rows) <= FEWEST_REJECTED:
            self.job.warn(f"{len(rows)} particles are in no core: too few to make classes of.")
            return None
        few, whole = torch.from_numpy(rows), self.task
        seen = whole.observations
        observed = Observations(*(getattr(seen, name)[few] for name in ("harmonics", "power", "transfer", "usable")))
        classes = -(-len(rows) // REJECTED)
        settings = replace(whole.settings, classes=classes, initial_classes=min(whole.settings.initial_classes, classes))
        task = replace(
            whole, observations=observed, group=whole.group[few], half=whole.half[few], settings=settings,
            pixels=None if whole.pixels is None else whole.pixels[few],
        )  # fmt: skip
        state = self.form._classified(self.job, task, None, "rejected")
        found = level(task, state, state["level"], junk_z=np.inf, component_z=np.inf)
        return self._stored("rejected_averages.mrcs", self._table(found, np.arange(1, classes + 1)), found.averages, meta)


def _counted(label: "NDArray[np.int64]", among: "NDArray[np.bool_]", classes: int) -> "NDArray[np.int64]":
    """Return how many of some particles each class has."""
    import numpy as np

    return np.bincount(label[among & (label >= 0)], minlength=classes)
