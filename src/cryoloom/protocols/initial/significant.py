"""initial.significant: a first map from class averages by weighted projection matching."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import Classes2D, Classes3D, Particles, Volume, symmetry_hints
from cryoloom.formats.averages import Averages, read_averages, usable_rows
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.panels import AngularDistribution, ImageGrid, LinePlot, MapSlices, MapSurface, Series, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees, Pixels

if TYPE_CHECKING:
    from cryoloom.numerics.align.significant import Plan, State

LEAST = 5
SMALLEST = 40
"""px, of the box that averages are worked on in."""
SAMPLES = 3.0
"""Pixels worked on to the finest resolution."""
UNDISCRIMINATING = 0.02
"""Difference of correlations, of the best direction and the median one or of one's own view and another's, below which nothing was told apart."""
FAINT = 0.6
"""Mean correlation with the likest views, below which averages may be noise: of 40 noise images and their map it is 0.44."""
UNSUPPORTED = 0.015
"""Mean correlation that a map of a wrong group loses beside a short search without symmetry: 0.005 with the true one, 0.02 to 0.05 with others."""
SHOWN = 30
"""Averages in the montage."""


@dataclass(frozen=True)
class FirstMap(Outputs):
    volume: Volume
    classes: Classes2D | None = None
    particles: Particles | None = None
    intermediate: Volume | None = None


class Significant(
    Protocol,
    id="initial.significant",
    outputs=FirstMap,
    cite=("10.1016/j.jsb.2015.01.009", "10.1109/TPAMI.2005.165"),
    aliases=("XmippProtReconstructSignificant",),
):
    """Find a map from class averages: each is put at every direction that its likeness singles out, fewer and fewer of them.

    A second opinion beside `initial.sgd`, from other data by another criterion. The hand is undecided: projections of a map and of its mirror
    image are the same.
    """

    averages: Classes2D | Particles = Input(
        "Averages", aliases=("inputSet",),
        help="Class averages, the good ones only: 20 to 200 that show the particle from all sides. Particles in their place must show it nearly as "
        "clearly.",
    )  # fmt: skip
    reference: Volume | Classes3D | None = Input(
        "Reference",
        optional=True,
        aliases=("refVolume",),
        help="A map to start from in place of random beginnings; it decides what is found.",
    )
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group imposed from the beginning: Cn, Dn, T, O, I1 to I4. With a wrong one the map is an average of what differs.",
    )  # fmt: skip
    mask_diameter: Angstrom | None = Param(
        "Mask diameter", None, gt=0, wizard="mask-circle", aliases=("maskDiameterA",),
        help="Circle on the averages and sphere on the map: the particle's largest diameter plus a tenth. Empty for all of the box, neighbours included.",
    )  # fmt: skip
    first_significance: float = Param(
        "First significance", 80.0, ge=0, lt=100, aliases=("alpha0",),
        help="%: at the beginning an average counts at the likest 100 less so many percent of all directions. Too high commits to chance.",
    )  # fmt: skip
    last_significance: float = Param(
        "Last significance", 99.5, gt=0, lt=100, aliases=("alphaF",),
        help="% to which it grows. Too low leaves a blurred map.",
    )  # fmt: skip
    iterations: int = Param(
        "Iterations", 50, ge=2, le=500, aliases=("iter",), help="In which the significance grows. Too few freeze what chance began with."
    )
    starts: int = Param(
        "Random starts", 6, ge=1, le=50, aliases=("numberOfStarts",),
        help="Random beginnings that short searches are made from; the map that the averages are likest is gone on with. 1 for none of that.",
    )  # fmt: skip
    use_max_resolution: bool = Param(
        "Limit resolution", True, advanced=True, aliases=("useMaxRes",),
        help="Compare averages at coarse detail, on few pixels. Off, all of their detail is, noise too, and it takes longer.",
    )  # fmt: skip
    max_resolution: Angstrom = Param(
        "Finest resolution", 12.0, ge=4, le=60, advanced=True, when="use_max_resolution", wizard="max-resolution", aliases=("maxResolution",),
        help="Up to which averages are compared. A first map needs none finer; coarser than an eighth of the particle tells no views apart.",
    )  # fmt: skip
    angular_step: Degrees = Param(
        "Angular step", 5.0, ge=1, le=20, advanced=True, aliases=("angularSampling",),
        help="Between directions, at the end; three times as much at first. Coarse ones blur the map, fine ones take their time.",
    )  # fmt: skip
    min_tilt: Degrees = Param(
        "Smallest tilt", 0.0, ge=0, le=180, advanced=True, aliases=("minTilt",), help="Of directions tried: 0 is along the symmetry axis."
    )
    max_tilt: Degrees = Param(
        "Largest tilt", 180.0, ge=0, le=180, advanced=True, aliases=("maxTilt",),
        help="Of directions tried: 90 is at right angles to the symmetry axis. Views outside of the range find wrong places.",
    )  # fmt: skip
    max_shift: Pixels | None = Param(
        "Largest shift", None, ge=0, advanced=True, aliases=("maximumShift",),
        help="px of the averages; empty for a fifth of the box. Directions at which an average lies farther off hardly count.",
    )  # fmt: skip
    imed: bool = Param(
        "Weigh by image distance", True, advanced=True, aliases=("useImed",),
        help="Multiply weights by one of the distance of images after a slight blur. Off, correlation alone counts.",
    )  # fmt: skip
    strict_directions: bool = Param(
        "Strict directions", False, advanced=True, aliases=("strictDir",),
        help="A direction must find the average significant among all averages as well. With few averages many come into no map.",
    )  # fmt: skip
    neighbourhood: Degrees = Param(
        "Neighbourhood of directions", 10.0, ge=0, le=90, advanced=True, aliases=("angDistance",),
        help="Within which directions are judged together, twice the angular step at the least. Wide ones make all directions alike.",
    )  # fmt: skip
    skip_fisher: bool = Param(
        "Without Fisher's test", False, advanced=True, aliases=("dontApplyFisher",),
        help="Keep directions by rank alone, though their correlation is clearly below the best. The map is then more blurred.",
    )  # fmt: skip
    keep_intermediate: bool = Param(
        "Keep every iteration", False, advanced=True, aliases=("keepIntermediate",), help="Its map and angles. Takes room."
    )
    as_published: bool = Param(
        "As published", False, advanced=True,
        help="Do as the published program does where that is not what it says: Fisher's test the other way round, directions judged by themselves, as "
        "many for each symmetry mate as for a particle without, a nearly round beginning. For comparisons only.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        from cryoloom.numerics.geometry.symmetry import NoSuchGroup, point_group

        count = usable_rows(self.averages).height
        if not count:
            yield Hint("averages", "are empty: no class has members, or all are disabled")
        elif count < LEAST:
            yield Hint("averages", f"are {count}; {LEAST} or more are needed, and 20 or more should be")
        yield from symmetry_hints(self.symmetry)
        if self.last_significance <= self.first_significance:
            yield Hint("last_significance", f"{self.last_significance:g} % is not above the first, {self.first_significance:g} %", fix=99.5)
        if self.max_tilt <= self.min_tilt:
            yield Hint("max_tilt", f"{self.max_tilt:g}° is not above the smallest, {self.min_tilt:g}°", fix=180.0)
        if self.neighbourhood < 2 * self.angular_step:
            yield Hint(
                "neighbourhood", f"{self.neighbourhood:g}° holds no neighbours at steps of {self.angular_step:g}°", fix=2 * self.angular_step,
                error=False,
            )  # fmt: skip
        for group in self.averages.optics:
            if group.get("contrast") == "dark":
                yield Hint("averages", "are dark; import or extract them bright")
        if self.as_published:
            try:
                part = (100 - self.first_significance) / 100 * point_group(self.symmetry).order
            except NoSuchGroup:
                return
            if part > 1:
                yield Hint(
                    "first_significance", f"{self.first_significance:g} % for each mate of {self.symmetry} is more than all directions",
                    fix=round(100 - 100 / point_group(self.symmetry).order, 1),
                )  # fmt: skip

    def run(self, job: Job) -> FirstMap:
        import numpy as np
        import torch

        from cryoloom.numerics.align import significant

        torch.set_num_threads(1)
        loaded = read_averages(self.averages, LEAST)
        for warning in loaded.warnings:
            job.warn(warning)
        plan = self._plan(job, loaded)
        start = self._reference(job, loaded, plan)
        if start is None and self.starts > 1:
            scouts = [self._search(job, significant.scout(plan, number), f"start{number + 1}") for number in range(self.starts)]
            reached = [scout["history"][-1]["correlation"] for scout in scouts]
            start = scouts[int(np.argmax(reached))]["map"]
        else:
            reached = []
        kept = loaded.box * loaded.pixel_size / plan.map_box if self.keep_intermediate else 0.0
        found = self._search(job, plan, "search", start, keep=kept)
        last = found["history"][-1]
        if (why := self._undiscriminating(last, significant.likeness(plan))) is not None:
            job.warn(f"No discriminating directions: {why}. The map means little.")
        if plan.group.order > 1 and not self.as_published:
            free = self._search(job, significant.scout(plan, 0, free=True), "free")["history"][-1]["correlation"]
            if free - last["correlation"] > UNSUPPORTED:
                job.warn(
                    f"Symmetry {plan.group.name} is not supported by this map: without it, the averages are likelier views of theirs (mean correlation "
                    f"{free:.3f} beside {last['correlation']:.3f}). The group is wrong, or no start found the map: try C1, another group, or more starts."
                )
        if (missing := len(plan.images) - last["images"]) > 0:
            job.warn(f"{missing} averages are significantly like no view, and are not in the map.")
        return self._outputs(job, loaded, plan, found, reached)

    def _undiscriminating(self, last: Mapping[str, float], likeness: float) -> str | None:
        """Return why the averages tell no directions apart, if they do not."""
        best, ahead = last["correlation"], last["discrimination"]
        if ahead < UNDISCRIMINATING:
            return f"an average is hardly likelier its best view than the median one (correlations differ by {ahead:.3f})"
        if best - likeness < UNDISCRIMINATING:
            return f"averages are as like one another ({likeness:.2f}) as the views of the map ({best:.2f}), they show one view"
        if best < FAINT:
            return f"averages and views of the map have a mean correlation of {best:.2f} only, as noise and the map of it have"
        return None

    def _plan(self, job: Job, loaded: Averages) -> "Plan":
        """Bring the averages to the pixels worked on."""
        import torch

        from cryoloom.numerics.align.projection_matching import EDGE
        from cryoloom.numerics.align.significance import Criteria
        from cryoloom.numerics.align.significant import Plan, Schedule
        from cryoloom.numerics.fourier.transforms import resample_images
        from cryoloom.numerics.geometry.symmetry import point_group

        extent = loaded.box * loaded.pixel_size
        finest = max(self.max_resolution, 2 * loaded.pixel_size) if self.use_max_resolution else 2 * loaded.pixel_size
        box = loaded.box if not self.use_max_resolution else min(loaded.box, max(SMALLEST, 2 * round(SAMPLES * extent / finest / 2)))
        images = resample_images(torch.from_numpy(loaded.images), (box, box)).numpy()
        radius = box / 2 - EDGE
        if self.mask_diameter is not None:
            if self.mask_diameter > extent:
                job.warn(f"The mask diameter of {self.mask_diameter:g} Å exceeds the box of {extent:.0f} Å and is cut to it.")
            radius = min(radius, self.mask_diameter / 2 * box / extent)
        return Plan(
            images, radius, min(round(extent / finest), box // 2 - 1), point_group(self.symmetry),
            Schedule(self.iterations, 1 - self.first_significance / 100, 1 - self.last_significance / 100, self.angular_step),
            Criteria(
                self.imed, self.skip_fisher == self.as_published, self.strict_directions, 0.0 if self.as_published else self.neighbourhood
            ),
            job.seed, job.threads, (self.min_tilt, self.max_tilt), None if self.max_shift is None else self.max_shift * box / loaded.box,
            self.as_published,
        )  # fmt: skip

    def _reference(self, job: Job, loaded: Averages, plan: "Plan") -> Any:
        """Return the given map on the grid worked on, or None."""
        import numpy as np
        import torch

        from cryoloom.formats.alignment import map_rows
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.reconstruct.resample import matched

        if self.reference is None:
            return None
        path = map_rows(self.reference)["volume_path"][0]
        image = read_mrc(self.reference.file(path))
        data = image.data.astype(np.float32)
        if not np.isfinite(data).all() or data.max() <= data.min():
            raise Failure("map-unusable", f"{path} is constant or holds values that are not finite.", "Choose another map.")
        size = float(self.reference.meta.get("pixel_size") or image.pixel_size)
        if len(data) != loaded.box or abs(size / loaded.pixel_size - 1) > 1e-3:
            job.warn(f"{path} of {len(data)} voxels at {size:g} Å is resampled to {loaded.box} at {loaded.pixel_size:g} Å.")
        whole = matched(data, size, loaded.box, loaded.pixel_size)
        return resample_volume(torch.from_numpy(whole), plan.map_box).numpy()

    def _search(self, job: Job, plan: "Plan", name: str, start: Any = None, *, keep: float = 0.0) -> "State":
        from cryoloom.numerics.align import significant
        from cryoloom.numerics.geometry.euler import matrix_to_euler

        total = plan.schedule.iterations

        def step(state: "State") -> "State":
            try:
                new = significant.iterate(plan, state)
            except significant.NothingSignificant as problem:
                raise Failure("nothing-significant", f"Iteration {state['iteration'] + 1}: {problem}.", problem.cure) from problem
            number, best = new["iteration"], new["best"]
            if keep:
                angles = (each.round(2).tolist() for each in matrix_to_euler(new["rotations"][best]))
                new["history"][-1] |= {"image": new["image"][best].tolist(), **dict(zip(("rot", "tilt", "psi"), angles, strict=True))}
                write_mrc(job.output(_kept(number)), new["map"], keep, volume=True)
            job.note(**{each: value for each, value in new["history"][-1].items() if not isinstance(value, list)})
            return new

        return job.iterate(
            lambda: significant.begin(plan, start), step, done=lambda state: state["iteration"] >= total, name=name, total=total
        )

    def _outputs(self, job: Job, loaded: Averages, plan: "Plan", found: "State", reached: list[float]) -> FirstMap:
        import numpy as np
        import torch

        from cryoloom.formats.stack import write_stack
        from cryoloom.numerics.align import significant
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.geometry.euler import matrix_to_euler

        best, extent = found["best"], loaded.box * loaded.pixel_size
        shown = found["image"][best]
        views = significant.reprojections(plan, found["map"], found["rotations"][best], found["shifts"][best])
        seen = significant.within_circle(plan.frame, plan.images)[shown]
        scale = float(np.vdot(seen, views) / max(float(np.vdot(views, views)), 1e-30))
        whole = resample_volume(torch.from_numpy(found["map"]), loaded.box).numpy() * np.float32(scale * plan.box / loaded.box)
        path, montage = job.output("volume.mrc"), job.output("montage.mrcs")
        write_mrc(path, np.ascontiguousarray(whole, np.float32), loaded.pixel_size, volume=True)
        worst = np.argsort(found["correlation"][best], kind="stable")[:SHOWN]
        pictures = [(seen[each], scale * views[each], seen[each] - scale * views[each]) for each in worst]
        write_stack(montage, np.concatenate(pictures).astype(np.float32), extent / plan.box)
        meta = {
            "pixel_size": loaded.pixel_size, "box_size": loaded.box, "symmetry": plan.group.name, "starts": reached,
            "iterations": [{name: value for name, value in row.items() if not isinstance(value, list)} for row in found["history"]],
            "montage": loaded.rows["id"].gather(shown[worst]).to_list(),
        }  # fmt: skip
        rot, tilt, psi = (each.round(3) for each in matrix_to_euler(plan.group.reduced(found["rotations"])))
        pairs = pl.DataFrame(
            {"image": found["image"], "rot": rot, "tilt": tilt, "psi": psi, "share": found["share"].astype(np.float64)}
        ).sort("image", "share", descending=[False, True])
        kept = pairs.group_by("image", maintain_order=True).agg(
            pl.len().alias("directions"), *(pl.col(name).alias(f"{name}s") for name in ("rot", "tilt", "psi", "share"))
        )
        shift = found["shifts"][best] * extent / plan.box
        columns = pl.DataFrame(
            {
                "id": loaded.rows["id"].gather(shown), "rot": rot[best], "tilt": tilt[best], "psi": psi[best],
                "origin_x": shift[:, 0], "origin_y": shift[:, 1], "correlation": found["correlation"][best].astype(np.float64),
                "image_distance": found["distance"][best].astype(np.float64), "weight": found["share"][best].astype(np.float64),
            }
        ).hstack(kept.drop("image"))  # fmt: skip
        averages = self.averages.with_columns(columns, symmetry=plan.group.name)
        if loaded.left_out:
            averages = averages.disable(loaded.left_out)
        places = {name: [file.relative_to(job.root).as_posix()] for name, file in (("volume_path", path), ("montage_path", montage))}
        items = pl.DataFrame({"id": [1], **places, "box_size": [loaded.box]})
        return FirstMap(
            Volume(items, job.root, meta=meta),
            averages if isinstance(averages, Classes2D) else None,
            averages if isinstance(averages, Particles) else None,
            self._intermediate(job, loaded, plan, found) if self.keep_intermediate else None,
        )

    def _intermediate(self, job: Job, loaded: Averages, plan: "Plan", found: "State") -> Volume:
        rows = [
            {
                "id": row["iteration"],
                "volume_path": job.output(_kept(row["iteration"])).relative_to(job.root).as_posix(),
                "box_size": plan.map_box,
                "correlation": row["correlation"],
                "average_ids": loaded.rows["id"].gather(row["image"]).to_list(),
                **{f"{name}s": row[name] for name in ("rot", "tilt", "psi")},
            }
            for row in found["history"]
        ]
        return Volume(pl.DataFrame(rows), job.root, meta={"pixel_size": loaded.box * loaded.pixel_size / plan.map_box})

    def summary(self, out: FirstMap) -> Mapping[str, Any]:
        last = out.volume.meta["iterations"][-1]
        told: dict[str, Any] = {
            "averages in the map": last["images"],
            "directions an average": round(last["pairs"] / last["images"], 1),
            "mean correlation": round(last["correlation"], 3),
            "symmetry": out.volume.meta["symmetry"],
        }
        if out.volume.meta["starts"]:
            told["mean correlation, each start"] = ", ".join(f"{value:.3f}" for value in out.volume.meta["starts"])
        return told

    def methods(self, out: FirstMap) -> str:
        limit = f" at up to {self.max_resolution:g} Å" if self.use_max_resolution else ""
        begun = (
            "a given map"
            if self.reference is not None
            else "one random map"
            if self.starts == 1
            else f"the best of {self.starts} random maps"
        )
        return (
            f"An initial map was found from {out.volume.meta['iterations'][-1]['images']} averages by weighted projection matching in "
            f"{self.symmetry}{limit}, from {begun}, in {self.iterations} iterations with a significance that grew from "
            f"{self.first_significance:g} to {self.last_significance:g} %."
        )

    def report(self, out: FirstMap) -> list[Panel]:
        import numpy as np

        from cryoloom.formats.stack import open_stack
        from cryoloom.numerics.masks.soft import automatic_threshold

        meta = out.volume.meta
        data = read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data
        history = meta["iterations"]
        numbers = [row["iteration"] for row in history]
        averages = out.classes if out.classes is not None else out.particles
        table = pl.DataFrame() if averages is None else averages.enabled().filter(pl.col("rot").is_not_null()).sort("correlation")
        montage = np.asarray(open_stack(out.volume.file(out.volume.items.item(0, "montage_path")), 3 * len(meta["montage"]) - 1))
        worst = {row["id"]: row for row in table.filter(pl.col("id").is_in(meta["montage"])).iter_rows(named=True)}
        labels = {
            "id": "average", "rot": "rot (°)", "tilt": "tilt (°)", "psi": "psi (°)", "origin_x": "shift x (Å)", "origin_y": "shift y (Å)",
            "correlation": "correlation", "image_distance": "distance", "weight": "weight", "directions": "directions",
        }  # fmt: skip
        return [
            MapSlices(title="The map", volume=data, caption="Central slices. The hand is undecided."),
            MapSurface(title="The map in three dimensions", volume=data, level=automatic_threshold(data, len(data) / 2), caption="Seen along z, x and y."),
            ImageGrid(
                title="Averages and reprojections", images=list(montage), size=110,
                captions=[
                    f"{worst[number]['correlation']:.3f}: average {number}" if not kind else ("", "reprojection", "difference")[kind]
                    for number in meta["montage"] for kind in range(3)
                ],
                caption="The average, the map seen from where it was placed, and their difference; the least alike first. Averages that are like no view "
                "show something else than the map: junk, or a map that is wrong.",
            ),
            LinePlot(
                title="Likeness", x_label="iteration", y_label="correlation", y_range=(0, 1),
                series=[
                    Series("of averages and their likest view", numbers, [row["correlation"] for row in history]),
                    Series("of the map with the one before", numbers, [row["change"] for row in history]),
                ],
                caption="It rises while averages find their places; a wrong map stays low. Correlations of round particles are high everywhere: compare "
                "starts rather than particles.",
            ),
            LinePlot(
                title="Directions", x_label="iteration", y_label="directions an average",
                series=[Series("significant", numbers, [row["pairs"] / row["images"] for row in history])],
            ),
            AngularDistribution(title="Viewing directions", rot=table["rot"].to_list(), tilt=table["tilt"].to_list(), caption="Of the averages."),
            TableView(
                title="Iterations", limit=len(history),
                columns={
                    "iteration": numbers,
                    "significance (%)": [100 * (1 - row["part"]) for row in history],
                    "directions": [row["directions"] for row in history],
                    "pairs kept": [row["pairs"] for row in history],
                    "mean correlation": [row["correlation"] for row in history],
                    "best over median": [row["discrimination"] for row in history],
                },
            ),
            TableView(title="Averages", columns={label: table[name].to_list() for name, label in labels.items()}, limit=200),
        ]  # fmt: skip


def _kept(number: int) -> str:
    """Return the file of an iteration's map."""
    return f"iteration{number:03d}.mrc"
