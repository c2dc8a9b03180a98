"""validate.map: whether a map can be believed, on one page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cryoloom.data import FSC, AtomicModel, Checks, Mask, Orientations, Particles, ResolutionCurve, Volume
from cryoloom.formats.alignment import SAME_PARTICLE, map_rows
from cryoloom.formats.map_sets import StoredMap, stored_map
from cryoloom.formats.mrc import read_mrc
from cryoloom.report import map_checks as said
from cryoloom.report.maps import map_panel
from cryoloom.report.panels import Histogram, LinePlot, Series
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol, WrongUse
from cryoloom.units import Angstrom

LEAST_DIRECTION = 10
"""Shells of agreement from which directions can be compared."""
COARSE = 12.0
"""Å, at the finest, at which frames, contrast and what a mask cuts are looked at."""
PART = 0.75
"""Of the box that a particle of unknown size takes."""


@dataclass(frozen=True)
class Checked(Outputs):
    checks: Checks
    fsc: FSC | None = None


class ValidateMap(
    Protocol,
    id="validate.map",
    outputs=Checked,
    cite=("10.1016/j.ultramic.2013.06.004", "10.1038/nmeth.4347"),
):
    """Check a map, its half maps and what else is known of it, and say of each check whether it is good, what it rests on, and what to try next.

    Everything is computed from the files again: nothing that an earlier run says of itself is taken over. Memory: some twelve maps.
    """

    volume: Volume = Input(
        "Map", aliases=("inputVolume",), help="With its unfiltered half maps: without them no resolution can be claimed for it."
    )
    mask: Mask | None = Input(
        "Mask", optional=True, aliases=("solventMask",),
        help="Under which its resolution is told. Without one the FSC is that of a sphere around the particle.",
    )  # fmt: skip
    particles: Particles | None = Input(
        "Particles", optional=True, aliases=("inputParticles",),
        help="Of which it was made, with their halves: particles in both are looked for.",
    )  # fmt: skip
    fsc: FSC | None = Input("Stored FSC", optional=True, help="Of refinement or post-processing: it is compared with that of the files.")
    local_resolution: Volume | None = Input(
        "Local resolution", optional=True, help="A map of Å: the median of the specimen is compared with the whole."
    )
    overfitting: ResolutionCurve | None = Input("Overfitting", optional=True, help="What validate.overfitting found of the same particles.")
    orientations: Orientations | None = Input("Orientations", optional=True, help="What validate.orientation found of the same particles.")
    model: AtomicModel | None = Input(
        "Atomic model", optional=True, help="As model.fit laid it in this map: what it agrees with, and in which hand."
    )
    images: Checks | None = Input("What images say", optional=True, help="What validate.particles found of the same particles.")
    mask_diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, aliases=("particle_diameter", "maskDiameterA"),
        help="Of a sphere that holds the particle; empty takes the refinement's, or three quarters of the box. Too small and the particle counts as solvent.",
    )  # fmt: skip
    randomise_below: float = Param(
        "Randomise phases below FSC", 0.8, gt=0, lt=1, advanced=True, aliases=("randomizeAtFsc",),
        help="Phases are random beyond the shell where the unmasked FSC falls below this. Too low hides what the mask adds.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if "half_map1_path" not in self.volume.items.columns:
            yield Hint("volume", "has no half maps: most checks need them", error=False)
        if self.particles is not None and "half_set" not in self.particles.items.columns:
            yield Hint("particles", "carry no halves: give those that the refinement gave", error=False)

    def automatic(self) -> Mapping[str, Any]:
        return {"mask_diameter": self.volume.meta.get("mask_diameter")}

    def run(self, job: Job) -> Checked:
        import torch

        torch.set_num_threads(1)
        checks: list[said.Check] = []
        row = map_rows(self.volume).row(0, named=True)
        whole = self._read(checks, "map", row, "volume_path")
        halves = [
            self._read(checks, f"half map {number}", row, f"half_map{number}_path")
            for number in (1, 2)
            if row.get(f"half_map{number}_path")
        ]
        fsc = None
        if len(halves) < 2:
            checks.append(said.no_halves())
        elif whole is not None and halves[0] is not None and halves[1] is not None:
            first, second = halves[0], halves[1]
            fsc = self._halves(job, checks, whole, first, second)
        if whole is not None:
            header = float(read_mrc(self.volume.file(str(row["volume_path"]))).pixel_size or 0.0)
            if (size := said.pixel_size(whole.pixel_size, header)) is not None:
                checks.append(size)
        job.progress(3, 4, "particles and other runs")
        if self.particles is not None and "half_set" in self.particles.items.columns:
            checks += self._particles(self.particles)
        checks += self._others(fsc)
        for check in checks:
            if check.verdict == "warning":
                job.warn(check.message)
        resolution = fsc.meta["resolution"] if fsc is not None else None
        return Checked(said.checked(checks, job.root, {"resolution": resolution}), fsc)

    def _read(self, checks: list[said.Check], name: str, row: Mapping[str, Any], column: str) -> StoredMap | None:
        """Return a map; where it cannot be used, None and a check that says so."""
        try:
            return stored_map(self.volume, row, column)
        except (Failure, WrongUse) as problem:
            checks.append(said.unreadable(name, f"{problem.message} {problem.cure}"))
            return None

    def _halves(self, job: Job, checks: list[said.Check], whole: StoredMap, first: StoredMap, second: StoredMap) -> FSC | None:
        """Check map and half maps, and return their FSC; None where they are not two maps of one box."""
        from cryoloom.numerics.filters.maps import lowpass
        from cryoloom.numerics.fsc import halves as compare
        from cryoloom.numerics.fsc.masked import masked_fsc
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, recovered_shell, resolution_at
        from cryoloom.numerics.masks.soft import spherical_mask

        boxes = (len(whole.data), len(first.data), len(second.data))
        alike = said.alike(compare.correlation(first.data, second.data) if boxes[1] == boxes[2] else 0.0, boxes)
        checks.append(alike)
        if alike.verdict == "warning":
            return None
        job.progress(0, 4, "halves")
        box, size = boxes[0], whole.pixel_size
        radius = min((self.mask_diameter or self.volume.meta.get("mask_diameter") or PART * box * size) / 2 / size, box / 2 - 6)
        sphere = spherical_mask(box, radius, 5.0)
        mask = self._mask(checks, box)
        coarse = max(COARSE, 4 * size)
        turned = compare.better_axes(first.data, second.data, size, coarse)
        shift = compare.relative_shift(first.data, second.data, size, coarse)
        checks.append(said.frame(turned, float(np.linalg.norm(shift)), size))
        job.progress(1, 4, "Fourier shell correlation")
        curves = masked_fsc(first.data, second.data, sphere if mask is None else mask, randomise_below=self.randomise_below, seed=job.seed)
        resolution = resolution_at(curves.corrected, 0.143, box, size)
        shell = min(round(box * size / resolution), box // 2)
        mean = 0.5 * (first.data + second.data)
        checks.append(said.belongs(float(fourier_shell_correlation(whole.data, mean)[1 : shell + 1].mean())))
        region = compare.solvent_region(box, radius, mask)
        core = sphere if mask is None else mask
        shared = compare.in_common_beyond(first.data, second.data, region, shell)
        checks += said.beyond(shared.corners, shared.solvent, shared.error)
        if (region > 0.99).any():
            checks.append(said.masked_before(compare.quiet_outside(first.data, second.data, region, core)))
            checks.append(said.contrast(compare.brightness(lowpass(mean, size, coarse), region, core)))
        rough = [lowpass(one.data, size, coarse) for one in (first, second)]
        if diameter := self.mask_diameter or self.volume.meta.get("mask_diameter"):
            checks.append(said.circle(compare.cut_away(rough[0], rough[1], spherical_mask(box, radius, 2.0)), float(diameter)))
        again = recovered_shell(curves.corrected, 0.143)
        checks += said.falls(resolution, box * size / again if again else None, 2 * size, float(curves.corrected[-1]))
        if mask is not None:
            checks += self._judge_mask(curves, mask, rough, size)
        if told := self.volume.meta.get("resolution"):
            within = min(resolution, resolution_at(curves.unmasked, 0.143, box, size))
            under = fourier_shell_correlation(first.data * sphere, second.data * sphere)
            checks.append(said.told(float(told), min(within, resolution_at(under, 0.143, box, size)), "map", mask is not None))
        if self.fsc is not None:
            checks += self._stored(self.fsc, curves.unmasked, resolution)
        job.progress(2, 4, "directions")
        directions = self._directions(checks, first.data * core, second.data * core, size, shell)
        shells = np.arange(box // 2 + 1)
        table = pl.DataFrame(
            {
                "id": shells, "shell": shells, "frequency": shells / (box * size), "fsc": curves.corrected, "fsc_unmasked": curves.unmasked,
                "fsc_masked": curves.masked, "fsc_randomised": curves.randomised,
            }
        )  # fmt: skip
        meta = {
            "resolution": resolution,
            "pixel_size": size,
            "mask": "mask" if mask is not None else f"sphere of {2 * radius * size:.0f} Å",
            **directions,
        }
        return FSC(table, job.root, meta=meta)

    def _mask(self, checks: list[said.Check], box: int) -> Any:
        """Return the mask; where it cannot be used, None and a check that says so."""
        if self.mask is None:
            return None
        path = str(self.mask.items.item(0, "mask_path"))
        data = np.ascontiguousarray(read_mrc(self.mask.file(path)).data, np.float32)
        problem = ""
        if data.shape != (box,) * 3:
            problem = f"has a box of {data.shape[0]} voxels, the map {box}"
        elif not np.isfinite(data).all():
            problem = "holds values that are not finite"
        elif data.min() < -1e-3 or data.max() > 1 + 1e-3 or data.max() <= 0:
            problem = f"goes from {data.min():.3g} to {data.max():.3g}, not from 0 to 1"
        if problem:
            checks.append(said.unreadable("mask", f"{path} {problem}: it is left out. Make it from this map with postprocess.mask."))
            return None
        return data

    def _judge_mask(self, curves: Any, mask: Any, halves: list[Any], size: float) -> Iterator[said.Check]:
        from cryoloom.numerics.fsc.halves import cut_away
        from cryoloom.numerics.fsc.shells import crossing_shell, resolution_at
        from cryoloom.numerics.masks.soft import border_distance

        box = len(mask)
        # Just beyond the first random phases, what the mask spreads of the shells before is no fault of it.
        shell = max(crossing_shell(curves.masked, 0.143), (curves.randomised_from or 0) + 2)
        shell = min(shell, box // 2)
        yield said.mask_tight(float(curves.randomised[shell]), box * size / shell)
        steepest = max(float(np.abs(np.diff(mask, axis=axis)).max()) for axis in range(3))
        edge = np.pi / 2 / max(steepest, 1e-6)
        unmasked, corrected = (resolution_at(curve, 0.143, box, size) for curve in (curves.unmasked, curves.corrected))
        yield from said.mask_shape(edge, border_distance(mask), cut_away(halves[0], halves[1], mask), unmasked, corrected)

    def _stored(self, stored: FSC, unmasked: Any, resolution: float) -> Iterator[said.Check]:
        """Compare a stored FSC with that of the files."""
        if "fsc_unmasked" in stored.items.columns:
            curve = stored.items.sort("shell")["fsc_unmasked"].to_numpy()
            yield said.stored_curve(float(np.abs(curve - unmasked).max()) if len(curve) == len(unmasked) else 1.0)
        if (told := stored.meta.get("resolution")) and self.volume.meta.get("resolution") != told:
            yield said.told(float(told), resolution, "stored FSC", self.mask is not None)

    def _directions(self, checks: list[said.Check], first: Any, second: Any, size: float, shell: int) -> dict[str, Any]:
        from cryoloom.numerics.fsc.directional import directional_fsc, directional_resolutions, sphericity

        axes, cones = directional_fsc(first, second)
        each = directional_resolutions(cones, len(first), size, interpolated=True)
        coarsest, finest = (float(value) for value in np.quantile(each, (0.95, 0.05)))
        x, y, z = axes[int(each.argmax())]
        rot, tilt = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arccos(np.clip(z, -1.0, 1.0)))
        body = sphericity(axes, each)
        checks.append(said.by_direction(finest, coarsest, body, float(rot), float(tilt), shell >= LEAST_DIRECTION, self._efficiency()))
        return {"resolution_by_direction": each.tolist(), "directions": axes.tolist(), "sphericity": body}

    def _efficiency(self) -> float | None:
        """Return how evenly the map was seen, where the particles or their views are given."""
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.geometry.views import view_directions, view_figures

        if self.orientations is not None:
            return float(self.orientations.meta["efficiency"])
        if self.particles is None or not {"rot", "tilt"} <= set(self.particles.schema):
            return None
        rows = self.particles.enabled().select(pl.col("rot", "tilt").cast(pl.Float64)).fill_nan(None).drop_nulls()
        group = point_group(str(self.volume.meta.get("symmetry") or self.particles.meta.get("symmetry") or "C1"))
        views = view_directions(rows["rot"].to_numpy(), rows["tilt"].to_numpy())
        return view_figures(views, group, diameter=10.0, resolution=1.0).efficiency if len(views) else None

    def _particles(self, particles: Particles) -> Iterator[said.Check]:
        """Look for particles that are in both halves: images stored once, and boxes around one place."""
        from cryoloom.numerics.align.halves import duplicate_groups

        rows = particles.enabled().filter(pl.col("half_set").is_not_null())
        both = pl.col("half_set").n_unique().over("stack_path", "stack_index") > 1
        names = {"micrograph_id", "x", "y"}
        if names <= set(rows.columns) and not rows.select(names).null_count().sum_horizontal().item():
            size = rows["micrograph_pixel_size"] if "micrograph_pixel_size" in rows.columns else rows["pixel_size"]
            x, y = (rows[axis].to_numpy() * size.to_numpy() for axis in ("x", "y"))
            diameter = self.mask_diameter or self.volume.meta.get("mask_diameter") or particles.meta.get("mask_diameter") or 0.0
            group = duplicate_groups(rows["micrograph_id"].to_numpy(), x, y, max(SAME_PARTICLE * float(diameter), 1e-3))
            rows = rows.with_columns(place=pl.Series(group))
            both = both | (pl.col("half_set").n_unique().over("place") > 1)
        twice = rows.filter(both).height
        sizes = [rows.filter(pl.col("half_set") == half).height for half in (1, 2)]
        own, of_map = particles.meta.get("halves"), self.volume.meta.get("halves")
        yield from said.halves_of_particles(twice, rows.height, sizes, own == of_map if own and of_map else None)

    def _others(self, fsc: FSC | None) -> Iterator[said.Check]:
        """Return what other runs found."""
        if self.local_resolution is not None and fsc is not None:
            yield said.local(_median_of(self.local_resolution), float(fsc.meta["resolution"]))
        if self.overfitting is not None:
            items = self.overfitting.items
            last = float(items["separation"][-1]) if "separation" in items.columns else None
            yield said.growth(str(self.overfitting.meta["verdict"]), last)
        if self.model is not None and "model_resolution" in self.model.items.columns:
            row = self.model.items.row(0, named=True)
            resolution = float(fsc.meta["resolution"]) if fsc is not None else None
            yield from said.model(row["map_correlation"], row["model_resolution"], row["inclusion"], bool(row["mirrored"]), resolution)
        if self.images is not None:
            yield from (said.Check(*row) for row in self.images.items.select("check", "verdict", "value", "message").iter_rows())
        if self.orientations is not None:
            meta = self.orientations.meta
            yield said.Check("views", meta["verdict"], float(meta["efficiency"]), str(meta["message"]))

    def summary(self, out: Checked) -> Mapping[str, Any]:
        verdicts = out.checks.items["verdict"]
        told: dict[str, Any] = {level: int((verdicts == level).sum()) for level in ("good", "advice", "warning")}
        if out.fsc is not None:
            told["resolution (Å, FSC 0.143)"] = round(out.fsc.meta["resolution"], 2)
        return told

    def methods(self, out: Checked) -> str:
        verdicts = out.checks.items["verdict"]
        wrong = int((verdicts == "warning").sum())
        resolution = f" of {out.fsc.meta['resolution']:.2f} Å" if out.fsc is not None else ""
        return f"The map{resolution} was put to {len(verdicts)} checks of its half maps, mask and directions, of which {wrong or 'none'} raised a warning."

    def report(self, out: Checked) -> list[Panel]:
        panels = said.panels(out.checks)
        if out.fsc is not None:
            frequency = out.fsc.items["frequency"].to_list()
            names = {"fsc": "corrected", "fsc_unmasked": "unmasked", "fsc_masked": "masked", "fsc_randomised": "phases randomised, masked"}
            panels += [
                LinePlot(
                    title="Fourier shell correlation", x_label="resolution (Å)", y_label="FSC", resolution_axis=True, y_range=(-0.1, 1.05),
                    series=[Series(label, frequency, out.fsc.items[name].to_list()) for name, label in names.items()],
                    levels={"0.143": 0.143, "0.5": 0.5}, marks={f"{out.fsc.meta['resolution']:.2f} Å": 1 / out.fsc.meta["resolution"]},
                    caption=f"Of the half maps, computed again under the {out.fsc.meta['mask']}.",
                ),
                Histogram(
                    title="Resolution by direction", values=out.fsc.meta["resolution_by_direction"], label="Å, FSC 0.5 in a cone",
                    caption=f"Sphericity {out.fsc.meta['sphericity']:.3f}.",
                ),
            ]  # fmt: skip
        row = map_rows(self.volume).row(0, named=True)
        try:
            return [*panels, map_panel("Map", [stored_map(self.volume, row).data], ["map"])]
        except Failure:
            return panels


def _median_of(local_resolution: Volume) -> float:
    """Return the median in Å: of the specimen if the map tells it, of all its voxels if it was made elsewhere."""
    if told := local_resolution.meta.get("median"):
        return float(told)
    data = stored_map(local_resolution, map_rows(local_resolution).row(0, named=True)).data
    return float(np.median(data[data > 0]))
