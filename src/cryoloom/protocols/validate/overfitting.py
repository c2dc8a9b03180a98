"""validate.overfitting: resolution against the number of particles, beside that of aligned noise."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import Particles, ResolutionCurve, Volume, symmetry_hints
from cryoloom.data.alignment import TransferFunction
from cryoloom.formats.alignment import POSE, Alignable, alignable, halves_at_random, map_rows, on_grid, poses_of
from cryoloom.report.growth import growth_panels
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees, Pixels

if TYPE_CHECKING:
    from cryoloom.numerics.align import overfitting
    from cryoloom.numerics.fsc.growth import Measured

SHIFTS = 0.05
"""Part of the box by which noise may be shifted to lie on the reference."""
BLOCK = 256
"""Noise images aligned between checkpoints."""
HALF, GOLD = 0.5, 0.143
"""Of the shell correlation: the level that is drawn, and the one that is told beside."""
TIMES = (1.5, 2, 4, 10)
"""Times the particles there are, for which the resolution is foretold."""


@dataclass(frozen=True)
class Validated(Outputs):
    curve: ResolutionCurve


class ValidateOverfitting(
    Protocol,
    id="validate.overfitting",
    outputs=Validated,
    cite=("10.3934/biophy.2015.1.21", "10.1016/j.jmb.2003.07.013"),
    aliases=("XmippProtValidateOverfitting",),
):
    """Make pairs of maps from more and more particles and see how their agreement grows; noise aligned to the map shows what alignment alone gives.

    The two maps of a pair are of disjoint particles, from the two halves of the refinement. Every repeat adds each particle once and reads the maps off on the
    way. Memory: the images (or what is read of them at once), and four grids of sums, 18 MB each at 64 px, 1.1 GB at 256 px.
    """

    particles: Particles = Input(
        "Particles", columns=POSE, aliases=("inputParticles",),
        help="With the poses of a 3D refinement, and its halves where it had any. Poses found by one reference for all make halves agree too well.",
    )  # fmt: skip
    reference: Volume | None = Input(
        "Reference", optional=True, aliases=("input3DReference",),
        help="The map that noise is aligned to: that of the refinement. Without one there is no noise bound.",
    )  # fmt: skip
    noise: bool | None = Param(
        "Noise bound", None, aliases=("doNoise",),
        help="Align as many images of white noise to the reference and treat them alike. Empty: where a reference is given. Without it overfitting cannot be "
        "told from signal.",
    )  # fmt: skip
    shuffle: bool = Param(
        "Shuffled poses", True,
        help="Also deal the poses out anew among the particles: what is left then does not come from the poses.",
    )  # fmt: skip
    mask_diameter: Angstrom | None = Param(
        "Mask diameter", None, gt=0, wizard="mask-circle", aliases=("maskDiameterA", "particle_diameter"),
        help="Of the soft sphere under which maps are compared, and the circle in which noise is aligned; empty takes the refinement's, or the box.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "", aliases=("symmetryGroup",),
        help="Point group imposed on the maps; empty takes the refinement's. One that the particle has not spoils the maps.",
    )  # fmt: skip
    resize: bool = Param(
        "Smaller box", False, aliases=("doResize",), help="Make maps of fewer voxels: quick, but what is finer is not seen."
    )
    new_size: Pixels = Param(
        "Size of the smaller box", 64, ge=16, multiple_of=2, when="resize", aliases=("newSize",),
        help="Voxels a side, of the same extent. Curves that reach its limit say nothing more.",
    )  # fmt: skip
    subset_sizes: str = Param(
        "Numbers of particles", "10 20 50 100 200 500 1000 1500 2000 3000 5000", advanced=True, aliases=("numberOfParticles",),
        help="Of each of the two maps, rising; those above half of the particles are left out. Too few small ones and the line is short.",
    )  # fmt: skip
    repeats: int = Param(
        "Repeats", 10, ge=2, le=100, advanced=True, aliases=("numberOfIterations",),
        help="With particles in other orders; their spread makes the error bars. Few make the verdict uncertain.",
    )  # fmt: skip
    max_frequency: float = Param(
        "Finest frequency (cycles/px)", 0.5, gt=0.05, le=0.5, advanced=True, aliases=("maxRes",),
        help="Of the voxels of the maps. Lower is faster, and hides what is finer.",
    )  # fmt: skip
    angular_step: Degrees = Param(
        "Angular step for noise", 5.0, ge=1, le=30, advanced=True, aliases=("angSampRate",),
        help="Between the views of the reference that noise is aligned to. Coarse ones find less of the reference in the noise.",
    )  # fmt: skip
    transfer_function: TransferFunction

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self._symmetry)
        if self.noise and self.reference is None:
            yield Hint("noise", "needs a reference to align noise to", fix=False)
        if not self._noise:
            yield Hint(
                "noise",
                "is off: that the curve rises does not show that it is no overfitting",
                fix=None if self.reference is None else True,
                error=False,
            )
        try:
            asked = self._asked()
        except ValueError:
            yield Hint("subset_sizes", f"{self.subset_sizes!r} are not rising whole numbers", fix="500 1000 1500 2000 3000 5000")
            return
        half = self._smaller_half()
        allowed = [size for size in asked if size <= half]
        if not allowed:
            fix = " ".join(str(half * part // 10) for part in (1, 2, 5, 10))
            yield Hint("subset_sizes", f"all exceed the {half} particles of a half; numbers up to {half} are allowed", fix=fix)
        elif len(allowed) < len(asked):
            left_out = ", ".join(map(str, asked[len(allowed) :]))
            yield Hint("subset_sizes", f"{left_out} exceed the {half} particles of a half and are left out", error=False)

    def automatic(self) -> Mapping[str, Any]:
        return {"noise": self._noise, "symmetry": self._symmetry, "mask_diameter": self.particles.meta.get("mask_diameter")}

    def run(self, job: Job) -> Validated:
        import numpy as np
        import torch

        from cryoloom.numerics.align import overfitting as over
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.masks.soft import spherical_mask

        torch.set_num_threads(1)
        loaded = self._loaded(job)
        halves = self._halves(job, loaded)
        sizes = [size for size in self._asked() if size <= min(len(half) for half in halves)]
        if not sizes:
            raise Failure(
                "subset-sizes", f"All numbers exceed the {min(map(len, halves))} usable particles of a half.", "Give smaller ones."
            )
        box = min(self.new_size, loaded.box) if self.resize else loaded.box
        last = max(4, min(loaded.images.plane.last, round(self.max_frequency * box)))
        radius = loaded.mask_diameter / 2 / loaded.pixel_size
        maps = over.Maps(
            loaded.images.plane.within(last), box, loaded.box * loaded.pixel_size,
            spherical_mask(box, min(radius * box / loaded.box, box / 2 - 1), over.EDGE * box / loaded.box),
            point_group(self._symmetry), job.threads,
        )  # fmt: skip
        poses = over.Poses(*poses_of(loaded))
        kinds: dict[str, tuple[Any, ...]] = {"data": (loaded.images, poses, halves)}
        if self.shuffle:
            kinds["shuffled"] = (loaded.images, over.shuffled(poses, halves, job.seed), halves)
        if self._noise:
            kinds["noise"] = self._aligned_noise(job, loaded, halves, maps, sizes[-1])
        power = {"data": (total := loaded.images.total_power()), "shuffled": total, "noise": over.white(loaded.images)}

        def start() -> dict[str, Any]:
            return {"repeat": 0} | {name: np.empty((0, len(sizes), maps.plane.last + 1)) for name in kinds}

        def step(state: dict[str, Any]) -> dict[str, Any]:
            repeat = state["repeat"]
            new: dict[str, Any] = {"repeat": repeat + 1}
            for number, (name, (images, placed, rows)) in enumerate(kinds.items()):
                job.progress(repeat + number / len(kinds), self.repeats, f"repeat {repeat + 1}, {name}")
                orders = over.orders_of(rows, job.seed, repeat, sizes[-1])
                found = maps.curves(images, power[name], placed, orders, sizes)
                new[name] = np.concatenate([state[name], found[None]])
            return new

        state = job.iterate(start, step, done=lambda state: state["repeat"] >= self.repeats, name="repeats", total=self.repeats)
        available = {name: min(len(half) for half in rows) for name, (_, _, rows) in kinds.items()}
        found = {name: state[name] for name in kinds}
        return self._outputs(job, sizes, found, available, maps)

    @property
    def _noise(self) -> bool:
        return self.reference is not None if self.noise is None else self.noise

    @property
    def _symmetry(self) -> str:
        return self.symmetry or str(self.particles.meta.get("symmetry") or "C1")

    def _asked(self) -> list[int]:
        """Return the numbers asked for; raises ValueError for what are none."""
        asked = [int(word) for word in self.subset_sizes.replace(",", " ").split()]
        if not asked or asked[0] < 2 or any(after <= before for before, after in zip(asked, asked[1:], strict=False)):
            raise ValueError(self.subset_sizes)
        return asked

    def _smaller_half(self) -> int:
        rows = self.particles.enabled()
        if "half_set" in rows.columns and not rows["half_set"].null_count():
            return min(rows.filter(pl.col("half_set") == half).height for half in (1, 2))
        return rows.height // 2

    def _loaded(self, job: Job) -> Alignable:
        group = max(self.particles.optics, key=lambda one: one.get("box_size") or 0, default={})
        whole = float(group.get("box_size") or 0) * float(group.get("pixel_size") or 0) or 1e6
        asked = self.mask_diameter or self.particles.meta.get("mask_diameter")
        if asked is None and self.reference is not None:
            asked = self.reference.meta.get("mask_diameter")
        loaded = alignable(self.particles, float(asked or whole), transfer=self.transfer_function, seed=job.seed)
        for warning in loaded.warnings:
            job.warn(warning)
        return loaded

    def _halves(self, job: Job, loaded: Alignable) -> tuple[Any, Any]:
        """Return the rows of the images of each half of the refinement; halves at random where it had none."""
        import numpy as np

        rows = loaded.rows
        if "half_set" in rows.columns and not rows["half_set"].null_count():
            half = rows["half_set"].to_numpy()
            return np.flatnonzero(half == 1), np.flatnonzero(half == 2)
        job.warn(
            "The particles carry no halves: their poses come from one reference, and maps of any two parts share what that brought in."
        )
        half = halves_at_random(loaded, job.seed)
        return np.flatnonzero(half == 0), np.flatnonzero(half == 1)

    def _aligned_noise(
        self, job: Job, loaded: Alignable, halves: tuple[Any, Any], maps: "overfitting.Maps", most: int
    ) -> "tuple[Any, overfitting.Poses, tuple[Any, Any]]":
        """Return white noise in the place of some images of each half, its poses by alignment to the reference, and the rows of these images."""
        import numpy as np

        from cryoloom.numerics.align import overfitting as over

        assert self.reference is not None
        row = map_rows(self.reference).row(0, named=True)
        reference = on_grid(self.reference, str(row["volume_path"]), loaded, job.warn)
        # Beyond what the reference resolves it holds nothing that noise could take on.
        told = float(self.reference.meta.get("resolution") or 0.0)
        last = min(maps.plane.last, math.ceil(maps.extent / told)) if told else maps.plane.last
        gallery = over.Gallery.of(
            reference, loaded.box, last, loaded.mask_diameter / 2 / loaded.pixel_size, self.angular_step, SHIFTS * loaded.box, maps.group
        )
        rng = np.random.default_rng([job.seed, 3])
        first, second = (np.sort(rng.permutation(half)[:most]) for half in halves)
        rows, images = np.concatenate([first, second]), over.noise_images(loaded.images, job.seed)

        def start() -> dict[str, Any]:
            count = len(loaded.images)
            return {"done": 0, "rotations": np.tile(np.eye(3), (count, 1, 1)), "shifts": np.zeros((count, 2))}

        def step(state: dict[str, Any]) -> dict[str, Any]:
            some = rows[state["done"] : state["done"] + BLOCK]
            job.progress(state["done"], len(rows), "noise aligned to the reference")
            placed = gallery.best_poses(images, some, job.threads)
            rotations, shifts = state["rotations"].copy(), state["shifts"].copy()
            rotations[some], shifts[some] = placed.rotations, placed.shifts
            return {"done": state["done"] + len(some), "rotations": rotations, "shifts": shifts}

        state = job.iterate(start, step, done=lambda state: state["done"] >= len(rows), name="noise", total=math.ceil(len(rows) / BLOCK))
        return images, over.Poses(state["rotations"], state["shifts"]), (first, second)

    def _outputs(self, job: Job, sizes: list[int], found: dict[str, Any], available: dict[str, int], maps: "overfitting.Maps") -> Validated:
        import numpy as np

        from cryoloom.numerics.fsc import growth

        levels = (HALF, GOLD)
        resolutions = {
            name: np.array([[[maps.resolution(curve, level) for curve in repeat] for repeat in curves] for level in levels])
            for name, curves in found.items()
        }
        measured = {
            name: growth.Measured.of(np.array(sizes), values[0], available[name], maps.finest, maps.extent)
            for name, values in resolutions.items()
        }
        data = measured["data"]
        table: dict[str, Any] = {"id": sizes, "subset_size": sizes}
        for name, one in measured.items():
            prefix = "" if name == "data" else f"{name}_"
            table |= {
                f"{prefix}resolution": resolutions[name][0].mean(axis=0),
                f"{prefix}inverse_square": one.mean,
                f"{prefix}inverse_square_spread": one.spread,
            }
        table["resolution_spread"] = 0.5 * data.mean**-1.5 * data.spread
        table["resolution_gold"] = resolutions["data"][1].mean(axis=0)
        meta: dict[str, Any] = {"finest": maps.finest, "repeats": self.repeats, "symmetry": maps.group.name, "verdict": "no noise bound"}
        if "noise" in measured:
            table["separation"] = growth.separation(data, measured["noise"])
            meta["verdict"] = growth.verdict(data, measured["noise"])
        meta |= self._foretold(data, found["data"][:, -1], maps)
        self._warn(job, meta, data)
        return Validated(ResolutionCurve(pl.DataFrame(table), job.root, meta=meta))

    def _foretold(self, data: "Measured", last: Any, maps: "overfitting.Maps") -> dict[str, Any]:
        """Return the line through the data, and what more particles will give by the curves ``(repeats, shells)`` of the most there are."""
        import numpy as np

        from cryoloom.numerics.fsc.growth import fitted, level_for

        most = data.counts[-1]
        mean = last.mean(axis=0)
        foretold = np.array([maps.resolution(mean, level_for(times)) for times in TIMES])
        # One over the square moves by as much as it does now.
        margin = 2.0 * data.spread[-1]
        best, worst = (np.maximum(1.0 / np.sqrt(np.maximum(foretold**-2.0 + sign * margin, 1e-9)), maps.finest) for sign in (1, -1))
        told: dict[str, Any] = {
            "more": [round(times * most) for times in TIMES], "foretold": foretold.tolist(),
            "foretold_best": best.tolist(), "foretold_worst": worst.tolist(),
        }  # fmt: skip
        line = fitted(data)
        if line is None or line.slope <= 0:
            return told
        value, band = line.at(np.array([most, *told["more"]]))
        needed = None if data.saturated[-1] else line.needed(0.9 / np.sqrt(data.mean[-1]))
        return told | {
            "intercept": line.intercept, "slope": line.slope, "covariance": line.covariance.tolist(), "b_factor": line.b_factor,
            "line": value.tolist(), "band": band.tolist(), "needed": needed,
        }  # fmt: skip

    def _warn(self, job: Job, meta: Mapping[str, Any], data: "Measured") -> None:
        if meta["verdict"] == "not distinguishable":
            job.warn(
                "Maps of these particles agree no better than maps of as much noise aligned to the reference: alignment alone may have made the map. "
                "Refine from another first map, at a coarser start, and look at the 2D classes."
            )
        if data.saturated[-1]:
            job.warn(
                f"The curve reaches the finest detail these maps can show, {meta['finest']:.2f} Å: use smaller pixels or a larger box."
            )

    def summary(self, out: Validated) -> Mapping[str, Any]:
        items, meta = out.curve.items, out.curve.meta
        last = items.row(-1, named=True)
        told: dict[str, Any] = {
            "verdict": meta["verdict"],
            f"resolution of {last['subset_size']} (Å, FSC 0.5)": round(last["resolution"], 2),
        }
        if "separation" in items.columns:
            told[f"above noise at {last['subset_size']} (σ)"] = round(last["separation"], 1)
        told["of twice the particles (Å)"] = round(meta["foretold"][TIMES.index(2)], 2)
        if meta.get("b_factor"):
            told["B-factor of the line (Å²)"] = round(meta["b_factor"])
        return told

    def methods(self, out: Validated) -> str:
        items, meta = out.curve.items, out.curve.meta
        noise = {
            "above noise": ", above that of noise aligned to the map",
            "not distinguishable": ", no better than noise aligned to the map",
        }
        return (
            f"Pairs of maps of {items['subset_size'][0]} to {items['subset_size'][-1]} particles each, {meta['repeats']} of each number, agreed to "
            f"{items['resolution'][0]:.1f} to {items['resolution'][-1]:.2f} Å (FSC 0.5){noise.get(meta['verdict'], '')}."
        )

    def report(self, out: Validated) -> list[Panel]:
        return growth_panels(out.curve)
