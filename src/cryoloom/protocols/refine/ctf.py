"""refine.ctf: defocus of single particles, astigmatism and beam tilt, from particles whose map is known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Mask, Particles, Volume
from cryoloom.data.alignment import MaskDiameter
from cryoloom.formats.alignment import DEFOCUS, POSE, Alignable, alignable, mask_on_grid, on_grid, places_of, poses_of
from cryoloom.report.defocus import defocus_over_micrographs
from cryoloom.report.panels import Histogram, ImageGrid, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.align.ctf_refinement import State, Task

SHOWN = 6
"""Micrographs whose particles are drawn."""
FEW_EACH = 8
"""Particles a micrograph below which its astigmatism, or its plane, is hardly its own."""
HALVES = ("half_map1_path", "half_map2_path")


@dataclass(frozen=True)
class Refined(Outputs):
    particles: Particles


class RefineCTF(
    Protocol,
    id="refine.ctf",
    outputs=Refined,
    cite=("10.7554/eLife.42166", "10.1107/S2052252520000081"),
    aliases=("ProtRelionCtfRefinement",),
):
    """Refine the defocus of every particle, the astigmatism of micrographs and the beam tilt of optics groups against half maps of the particles.

    Poses stay. A particle is compared with the map of the half set that it is not in. Where it says little by itself, the plane that its
    micrograph's particles lie on decides. Later steps use what is found here.
    """

    particles: Particles = Input(
        "Particles", help="Bright particles with poses and half sets, as refine.auto gives them.", aliases=("inputParticles",)
    )
    volume: Volume = Input(
        "Map",
        help="Their map with its half maps. The finer it is, the better the defocus is told.",
        aliases=("inputPostprocess", "inputVolume"),
    )
    mask: Mask | None = Input(
        "Mask", optional=True, help="Soft mask on the half maps; without, a sphere of the mask diameter. Noise of the solvent says nothing."
    )
    mask_diameter: MaskDiameter
    defocus: Literal["particle", "micrograph", "none"] = Param(
        "Defocus", "particle", aliases=("defocusFit",),
        help="particle: of each, held together by the plane of its micrograph. micrograph: one change for all its particles. none: as it is.",
    )  # fmt: skip
    astigmatism: bool = Param(
        "Astigmatism", True, aliases=("doAstigmatism",),
        help="Of every micrograph. Changes no larger than their errors are drawn to none.",
    )  # fmt: skip
    beam_tilt: bool = Param(
        "Beam tilt", True, aliases=("doBeamtiltEstimation",),
        help="Of every optics group; it must be one acquisition, or what differs is averaged. Only a tilt that the images surely show is taken.",
    )  # fmt: skip
    defocus_range: Angstrom = Param(
        "Range", 2000.0, gt=0, le=20000, aliases=("defocus_search_range",),
        help="How far the defocus is sought on either side: half of what a tilted specimen rises over a micrograph, and more. Too far finds wrong waves.",
    )  # fmt: skip
    coarsest: Angstrom = Param(
        "Coarsest detail", 30.0, gt=0, advanced=True, aliases=("minResolution",),
        help="Å; coarser detail is not compared: it says nothing of the defocus, and solvent disturbs it.",
    )  # fmt: skip
    finest: Angstrom | None = Param(
        "Finest detail", None, gt=0, advanced=True,
        help="Å; empty takes what the half maps agree on. Finer would compare noise, so it is never exceeded.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        columns = self.particles.items.columns
        if missing := [name for name in (*POSE, "half_set") if name not in columns]:
            yield Hint("particles", f"carry no {', '.join(missing)}: refine them first (refine.auto)")
        if missing := [name for name in DEFOCUS if name not in columns]:
            yield Hint("particles", f"carry no {', '.join(missing)}: there is nothing to refine")
        changed = [
            group["optics_group_name"] for group in self.particles.optics if group.get("phase_flipped") or group.get("ctf_premultiplied")
        ]
        if changed:
            yield Hint(
                "particles", f"of {', '.join(changed)} are corrected for their old CTF already: extract them without flipping phases"
            )
        if any(
            not self.volume.items[name].null_count() < len(self.volume) if name in self.volume.items.columns else True for name in HALVES
        ):
            yield Hint("volume", "has no half maps: give the map of a refinement")
        if self.defocus == "none" and not self.astigmatism and not self.beam_tilt:
            yield Hint("defocus", "is none, and neither astigmatism nor beam tilt is to be refined", fix="particle")
        if self.finest is not None and self.finest >= self.coarsest:
            yield Hint("finest", f"{self.finest:g} Å is no finer than {self.coarsest:g} Å, the coarsest detail")
        halves = self.volume.meta.get("halves"), self.particles.meta.get("halves")
        if all(halves) and halves[0] != halves[1]:
            yield Hint("volume", "is not of these particles' half sets: particles meet their own noise in the maps", error=False)

    def run(self, job: Job) -> Refined:
        import torch

        from cryoloom.numerics.align import ctf_refinement

        torch.set_num_threads(1)
        loaded = alignable(self.particles, self.mask_diameter, finest=self.finest)
        for warning in loaded.warnings:
            job.warn(warning)
        task = self._task(job, loaded)

        def step(state: "State") -> "State":
            try:
                return ctf_refinement.step(task, state, lambda part, doing: job.progress(part, 1.0, doing))
            except ValueError as problem:
                raise Failure("particles-unlike", f"{problem}.", "Give the map that these particles were refined to.") from problem

        state = job.iterate(
            lambda: ctf_refinement.begin(task), step, done=lambda state: state["finished"], name="refine", total=len(task.steps)
        )
        return self._outputs(job, loaded, task, state)

    def _task(self, job: Job, loaded: Alignable) -> "Task":
        import numpy as np

        from cryoloom.numerics.align.ctf_refinement import Task
        from cryoloom.numerics.align.half_references import HalfReferences
        from cryoloom.numerics.masks.soft import spherical_mask

        rows, box, size = loaded.rows, loaded.box, loaded.pixel_size
        rotations, shifts = poses_of(loaded)
        half = rows["half_set"].to_numpy() if not rows["half_set"].null_count() else np.zeros(1)
        if not set(np.unique(half)) <= {1, 2}:
            raise Failure("half-sets", "The column half_set must hold 1 or 2 for every particle.", "Refine them first (refine.auto).")
        row = self.volume.items.row(0, named=True)
        first, second = (on_grid(self.volume, str(row[name]), loaded, job.warn) for name in HALVES)
        if np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99999:
            raise Failure("half-maps-same", "The two half maps are the same map.", "Give the map of a refinement in two halves.")
        mask = mask_on_grid(self.mask, loaded, job.warn)
        if mask is None:
            mask = spherical_mask(box, loaded.mask_diameter / 2 / size, 5.0)
        references = HalfReferences.of((first, second), mask, last=loaded.images.plane.last, seed=job.seed)
        coarse = max(int(np.ceil(box * size / self.coarsest)), 1)
        if references.last < coarse + 3:
            raise Failure(
                "halves-agree-little",
                f"The half maps agree to {box * size / max(references.last, 1):.1f} Å, hardly beyond the coarsest detail, {self.coarsest:g} Å.",
                "Refine the particles first; defocus is told from 10 Å on.",
            )
        u, v, angle = (rows[name].cast(pl.Float64).to_numpy() for name in DEFOCUS)
        plate = rows["phase_shift"].fill_null(0.0).cast(pl.Float64).to_numpy() if "phase_shift" in rows.columns else np.zeros(len(u))
        half_astigmatism, twice = 0.5 * (u - v), 2 * np.deg2rad(angle)
        start = np.stack([0.5 * (u + v), half_astigmatism * np.cos(twice), half_astigmatism * np.sin(twice)], axis=1)
        unit = np.unique(np.stack([rows["micrograph_id"].fill_null(-1).to_numpy(), loaded.images.group]), axis=1, return_inverse=True)[1]
        if self.defocus == "particle" and np.median(np.bincount(unit.ravel())) < FEW_EACH:
            job.warn(
                f"Micrographs have {np.median(np.bincount(unit.ravel())):.0f} particles: too few to tell its plane, or its astigmatism, from noise."
            )
        return Task(
            loaded.images, half.astype(np.int64) - 1, rotations, shifts, size, references, unit.ravel().astype(np.int64), start,
            np.deg2rad(plate), coarse, places_of(rows), self.defocus_range, self.defocus, self.astigmatism, self.beam_tilt,
            job.threads, job.blocks,
        )  # fmt: skip

    def _outputs(self, job: Job, loaded: Alignable, task: "Task", state: "State") -> Refined:
        import numpy as np

        from cryoloom.numerics.align.tilt_picture import phase_picture
        from cryoloom.numerics.ctf.aberration import coma

        rows, ctf, errors = loaded.rows, state["ctf"], state["defocus_error"]
        size = np.hypot(ctf[:, 1], ctf[:, 2])
        columns: dict[str, Any] = {"id": rows["id"]}
        if self.defocus != "none" or self.astigmatism:
            columns |= {
                "defocus_u": ctf[:, 0] + size, "defocus_v": ctf[:, 0] - size,
                "defocus_angle": 0.5 * np.rad2deg(np.arctan2(ctf[:, 2], ctf[:, 1])), "astigmatism": 2 * size,
                "defocus_change": ctf[:, 0] - task.start[:, 0],
            }  # fmt: skip
        if self.defocus != "none":
            columns["defocus_error"] = errors
        if self.defocus == "particle":
            columns["defocus_height"] = ctf[:, 0] - task.start[:, 0] - state["trend"]
        if state["tilt"].any():
            columns |= {f"origin_{axis}": state["shifts"][:, number] * task.pixel_size for number, axis in enumerate("xy")}
        present = [group for group in self.particles.optics if group["optics_group"] in set(rows["optics_group"])]
        told, optics = [], [dict(group) for group in self.particles.optics]
        for number, group in enumerate(present if self.beam_tilt else ()):
            before, tilt = loaded.images.transfers.optics[number].beam_tilt, state["tilt"][number]
            now = [float(before[axis] + tilt[axis]) for axis in range(2)]
            if tilt.any():
                mine = next(each for each in optics if each["optics_group"] == group["optics_group"])
                mine |= {"beam_tilt_x": now[0], "beam_tilt_y": now[1]}
            waves = task.waves(number)
            fitted = np.exp(-1j * (tilt @ coma(waves.x, waves.y, voltage=waves.voltage, cs=waves.cs))) * np.abs(state["tilt_cross"][number])
            pictures = [phase_picture(task.plane, each).round(2).tolist() for each in (state["tilt_cross"][number], fitted)]
            told.append(
                {
                    "group": group["optics_group_name"], "before": list(before), "tilt": now, "error": state["tilt_error"][number].tolist(),
                    "gain": float(state["tilt_gain"][number]), "measured": pictures[0], "fitted": pictures[1],
                }
            )  # fmt: skip
        names = rows["micrograph_name"] if "micrograph_name" in rows.columns else rows["micrograph_id"].cast(pl.String)
        planes = {
            "micrograph": [str(names[int(each[0])]) for each in task.units], "particles": [len(each) for each in task.units],
            "offset": state["planes"][:, 0].round(2).tolist(), "slope_x": state["planes"][:, 1].round(5).tolist(),
            "slope_y": state["planes"][:, 2].round(5).tolist(),
        }  # fmt: skip
        found = {
            "spread": float(state["spread"]),
            "beam_tilts": told,
            "planes": planes,
            "finest": task.plane.box * task.pixel_size / task.references.last,
        }
        edge = float(np.mean(np.abs(ctf[:, 0] - task.start[:, 0]) > 0.95 * self.defocus_range))
        if edge > 0.02:
            job.warn(f"{edge:.0%} of the particles lie at the end of the range of {self.defocus_range:g} Å: seek farther.")
        particles = self.particles.with_columns(pl.DataFrame(columns), optics=optics, ctf_refinement=found)
        return Refined(particles.disable(loaded.left_out) if loaded.left_out else particles)

    def summary(self, out: Refined) -> Mapping[str, Any]:
        import numpy as np

        poses, found = out.particles.enabled(), out.particles.meta["ctf_refinement"]
        told: dict[str, Any] = {"particles": poses.height, "compared to (Å)": round(found["finest"], 2)}
        if "defocus_change" in poses.columns:
            told["median change of defocus (Å)"] = round(float(np.median(np.abs(poses["defocus_change"].to_numpy()))), 1)
        if self.defocus != "none":
            told["median standard error (Å)"] = round(float(np.median(poses["defocus_error"].to_numpy())), 1)
        if self.defocus == "particle":
            told["heights about the planes (Å)"] = round(found["spread"], 0)
            told["median tilt (°)"] = round(_median_tilt(found["planes"]), 1)
        for each in found["beam_tilts"]:
            taken = f"{each['tilt'][0]:.2f}, {each['tilt'][1]:.2f} ± {max(each['error']):.2f}" if each["gain"] else "none that is sure"
            told[f"beam tilt of {each['group']} (mrad)"] = taken
        return told

    def methods(self, out: Refined) -> str:
        found = out.particles.meta["ctf_refinement"]
        parts = [
            *(["the defocus of every " + self.defocus] if self.defocus != "none" else []),
            *(["the astigmatism of every micrograph"] if self.astigmatism else []),
            *(["the beam tilt of every optics group"] if self.beam_tilt else []),
        ]
        prior = ", under a prior of a plane a micrograph learned from the set" if self.defocus == "particle" else ""
        return (
            f"From {out.particles.enabled().height} particles at their refined poses {' and '.join(parts)} were refined against the half map of the "
            f"other half set, weighted by the FSC, between {self.coarsest:g} and {found['finest']:.1f} Å{prior}."
        )

    def report(self, out: Refined) -> list[Panel]:
        poses, found = out.particles.enabled(), out.particles.meta["ctf_refinement"]
        panels: list[Panel] = []
        if "defocus_change" in poses.columns and (places := places_of(poses)) is not None:
            panels.append(self._map(poses, places))
        if "defocus_change" in poses.columns:
            panels.append(
                Histogram(
                    title="Change of the defocus", values=poses["defocus_change"].to_list(), label="change of defocus (Å)", bins=40,
                    caption="Of every particle, against the one that it came with; wider than ice is thick, and noise was followed.",
                )
            )  # fmt: skip
        if self.defocus == "particle":
            panels += [
                Histogram(
                    title="Heights about the planes", values=poses["defocus_height"].to_list(), label="height above the plane (Å)", bins=40,
                    caption="Of the particles in their ice, about the plane of their micrograph. The less an image tells, the nearer it is put; the "
                    f"true spread is {found['spread']:.0f} Å.",
                ),
                Histogram(
                    title="Standard errors", values=poses["defocus_error"].to_list(), label="standard error of the defocus (Å)", bins=40,
                    caption="What an image alone leaves open. Where this is more than the spread, the planes tell nearly all.",
                ),
            ]  # fmt: skip
        for each in found["beam_tilts"]:
            panels.append(
                ImageGrid(
                    title=f"Phases of {each['group']}", images=[each["measured"], each["fitted"]], size=170,
                    captions=["measured", "fitted" if any(each["tilt"]) else "fitted: none"],
                    caption="Phase between images and projections over frequency, noise where it is not told; a tilted beam bends it. The rim is at "
                    f"{found['finest']:.1f} Å.",
                )
            )  # fmt: skip
        if found["beam_tilts"]:
            tilts = found["beam_tilts"]
            panels.append(
                TableView(
                    title="Beam tilt",
                    columns={
                        "optics group": [each["group"] for each in tilts],
                        **{f"{axis} before (mrad)": [each["before"][number] for each in tilts] for number, axis in enumerate("xy")},
                        **{f"{axis} (mrad)": [each["tilt"][number] for each in tilts] for number, axis in enumerate("xy")},
                        **{f"± {axis}": [each["error"][number] for each in tilts] for number, axis in enumerate("xy")},
                        "log-likelihood gained": [each["gain"] for each in tilts],
                    },
                    caption="A tilt that gains less than 12 in log-likelihood is not taken.",
                )
            )
        if self.defocus == "particle":
            planes = found["planes"]
            columns = {
                "micrograph": planes["micrograph"], "particles": planes["particles"], "offset (Å)": planes["offset"],
                "tilt (°)": [_tilt(x, y) for x, y in zip(planes["slope_x"], planes["slope_y"], strict=True)],
            }  # fmt: skip
            panels.append(
                TableView(title="Planes of the micrographs", columns=columns, caption="Against the defocus that particles came with.")
            )
        return panels

    def _map(self, poses: pl.DataFrame, places: Any) -> ImageGrid:
        """Return the change of the defocus over the micrographs of most particles."""
        import numpy as np

        which, count = np.unique(poses["micrograph_id"].to_numpy(), return_counts=True)
        shown = np.sort(which[np.argsort(-count, kind="stable")[:SHOWN]])
        members = [np.flatnonzero(poses["micrograph_id"].to_numpy() == each) for each in shown]
        names = poses["micrograph_name"] if "micrograph_name" in poses.columns else poses["micrograph_id"].cast(pl.String)
        change = poses["defocus_change"].to_numpy()
        return defocus_over_micrographs(
            [str(names[int(each[0])]) for each in members], [places[each] for each in members], [change[each] for each in members],
            title="Change of the defocus over micrographs", caption="One dot a particle, brighter farther from focus. A tilted specimen is a ramp.",
        )  # fmt: skip


def _tilt(slope_x: float, slope_y: float) -> float:
    import math

    return math.degrees(math.atan(math.hypot(slope_x, slope_y)))


def _median_tilt(planes: Mapping[str, list[float]]) -> float:
    from statistics import median

    return median(_tilt(x, y) for x, y in zip(planes["slope_x"], planes["slope_y"], strict=True))
