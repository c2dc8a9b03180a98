"""initial.swarm: one first map from several."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Classes3D, Mask, Particles, Volume, symmetry_hints
from cryoloom.data.alignment import MaskDiameter, ShiftRange, TransferFunction, ZeroMask
from cryoloom.formats.alignment import Alignable, alignable, map_rows, mask_on_grid, on_grid
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.panels import AngularDistribution, ImageGrid, LinePlot, MapSlices, Series, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    from cryoloom.numerics.align.swarm import Plan, State

LEAST = 100
"""Particles without which members are neither rebuilt nor judged."""
MOST_POLISHED = 4000
"""Particles that rebuild the result: enough for a first map, and its time stays bounded."""
UNFIT = 0.8
"""Correlation with its own symmetrised copy below which the best volume is said not to have the symmetry."""


@dataclass(frozen=True)
class SwarmMaps(Outputs):
    volume: Volume
    members: Volume


class SwarmConsensus(
    Protocol,
    id="initial.swarm",
    outputs=SwarmMaps,
    cite=("10.1109/ICNN.1995.488968", "10.1109/4235.985692", "10.1016/j.jmb.2011.11.010"),
    aliases=("XmippProtReconstructSwarm",),
):
    """Make one first map of several: they are rebuilt from random particles, judged by others, and drawn to the best.

    A second method sees through the false optimum of the first. Volumes may lie in any frame; the result lies in that of the one that explains the
    particles best at the start, and has its hand. One volume alone is improved by the particles, with nothing to agree with.
    """

    particles: Particles = Input("Particles", help="Bright particles with their CTF, cleaned by 2D classification.")
    volumes: tuple[Volume | Classes3D, ...] = Input(
        "Volumes", many=True, aliases=("inputVolumes",),
        help="First maps of different methods, or of different beginnings; repeat the flag, or give one set of several. Box and pixel size are matched.",
    )  # fmt: skip
    mask: Mask | None = Input(
        "Mask",
        optional=True,
        aliases=("nextMask",),
        help="Soft mask laid on every volume. It must not cut the particle; without one, a sphere.",
    )
    mask_diameter: MaskDiameter
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group that the volumes have, on RELION's axes: Cn, Dn, T, O, I1 to I4. Imposed on every volume; a wrong one spoils them all.",
    )  # fmt: skip
    hands: Literal["refuse", "flip"] = Param(
        "Opposite hands", "refuse",
        help="Particles do not tell a hand, so methods find either. refuse stops and names the volumes that fit the best one only as mirror images; flip "
        "mirrors these. Averaged as they are, they would spoil each other.",
    )  # fmt: skip
    transfer_function: TransferFunction
    zero_mask: ZeroMask
    iterations: int = Param(
        "Iterations", 15, ge=1, le=200, advanced=True, aliases=("numberOfIterations",),
        help="The fitness says whether more would help; after five or so volumes that can be reconciled are.",
    )  # fmt: skip
    resolution: Angstrom = Param(
        "Target resolution", 12.0, ge=6, le=60, advanced=True, aliases=("targetResolution",),
        help="Finer detail is ignored. A first map needs none, and finer takes longer and follows noise.",
    )  # fmt: skip
    min_angle: Degrees = Param(
        "Smallest angular step", 10.0, ge=3, le=30, advanced=True, aliases=("minAngle",),
        help="Of the directions tried first, 14.7, 7.3 or 3.7 degrees, whichever is not below this; the best are improved continuously. Smaller takes "
        "eight times as long for each half.",
    )  # fmt: skip
    train: int = Param(
        "Particles to rebuild", 500, ge=20, le=100000, advanced=True, aliases=("NimgTrain",),
        help="Drawn anew for every volume and iteration, half of those there are at most. Fewer shake volumes out of false optima; more follow less noise.",
    )  # fmt: skip
    test: int = Param(
        "Particles to judge", 100, ge=20, le=10000, advanced=True, aliases=("NimgTest",),
        help="Drawn anew for every iteration from five times as many, a quarter of all at most, that no volume is rebuilt from. Fewer confuse luck and "
        "merit.",
    )  # fmt: skip
    rules: Literal["robust", "published"] = Param(
        "Rules", "robust", advanced=True,
        help="published: velocities keep all of themselves and are drawn twice as strongly, volumes are replaced, judged by correlation without CTF and "
        "denoised by significance, and the result is the plain mean. Volumes that follow noise can then win.",
    )  # fmt: skip
    step: float = Param(
        "Gradient step", 0.5, gt=0, le=1, advanced=True, when="rules=robust",
        help="How far a volume goes towards the reconstruction of its draw: 1 replaces it, 0.5 remembers three draws. Small steps take more iterations.",
    )  # fmt: skip
    positive: bool = Param(
        "Positive density",
        True,
        advanced=True,
        help="Nothing negative stays in the volumes. Off for particles lighter than what is around them in places, such as lipid in a micelle.",
    )
    polish: bool = Param(
        "Align all to the result", True, advanced=True, when="rules=robust",
        help=f"Rebuild the swarm's map from all particles that do not judge, {MOST_POLISHED} at most, as long as those that judge find it better, three "
        "times at most. Off, the map is the mean of the volumes' bests, of few particles each.",
    )  # fmt: skip
    shift_range: ShiftRange

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        count, maps = self.particles.enabled().height, sum(map(len, self.volumes))
        if count < LEAST:
            yield Hint("particles", f"are {count}; {LEAST} or more are needed")
        elif self.train > count // 2:
            yield Hint(
                "train", f"is {self.train} of {count} particles; half of those that do not judge are taken", fix=count // 2, error=False
            )
        if not maps:
            yield Hint("volumes", "are none: give two or more")
        elif maps == 1:
            yield Hint("volumes", "is one map: the particles improve it, but there is nothing for it to agree with", error=False)

    def run(self, job: Job) -> SwarmMaps:
        import torch

        from cryoloom.numerics.align import swarm

        torch.set_num_threads(1)
        loaded = alignable(
            self.particles, self.mask_diameter, finest=self.resolution, least=LEAST, transfer=self.transfer_function, zero_mask=self.zero_mask,
            seed=job.seed,
        )  # fmt: skip
        for warning in loaded.warnings:
            job.warn(warning)
        plan = self._plan(job, loaded)

        def step(state: "State") -> "State":
            number = state["iteration"] + 1
            new = swarm.iterate(plan, state, lambda part, doing: job.progress(part, 1.0, f"iteration {number}: {doing}"))
            job.note(iteration=number, fitness=max(new["history"][-1]["best"]), best_resolution=min(new["history"][-1]["resolution"]))
            return new

        state = job.iterate(
            lambda: self._begun(job, loaded, plan), step, done=lambda state: state["iteration"] >= self.iterations, name="swarm",
            total=self.iterations,
        )  # fmt: skip
        first = state["history"][0]
        for number in swarm.far_worse(first["fitness"], first["error"]):
            job.warn(
                f"Volume {number + 1} explained the particles far worse than the best at the start: look at it before believing its method."
            )
        if not self.polish or self.rules == "published":
            return self._outputs(job, loaded, plan, state, swarm.consensus(plan, state))

        def again(found: "State") -> "State":
            job.progress(found["round"], swarm.ROUNDS, "aligning all to the result")
            return swarm.settle(plan, found, MOST_POLISHED)

        settled = job.iterate(
            lambda: swarm.consensus(plan, state), again, done=lambda found: found["settled"], name="polish", total=swarm.ROUNDS
        )
        return self._outputs(job, loaded, plan, state, settled)

    def _plan(self, job: Job, loaded: Alignable) -> "Plan":
        import numpy as np
        import torch

        from cryoloom.numerics.align.swarm import PUBLISHED, Plan, Rules
        from cryoloom.numerics.align.swarm_scores import Projecting
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.geometry.symmetry import point_group

        projecting = Projecting(
            loaded.images, loaded.mask_diameter / 2 / loaded.pixel_size, int(np.clip(np.floor(np.log2(58.6 / self.min_angle)), 1, 4)),
            None if self.shift_range is None else self.shift_range / loaded.pixel_size, point_group(self.symmetry), job.threads,
        )  # fmt: skip
        rules = PUBLISHED if self.rules == "published" else Rules(step=self.step)
        plan = Plan(projecting, loaded.pixel_size, job.seed, self.train, self.test, rules, self.positive)
        mask = mask_on_grid(self.mask, loaded, job.warn)
        if mask is None:
            return plan
        return plan.masked(np.clip(resample_volume(torch.from_numpy(mask), plan.box).numpy(), 0.0, 1.0))

    def _begun(self, job: Job, loaded: Alignable, plan: "Plan") -> "State":
        """Return the swarm before its first iteration, the volumes laid on the best of them."""
        import numpy as np
        import torch

        from cryoloom.numerics.align import swarm
        from cryoloom.numerics.align.axes import agreement
        from cryoloom.numerics.align.swarm_maps import clearly_opposite
        from cryoloom.numerics.fourier.transforms import resample_volume

        maps = [resample_volume(torch.from_numpy(on_grid(*place, loaded, job.warn)), plan.box).numpy() for place in self._places()]
        try:
            laid = swarm.laid_on_best(plan, np.stack(maps))
        except ValueError as problem:
            raise Failure("volume-unfit", f"{problem}.", "Check that the volume and the particles show the same contrast.") from problem
        mirrored = {number + 1: move for number, (_, move) in sorted(laid.moves.items()) if move.mirrored}
        best = laid.best + 1
        opposite = {number + 1: laid.moves[number][1] for number in clearly_opposite(laid.moves)}
        if opposite and self.hands == "refuse":
            fits = "; ".join(
                f"{number} (correlation {move.correlation:.2f}, otherwise {move.other_hand:.2f})" for number, move in opposite.items()
            )
            raise Failure(
                "hands-opposite",
                f"Volume {best} explains the particles best; others fit it, or each other, only as mirror images: volume {fits}.",
                "Flip their hand with volumes.flip_hand, or set hands to flip.",
            )
        for number in mirrored:
            how = "has the opposite hand of" if number in opposite else "hardly tells its hand but fits better mirrored on"
            job.warn(f"Volume {number} {how} volume {best}, and is mirrored.")
        group = plan.projecting.group
        if group.order > 1 and (alike := agreement(laid.free, plan.voxel, loaded.mask_diameter / 2, group)) < UNFIT:
            job.warn(
                f"Volume {best}, the best of them, hardly has the symmetry {group.name} (correlation {alike:.2f} with its symmetrised copy): lay it on "
                "the axes of its group, or try a smaller group."
            )
        return swarm.begin(plan, laid)

    def _places(self) -> list[tuple[Volume | Classes3D, str]]:
        """Return the set and the path of every volume."""
        return [(each, path) for each in self.volumes for path in map_rows(each)["volume_path"]]

    def _outputs(self, job: Job, loaded: Alignable, plan: "Plan", state: "State", found: "State") -> SwarmMaps:
        import numpy as np
        import torch

        from cryoloom.numerics.align import swarm
        from cryoloom.numerics.fourier.transforms import resample_volume
        from cryoloom.numerics.fsc.shells import resolution_at
        from cryoloom.numerics.geometry.euler import matrix_to_euler

        def written(name: str, volume: Any) -> str:
            path = job.output(name)
            full = resample_volume(torch.from_numpy(np.ascontiguousarray(volume, np.float32)), loaded.box).numpy()
            write_mrc(path, np.ascontiguousarray(full), loaded.pixel_size, volume=True)
            return path.relative_to(job.root).as_posix()

        count, first = len(state["bests"]), state["history"][0]
        scores = found["scores"].mean(axis=1)
        errors = found["scores"].std(axis=1) / np.sqrt(found["scores"].shape[1])
        rot, tilt, _ = matrix_to_euler(found["rotations"])
        table = pl.DataFrame(
            {
                "id": np.arange(1, count + 1),
                "volume_path": [written(f"member{k + 1:03d}.mrc", state["bests"][k].mean(axis=0)) for k in range(count)],
                "start_path": [written(f"member{k + 1:03d}_start.mrc", state["starts"][k]) for k in range(count)],
                "source_path": [path for _, path in self._places()],
                "box_size": [loaded.box] * count,
                "fitness": scores[:count],
                "fitness_error": errors[:count],
                "fitness_at_start": first["fitness"],
                "best_iteration": state["best_iterations"],
                "within": found["within"],
            }
        )
        meta = {
            "pixel_size": loaded.pixel_size,
            "box_size": loaded.box,
            "mask_diameter": loaded.mask_diameter,
            "symmetry": plan.projecting.group.name,
        }
        told = {
            "iterations": state["history"],
            "fitness": float(scores[-1]),
            "fitness_error": float(errors[-1]),
            "fsc": found["fsc"].tolist(),
            "resolution": float(resolution_at(found["fsc"], 0.143, loaded.box, loaded.pixel_size)),
            "views": {"rot": rot.round(1).tolist(), "tilt": tilt.round(1).tolist()},
            "wrong": [number + 1 for number in swarm.far_worse(first["fitness"], first["error"])],
        }
        items = pl.DataFrame({"id": [1], "volume_path": [written("volume.mrc", found["halves"].mean(axis=0))], "box_size": [loaded.box]})
        return SwarmMaps(Volume(items, job.root, meta=meta | told), Volume(table, job.root, meta=meta))

    def summary(self, out: SwarmMaps) -> Mapping[str, Any]:
        meta, table = out.volume.meta, out.members.items
        last = meta["iterations"][-1]["correlation"]
        pairs = [last[i][j] for i, j in combinations(range(len(last)), 2)]
        told = {
            "agreement of halves to (Å)": round(meta["resolution"], 1) if any(meta["fsc"]) else "none, no volume became better",
            "volumes in the result": f"{table['within'].sum()} of {table.height}",
            "fitness of the result": f"{meta['fitness']:.2f} ± {meta['fitness_error']:.2f}",
            "fitness of the best volume at the start": f"{max(table['fitness_at_start']):.2f}",
            "far worse at the start": ", ".join(map(str, meta["wrong"])) or "none",
        }
        return told | ({"correlation of the volumes at the end": f"{min(pairs):.2f} to {max(pairs):.2f}"} if pairs else {})

    def methods(self, out: SwarmMaps) -> str:
        table = out.members.items
        how = f"{table.height} first maps were" if table.height > 1 else "A first map was"
        return (
            f"{how} reconciled by a particle swarm of {self.iterations} iterations in {self.symmetry} at up to {self.resolution:g} Å, within a mask of "
            f"{self.mask_diameter:g} Å: each map was rebuilt from up to {self.train} random particles in two halves and judged by {self.test} others."
        )

    def report(self, out: SwarmMaps) -> list[Panel]:
        meta, table, history = out.volume.meta, out.members.items, out.volume.meta["iterations"]
        numbers, members = list(range(len(history))), list(range(table.height))
        judged = "evidence a particle" if self.rules == "robust" else "correlation without CTF"
        middle = out.volume.items.item(0, "box_size") // 2
        cuts: dict[str, Callable[[Any], Any]] = {
            "z": lambda data: data[middle],
            "y": lambda data: data[:, middle],
            "x": lambda data: data[:, :, middle],
        }
        paths = [
            (f"volume {row['id']} {when}", row[f"{name}_path"])
            for row in table.iter_rows(named=True)
            for when, name in (("before", "start"), ("after", "volume"))
        ]
        maps = [(name, read_mrc(out.members.file(path)).data) for name, path in paths]
        labels = {
            "id": "volume", "source_path": "file", "fitness_at_start": "fitness at the start", "fitness": "fitness of its best", "fitness_error": "±",
            "best_iteration": "in iteration",
        }  # fmt: skip
        panels: list[Panel] = [
            MapSlices(title="Result", volume=read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data),
            TableView(
                title="Best by volume",
                columns={label: table[name].to_list() for name, label in labels.items()}
                | {"in the result": ["yes" if one else "" for one in table["within"]]},
                caption="The fitness of the bests is by all particles that judge. A best is in the result if it makes the mean of better ones fit better.",
            ),
            LinePlot(
                title="Fitness", x_label="iteration", y_label=judged,
                series=[
                    Series(f"volume {k + 1}", numbers, [each["fitness"][k] for each in history], [each["error"][k] for each in history]) for k in members
                ],
                caption="Of every volume as rebuilt, by the same particles for all, other ones each iteration; bars are standard errors.",
            ),
            ImageGrid(
                title="Volumes before and after", images=[cut(data) for _, data in maps for cut in cuts.values()], size=130,
                captions=[f"{name}, across {axis}" for name, _ in maps for axis in cuts], caption="Central slices, laid on the best volume.",
            ),
            LinePlot(
                title="Agreement of halves", x_label="resolution (Å)", y_label="correlation", resolution_axis=True, levels={"0.143": 0.143},
                series=[Series("halves", [shell / (meta["box_size"] * meta["pixel_size"]) for shell in range(len(meta["fsc"]))], meta["fsc"])],
                caption="The halves are made of and aligned to different particles, but began from the same volumes.",
            ),
        ]  # fmt: skip
        if len(members) > 1:
            panels.insert(
                3,
                LinePlot(
                    title="Do they converge?", x_label="iteration", y_label="correlation", y_range=(-0.05, 1.05),
                    series=[
                        Series(f"volumes {i + 1} and {j + 1}", numbers, [each["correlation"][i][j] for each in history])
                        for i, j in list(combinations(members, 2))[:10]
                    ],
                    caption="Of every two volumes inside the mask.",
                ),
            )  # fmt: skip
        if meta["views"]["rot"]:
            caption = f"Of the particles, {MOST_POLISHED} at most, that the result is made of."
            panels.append(AngularDistribution(title="Viewing directions", **meta["views"], caption=caption))
        return panels
