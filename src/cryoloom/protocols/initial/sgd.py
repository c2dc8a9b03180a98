"""initial.sgd: a first map, or several, from particles alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import Classes3D, Particles, Volume, symmetry_hints
from cryoloom.data.alignment import MaskDiameter, Regularisation, ShiftRange, TransferFunction, ZeroMask
from cryoloom.formats.alignment import Alignable, alignable
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.panels import AngularDistribution, ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.align.stochastic import Plan, State
    from cryoloom.numerics.geometry.symmetry import PointGroup

LEAST = 50
"""Particles without which no map can be found, and no class is aligned."""
MOST_POLISHED = 4000
"""Particles that the last alignment uses: enough for a first map, and its time stays bounded."""
BATCHES_A_STEP = 5
SETTLED = 10
"""Last batches whose images judge a search."""
ALIKE = 0.8
"""Of the log-likelihood that a class's images gain by its map, what another class's map may give them before the two are called alike."""
LEAST_FIT = 0.9
"""Of the log-likelihood of the map found without symmetry, what the symmetrised one must keep: with its true group a particle loses nothing."""
LIKE, MEMBER = 0.9, 0.1
"""Correlation with its symmetrised copy that a map must reach for a group to be named, and what a larger group may fall short of the likest."""


@dataclass(frozen=True)
class InitialMaps(Outputs):
    volume: Volume
    classes: Classes3D | None = None
    particles: Particles | None = None


class InitialModel(
    Protocol,
    id="initial.sgd",
    version=5,
    outputs=InitialMaps,
    cite=("10.1038/nmeth.4169", "10.1042/BCJ20210708"),
    aliases=("ProtRelionInitialModel",),
):
    """Find a map by stochastic optimisation from random beginnings, then align the particles to it a few times.

    Its hand is undecided: projections of a map and of its mirror image are the same.
    """

    particles: Particles = Input("Particles", help="Bright particles with their CTF, cleaned by 2D classification; junk spoils first maps.")
    mask_diameter: MaskDiameter
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group: Cn, Dn, T, O, I1 to I4. A map is first found without, then laid on RELION's axes and made symmetric.",
    )  # fmt: skip
    classes: int = Param(
        "Classes", 1, ge=1, le=10, aliases=("numberOfClasses",),
        help="Maps sought at once. More than one separates junk and clearly different particles, one class each; states of one particle, such as "
        "a domain lost or moved, it does not: find one map, then classify3d.em. The largest class's map is the volume.",
    )  # fmt: skip
    starts: int = Param(
        "Random starts", 1, ge=1, le=20,
        help="Searches from different random beginnings; the one whose maps explain the images best is kept. Takes as many times as long; for "
        "particles that one search does not find.",
    )  # fmt: skip
    transfer_function: TransferFunction
    zero_mask: ZeroMask
    resolution: Angstrom = Param(
        "Target resolution", 12.0, ge=6, le=60, advanced=True,
        help="Finer detail is ignored. A first map needs none, and finer takes longer and follows noise.",
    )  # fmt: skip
    batches: int = Param(
        "Mini-batches", 60, ge=20, le=1000, advanced=True, aliases=("numberOfIter",),
        help="Steps of the stochastic search. Too few stop before a difficult particle is found.",
    )  # fmt: skip
    first_batch: int = Param(
        "Images of the first batches", 96, ge=20, le=5000, advanced=True, aliases=("sgd_ini_subset", "batchSizeIni"),
        help="Small ones shake the map out of wrong beginnings; more for very low contrast.",
    )  # fmt: skip
    last_batch: int = Param(
        "Images of the last batches", 192, ge=20, le=20000, advanced=True, aliases=("sgd_fin_subset", "batchSizeFinal"),
        help="Large ones let the map settle; time grows with them.",
    )  # fmt: skip
    positive: bool = Param(
        "Positive density", True, advanced=True, aliases=("doFlattenSolvent",),
        help="Nothing negative stays in the maps of the search; outside the mask there is nothing in any case. Off for particles lighter than what is "
        "around them in places, such as lipid in a micelle.",
    )  # fmt: skip
    regularisation: Regularisation
    shift_range: ShiftRange

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        if self.classes > 1 and (count := self.particles.enabled().height) < LEAST * self.classes:
            fix = max(1, count // LEAST)
            yield Hint("classes", f"is {self.classes}: of {count} particles that leaves fewer than {LEAST} each", fix=fix)

    def run(self, job: Job) -> InitialMaps:
        import torch

        from cryoloom.numerics.align import stochastic
        from cryoloom.numerics.align.contrast import look_dark

        torch.set_num_threads(1)
        loaded = alignable(
            self.particles, self.mask_diameter, finest=self.resolution, least=LEAST, transfer=self.transfer_function,
            zero_mask=self.zero_mask, seed=job.seed,
        )  # fmt: skip
        for warning in loaded.warnings:
            job.warn(warning)
        if len(loaded.images) < 200:
            job.warn(f"{len(loaded.images)} particles are few for a first map; look at it before trusting it.")
        radius = loaded.mask_diameter / 2 / loaded.pixel_size
        if look_dark(loaded.images, radius):
            job.warn("The particles look dark on bright ground: no map will be found. Extract them again with inverted contrast.")
        plans = [
            stochastic.Plan(
                loaded.images,
                radius,
                self.classes,
                job.seed + number,
                job.threads,
                self.batches,
                self.first_batch,
                self.last_batch,
                self.regularisation,
                self.positive,
                None if self.shift_range is None else self.shift_range / loaded.pixel_size,
            )  # fmt: skip
            for number in range(self.starts)
        ]
        searches = [self._search(job, plan, number) for number, plan in enumerate(plans)]
        gains = [self._gain(found) for found in searches]
        best = max(range(self.starts), key=gains.__getitem__)
        return self._outputs(job, loaded, plans[best], searches[best], gains)

    def _search(self, job: Job, plan: "Plan", number: int) -> "State":
        """Search from one random beginning."""
        from cryoloom.numerics.align import stochastic

        def step(state: "State") -> "State":
            for _ in range(min(BATCHES_A_STEP, plan.batches - state["batch"])):
                state = stochastic.iterate(plan, state)
                job.progress(state["batch"], plan.batches, f"start {number + 1} of {self.starts}: mini-batch {state['batch']}")
            last = state["history"][-1]
            job.note(**{name: value for name, value in last.items() if not isinstance(value, list)})
            return state

        steps = -(-plan.batches // BATCHES_A_STEP)
        name = f"search{number + 1}"
        return job.iterate(lambda: stochastic.begin(plan), step, done=lambda state: state["batch"] >= plan.batches, name=name, total=steps)

    def _gain(self, found: "State") -> float:
        """Return the log-likelihood that images gained over noise in the last batches of a search."""
        last = found["history"][-SETTLED:]
        return sum(each["gain"] for each in last) / len(last)

    def _outputs(self, job: Job, loaded: Alignable, plan: "Plan", found: "State", gains: list[float]) -> InitialMaps:
        import numpy as np

        from cryoloom.numerics.align import stochastic

        members = stochastic.memberships(plan, found) if self.classes > 1 else np.ones((len(loaded.images), 1))
        member = members.argmax(axis=1)
        counts = np.bincount(member, minlength=self.classes)
        rows = [self._map(job, loaded, plan, found, number, np.flatnonzero(member == number)) for number in range(self.classes)]
        meta = {"pixel_size": loaded.pixel_size, "box_size": loaded.box, "mask_diameter": loaded.mask_diameter}
        meta |= {"symmetry": self._group().name, "batches": found["history"], "starts": gains}
        main = rows[int(counts.argmax())]
        items = pl.DataFrame({"id": [1], "volume_path": [main["volume_path"]], "box_size": [loaded.box]})
        told = {"resolution": main["resolution"], "views": main["views"], **main["judged"]}
        if self._group().order == 1:
            told["looks_like"] = self._looks_like(loaded, read_mrc(job.root / main["volume_path"]).data)
        volume = Volume(items, job.root, meta=meta | told)
        if self.classes == 1:
            return InitialMaps(volume=volume)
        nearest, likeness = self._likeness(plan, found, member)
        self._warn_of_classes(job, counts.tolist(), nearest, likeness)
        numbers = np.arange(1, self.classes + 1)
        table = pl.DataFrame(
            {
                "id": numbers,
                "class_id": numbers,
                "volume_path": [row["volume_path"] for row in rows],
                "box_size": [loaded.box] * self.classes,
                "count": counts,
                "distribution": members.mean(axis=0),
                "estimated_resolution": [row["resolution"] for row in rows],
                "nearest_class": nearest,
                "likeness": likeness,
            }
        )
        probabilities = pl.Series(members.tolist(), dtype=pl.List(pl.Float64))
        columns = pl.DataFrame({"id": loaded.rows["id"], "class_id": member + 1, "class_probabilities": probabilities})
        particles = self.particles.with_columns(columns)
        if loaded.left_out:
            particles = particles.disable(loaded.left_out)
        return InitialMaps(volume=volume, classes=Classes3D(table, job.root, meta=meta), particles=particles)

    def _likeness(self, plan: "Plan", found: "State", member: Any) -> tuple[list[int], list[float]]:
        """Return for each class the other one that explains its images best, and how well beside its own map: 1 if as well."""
        import numpy as np

        from cryoloom.numerics.align import stochastic

        maps, _ = stochastic.maps_of(plan, found["sums"], plan.last_shell)
        nearest, likeness = [], []
        for number in range(self.classes):
            own = np.flatnonzero(member == number)
            gains = stochastic.fit(plan, found, maps, own) if len(own) else np.ones(self.classes)
            others = np.where(np.arange(self.classes) == number, -np.inf, gains)
            nearest.append(int(others.argmax()) + 1)
            likeness.append(float(np.clip(others.max() / max(gains[number], 1e-9), 0.0, 1.0)))
        return nearest, likeness

    def _warn_of_classes(self, job: Job, counts: list[int], nearest: list[int], likeness: list[float]) -> None:
        for number, (count, other, alike) in enumerate(zip(counts, nearest, likeness, strict=True), start=1):
            if count < LEAST:
                job.warn(f"Class {number} holds {count} particles: its map is that of the search, not aligned again.")
            elif alike > ALIKE:
                job.warn(
                    f"The map of class {other} explains the particles of class {number} nearly as well as their own ({alike:.0%}): they are no "
                    "different particles, and which of the two one is in means little. Take fewer classes, and tell states apart by classify3d.em."
                )

    def _map(self, job: Job, loaded: Alignable, plan: "Plan", found: "State", number: int, chosen: Any) -> dict[str, Any]:
        """Align the particles of one class to its map a few times, in halves, and write the result."""
        import numpy as np
        import torch

        from cryoloom.numerics.align import refine, stochastic
        from cryoloom.numerics.align.halves import random_halves
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.fsc.shells import resolution_at
        from cryoloom.numerics.geometry.euler import matrix_to_euler

        group = self._group()
        maps, _ = stochastic.maps_of(plan, found["sums"], plan.last_shell)
        rough, resolution = np.ascontiguousarray(maps[number]), loaded.box * loaded.pixel_size / plan.last_shell
        judged: dict[str, float] = {}
        views: dict[str, list[float]] = {"rot": [], "tilt": []}
        if group.order > 1 and len(chosen) >= LEAST:
            rough, judged = self._imposed(job, loaded, plan, found, stochastic.centred_map(rough), number, chosen)
        volume = resample_volume(torch.from_numpy(rough), loaded.box).numpy()
        if group.order == 1:
            volume = stochastic.centred_map(volume)
        if len(chosen) >= LEAST:
            rng = np.random.default_rng([job.seed, 3])
            chosen = np.sort(rng.choice(chosen, min(len(chosen), MOST_POLISHED), replace=False))
            images = loaded.images.subset(chosen)
            halves = random_halves(np.arange(len(chosen)), job.seed)
            task = refine.Task(
                images, halves, loaded.pixel_size, loaded.mask_diameter, resolution, job.seed, job.threads, iterations=3,
                group=group,
            )  # fmt: skip
            start = volume
            state = job.iterate(
                lambda: refine.begin(task, [start]),
                lambda state: refine.iterate(task, state, lambda part, doing: job.progress(part, 1.0, doing)),
                done=lambda state: state["finished"],
                name=f"align{number + 1}",
                total=4,
            )
            rot, tilt, _ = matrix_to_euler(state["rotations"])
            views = {"rot": rot.round(1).tolist(), "tilt": tilt.round(1).tolist()}
            volume, resolution = state["combined"], resolution_at(state["fsc"], 0.143, loaded.box, loaded.pixel_size)
        path = job.output("volume.mrc" if self.classes == 1 else f"class{number + 1:03d}.mrc")
        write_mrc(path, np.ascontiguousarray(volume, np.float32), loaded.pixel_size, volume=True)
        return {"volume_path": path.relative_to(job.root).as_posix(), "resolution": float(resolution), "judged": judged, "views": views}

    def _group(self) -> "PointGroup":
        from cryoloom.numerics.geometry.symmetry import point_group

        return point_group(self.symmetry)

    def _looks_like(self, loaded: Alignable, volume: Any) -> str:
        """Return the largest group that a map found without symmetry comes near to, or nothing: a report, nothing is imposed."""
        from cryoloom.numerics.align.axes import detect
        from cryoloom.numerics.geometry.symmetry import point_group

        ranked = detect(volume, loaded.pixel_size, loaded.mask_diameter / 2)
        likely = [each for each in ranked if each[1] >= max(LIKE, ranked[0][1] - MEMBER)]
        if not likely:
            return ""
        name, correlation = max(likely, key=lambda each: point_group(each[0]).order)
        return f"{name} ({correlation:.2f})"

    def _imposed(
        self, job: Job, loaded: Alignable, plan: "Plan", found: "State", rough: Any, number: int, chosen: Any
    ) -> tuple[Any, dict[str, float]]:
        """Return a map found without symmetry, laid on the group's axes and made symmetric, and how well that fits; say so if it does not."""
        import numpy as np

        from cryoloom.numerics.align import stochastic
        from cryoloom.numerics.align.axes import find_axes, in_frame
        from cryoloom.numerics.reconstruct.symmetry import symmetric_map

        group = self._group()
        axes = find_axes(rough, loaded.pixel_size * loaded.box / len(rough), loaded.mask_diameter / 2, group)
        moved = in_frame(rough, axes)
        symmetric = symmetric_map(moved, group)
        free, bound = stochastic.fit(plan, found, np.stack([moved, symmetric]), chosen)
        whose = f" of class {number + 1}" if self.classes > 1 else ""
        if bound < LEAST_FIT * free:
            job.warn(
                f"Symmetry {group.name} is not supported by the data{whose}: CC between the C1 map and its symmetrised copy = "
                f"{axes.agreement:.2f}, "
                f"and the symmetrised map explains the images {1 - bound / free:.0%} less well. Try C1, or a smaller group."
            )
        return symmetric, {"symmetry_correlation": axes.agreement, "symmetry_fit": float(bound / free)}

    def summary(self, out: InitialMaps) -> Mapping[str, Any]:
        meta, batches = out.volume.meta, out.volume.meta["batches"]
        told: dict[str, Any] = {
            "agreement of halves to (Å)": round(meta["resolution"], 1),
            "mini-batches": len(batches),
            "best-pose probability": round(batches[-1]["max_probability"], 2),
            "log-likelihood gained, each start": ", ".join(f"{gain:.1f}" for gain in meta["starts"]),
            "symmetry": f"{meta['symmetry']} imposed"
            if "looks_like" not in meta
            else f"none imposed, like {meta['looks_like'] or 'no group'}",
        }
        if out.classes is not None:
            table = out.classes.items
            told["particles a class"] = ", ".join(map(str, table["count"]))
            told["agreement of halves a class (Å)"] = ", ".join(f"{value:.0f}" for value in table["estimated_resolution"])
        return told

    def methods(self, out: InitialMaps) -> str:
        maps = "An initial map was" if self.classes == 1 else f"{self.classes} initial maps were"
        return (
            f"{maps} found from the images alone by stochastic gradient descent in {self.symmetry} within a mask of {self.mask_diameter:g} Å, "
            f"at up to {self.resolution:g} Å."
        )

    def report(self, out: InitialMaps) -> list[Panel]:
        batches = out.volume.meta["batches"]
        numbers = [each["batch"] for each in batches]
        shown = {"the map": out.volume.file(out.volume.items.item(0, "volume_path"))}
        panels: list[Panel] = []
        if out.classes is not None:
            table = out.classes.items
            labels = {
                "class_id": "class", "count": "particles", "distribution": "part", "estimated_resolution": "halves agree to (Å)",
                "nearest_class": "most like class", "likeness": "explained by that one's map",
            }  # fmt: skip
            panels.append(TableView(title="Classes", columns={label: table[name].to_list() for name, label in labels.items()}))
            shown = {f"class {row['class_id']}": out.classes.file(row["volume_path"]) for row in table.iter_rows(named=True)}
        maps = {name: read_mrc(path).data for name, path in shown.items()}
        middle = out.volume.items.item(0, "box_size") // 2
        cuts = {
            "across z": lambda data: data[middle],
            "across y": lambda data: data[:, middle],
            "across x": lambda data: data[:, :, middle],
        }
        panels += [
            ImageGrid(
                title="Maps", images=[cut(data) for data in maps.values() for cut in cuts.values()], size=150,
                captions=[f"{name}, {side}" for name in maps for side in cuts], caption="Central slices. The hand is undecided.",
            ),
            LinePlot(
                title="Search", x_label="mini-batch", y_label="log-likelihood gained over noise",
                series=[Series("mean of the batch", numbers, [each["gain"] for each in batches])],
                caption="It rises while the map forms, with the band too; one that stays near zero found nothing.",
            ),
            AngularDistribution(
                title="Viewing directions", **out.volume.meta["views"],
                caption=f"Of the particles, {MOST_POLISHED} at most, that were aligned to the map at the end.",
            ),
        ]  # fmt: skip
        if out.classes is not None:
            sizes = [Series(f"class {k + 1}", numbers, [each["share"][k] for each in batches]) for k in range(out.classes.items.height)]
            panels.append(
                LinePlot(title="Sizes of classes", x_label="mini-batch", y_label="part of the images", y_range=(0, 1), series=sizes)
            )
        return panels
