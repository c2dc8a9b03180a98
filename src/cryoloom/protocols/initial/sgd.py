"""initial.sgd: a first map, or several, from particles alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import Classes3D, Particles, Volume, symmetry_hints
from cryoloom.formats.alignment import Alignable, alignable
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.spec import Hint, Input, Job, Outputs, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.align.stochastic import Plan, State
    from cryoloom.numerics.geometry.symmetry import PointGroup

LEAST = 50
"""Particles without which no map can be found."""
MOST_POLISHED = 4000
"""Particles that the last alignment uses: enough for a first map, and its time stays bounded."""
BATCHES_A_STEP = 5
LEAST_FIT = 0.9
"""Of the log-likelihood of the map found without symmetry, what the symmetrised one must keep: with its true group a particle loses nothing."""
LIKE, MEMBER = 0.9, 0.1
"""Correlation with its symmetrised copy that a map must reach for its likest group to be named, and what a larger group may fall short of it."""


@dataclass(frozen=True)
class InitialMaps(Outputs):
    volume: Volume | None = None
    classes: Classes3D | None = None
    particles: Particles | None = None


class InitialModel(
    Protocol,
    id="initial.sgd",
    version=2,
    outputs=InitialMaps,
    cite=("10.1038/nmeth.4169", "10.1042/BCJ20210708"),
    aliases=("ProtRelionInitialModel",),
):
    """Find a map by stochastic optimisation from random beginnings, then align the particles to it a few times.

    Its hand is undecided: projections of a map and of its mirror image are the same.
    """

    particles: Particles = Input("Particles", help="Bright particles with their CTF, cleaned by 2D classification; junk spoils first maps.")
    mask_diameter: Angstrom = Param(
        "Mask diameter", gt=0, wizard="mask-circle", aliases=("maskDiameterA",),
        help="Soft circle on the images: the particle's largest diameter plus a tenth. Too small cuts the particle, too large adds noise.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group: Cn, Dn, T, O, I1 to I4. A map is first found without, then laid on RELION's axes and made symmetric.",
    )  # fmt: skip
    classes: int = Param(
        "Classes", 1, ge=1, le=10, aliases=("numberOfClasses",),
        help="Maps sought at once. More than one separates junk and mixtures; too many split the particle's views.",
    )  # fmt: skip
    resolution: Angstrom = Param(
        "Target resolution", 12.0, ge=6, le=60, advanced=True,
        help="Finer detail is ignored. A first map needs none, and finer takes longer and follows noise.",
    )  # fmt: skip
    batches: int = Param(
        "Mini-batches", 60, ge=20, le=1000, advanced=True, aliases=("numberOfIter",),
        help="Steps of the stochastic search. Too few stop before a difficult particle is found.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)

    def run(self, job: Job) -> InitialMaps:
        import torch

        from cryoloom.numerics.align import stochastic

        torch.set_num_threads(1)
        loaded = alignable(self.particles, self.mask_diameter, finest=self.resolution, least=LEAST)
        for warning in loaded.warnings:
            job.warn(warning)
        if len(loaded.images) < 200:
            job.warn(f"{len(loaded.images)} particles are few for a first map; look at it before trusting it.")
        radius = loaded.mask_diameter / 2 / loaded.pixel_size
        plan = stochastic.Plan(loaded.images, radius, self.classes, job.seed, job.threads, batches=self.batches)

        def step(state: "State") -> "State":
            for _ in range(min(BATCHES_A_STEP, plan.batches - state["batch"])):
                state = stochastic.iterate(plan, state)
                job.progress(state["batch"], plan.batches, f"mini-batch {state['batch']}")
            job.note(**state["history"][-1])
            return state

        steps = -(-plan.batches // BATCHES_A_STEP)
        found = job.iterate(
            lambda: stochastic.begin(plan), step, done=lambda state: state["batch"] >= plan.batches, name="search", total=steps
        )
        return self._single(job, loaded, plan, found) if self.classes == 1 else self._several(job, loaded, plan, found)

    def _single(self, job: Job, loaded: Alignable, plan: "Plan", found: "State") -> InitialMaps:
        import numpy as np

        row = self._map(job, loaded, plan, found, 0, np.arange(len(loaded.images)))
        items = pl.DataFrame({"id": [1], "volume_path": [row["volume_path"]], "box_size": [loaded.box]})
        meta = {"pixel_size": loaded.pixel_size, "resolution": row["resolution"], "mask_diameter": loaded.mask_diameter}
        meta |= {"symmetry": self._group().name, **row["judged"], "batches": found["history"]}
        if self._group().order == 1:
            meta["looks_like"] = self._looks_like(loaded, read_mrc(job.root / row["volume_path"]).data)
        return InitialMaps(volume=Volume(items, job.root, meta=meta))

    def _several(self, job: Job, loaded: Alignable, plan: "Plan", found: "State") -> InitialMaps:
        import numpy as np

        from cryoloom.numerics.align import stochastic

        member = stochastic.class_of(plan, found)
        rows = []
        for number in range(self.classes):
            chosen = np.flatnonzero(member == number)
            row = self._map(job, loaded, plan, found, number, chosen)
            del row["judged"]
            rows.append({"id": number + 1, "class_id": number + 1, **row, "box_size": loaded.box, "count": len(chosen)})
            if len(chosen) < LEAST:
                job.warn(f"Class {number + 1} holds {len(chosen)} particles: its map is that of the search, not aligned again.")
        symmetry = self._group().name
        meta = {"pixel_size": loaded.pixel_size, "mask_diameter": loaded.mask_diameter, "symmetry": symmetry, "batches": found["history"]}
        columns = pl.DataFrame({"id": loaded.rows["id"], "class_id": member + 1})
        particles = self.particles.with_columns(columns)
        if loaded.left_out:
            particles = particles.disable(loaded.left_out)
        return InitialMaps(classes=Classes3D(pl.DataFrame(rows), job.root, meta=meta), particles=particles)

    def _map(self, job: Job, loaded: Alignable, plan: "Plan", found: "State", number: int, chosen: Any) -> dict[str, Any]:
        """Align the particles of one class to its map a few times, in halves, and write the result."""
        import numpy as np
        import torch

        from cryoloom.numerics.align import refine, stochastic
        from cryoloom.numerics.align.halves import random_halves
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.fsc.shells import resolution_at

        group = self._group()
        maps, _ = stochastic.maps_of(plan, found["sums"], plan.last_shell)
        rough, resolution = np.ascontiguousarray(maps[number]), loaded.box * loaded.pixel_size / plan.last_shell
        judged: dict[str, float] = {}
        if group.order > 1:
            rough, judged = self._imposed(job, loaded, plan, found, stochastic.centred_map(rough))
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
            volume, resolution = state["combined"], resolution_at(state["fsc"], 0.143, loaded.box, loaded.pixel_size)
        path = job.output("volume.mrc" if self.classes == 1 else f"class{number + 1:03d}.mrc")
        write_mrc(path, np.ascontiguousarray(volume, np.float32), loaded.pixel_size, volume=True)
        return {"volume_path": path.relative_to(job.root).as_posix(), "resolution": float(resolution), "judged": judged}

    def _group(self) -> "PointGroup":
        from cryoloom.numerics.geometry.symmetry import point_group

        return point_group(self.symmetry)

    def _looks_like(self, loaded: Alignable, volume: Any) -> str:
        """Return the largest group that a map found without symmetry comes near to, or nothing: a report, nothing is imposed."""
        from cryoloom.numerics.align.axes import detect
        from cryoloom.numerics.geometry.symmetry import point_group

        ranked = detect(volume, loaded.pixel_size, loaded.mask_diameter / 2)
        best = ranked[0][1]
        name, correlation = max((each for each in ranked if each[1] >= best - MEMBER), key=lambda each: point_group(each[0]).order)
        return f"{name} ({correlation:.2f})" if best >= LIKE else ""

    def _imposed(self, job: Job, loaded: Alignable, plan: "Plan", found: "State", rough: Any) -> tuple[Any, dict[str, float]]:
        """Return a map found without symmetry, laid on the group's axes and made symmetric, and how well that fits; say so if it does not."""
        import numpy as np

        from cryoloom.numerics.align import stochastic
        from cryoloom.numerics.align.axes import find_axes, in_frame
        from cryoloom.numerics.reconstruct.symmetry import symmetric_map

        group = self._group()
        axes = find_axes(rough, loaded.pixel_size * loaded.box / len(rough), loaded.mask_diameter / 2, group)
        moved = in_frame(rough, axes)
        symmetric = symmetric_map(moved, group)
        free, bound = stochastic.fit(plan, found, np.stack([moved, symmetric]))
        if bound < LEAST_FIT * free:
            job.warn(
                f"Symmetry {group.name} is not supported by the data: CC between the C1 map and its symmetrised copy = {axes.agreement:.2f}, "
                f"and the symmetrised map explains the images {1 - bound / free:.0%} less well. Try C1, or a smaller group."
            )
        return symmetric, {"symmetry_correlation": axes.agreement, "symmetry_fit": float(bound / free)}

    def summary(self, out: InitialMaps) -> Mapping[str, Any]:
        if out.volume is not None:
            meta, batches = out.volume.meta, out.volume.meta["batches"]
            return {
                "agreement of halves to (Å)": round(out.volume.meta["resolution"], 1),
                "mini-batches": len(batches),
                "best-pose probability": round(batches[-1]["max_probability"], 2),
                "symmetry": f"{meta['symmetry']} imposed"
                if "looks_like" not in meta
                else f"none imposed, like {meta['looks_like'] or 'no group'}",
            }
        assert out.classes is not None
        counts = out.classes.items["count"]
        return {
            "classes": out.classes.items.height,
            "particles in the largest": f"{counts.max()} of {counts.sum()}",
            "agreement of halves to (Å)": ", ".join(f"{value:.0f}" for value in out.classes.items["resolution"]),
        }
