"""validate.orientation: where the particles were seen from, and what that does to the map."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import FSC, Orientations, Particles, Volume, symmetry_hints
from cryoloom.formats.alignment import map_rows
from cryoloom.formats.map_sets import stored_map
from cryoloom.report.orientations import orientation_panels
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    from cryoloom.numerics.geometry.views import ViewFigures

DIAMETERS = 12.0
"""Finest details in a particle's diameter, where neither its size nor the resolution is known."""
SIDES, EACH = (2.5, 5.0, 10.0), 4
"""Degrees a side of the cells, of which the finest are taken that hold so many views on average."""
LEAST_DIRECTION = 10
"""Shells of agreement from which directions can be compared."""
POOR, FAIR = 0.5, 0.8
"""Efficiency below which views are poor, and below which they are uneven."""
EMPTY = 0.02
"""Part of Fourier space that may be empty without a warning."""
STRETCHED = 1.3
"""Times the finest resolution of a direction that the coarsest may be, the extreme twentieths left out."""


@dataclass(frozen=True)
class Distribution(Outputs):
    orientations: Orientations
    fsc: FSC | None = None


class ValidateOrientation(
    Protocol,
    id="validate.orientation",
    outputs=Distribution,
    cite=("10.1038/s41467-017-00782-3", "10.1038/nmeth.4347"),
):
    """Count the views of particles over the sphere, tell how evenly they measure Fourier space, and compare half maps direction by direction.

    A million particles take a second or two. The correlation by directions takes a minute at 200 px, and memory for four transforms of the map.
    """

    particles: Particles = Input(
        "Particles", columns=("rot", "tilt"), aliases=("inputParticles",),
        help="With poses, from a 3D refinement or classification. Of several classes choose one first, or their views are mixed.",
    )  # fmt: skip
    volume: Volume | None = Input(
        "Map", optional=True, aliases=("inputVolume",),
        help="Of the same particles. With half maps, their agreement is measured in each direction; its resolution says how wide Fourier cones are.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "", aliases=("symmetryGroup",),
        help="Point group: a view counts from all sides that it makes equal. Empty takes the refinement's. A wrong one makes views look better.",
    )  # fmt: skip
    side: Degrees | None = Param(
        "Side of the cells", None, ge=1, le=30,
        help="Of the cells of equal area in which views are counted; empty: as small as the particles allow. Small ones show chance, large ones hide preferred "
        "views.",
    )  # fmt: skip
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, advanced=True, aliases=("particle_diameter",),
        help="A view measures a plane of Fourier space one over the diameter thick; empty takes the refinement's mask. Too small hides empty cones.",
    )  # fmt: skip
    resolution: Angstrom | None = Param(
        "Resolution", None, gt=0, advanced=True,
        help="At which empty Fourier cones are counted; empty takes the map's. Finer shells are emptier.",
    )  # fmt: skip
    count_mates: bool = Param(
        "Symmetry copies", True, advanced=True,
        help="Show every view from all sides that the symmetry makes equal. Off, only in the asymmetric unit; figures count all of them either way.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self._symmetry)
        if self.volume is not None and "half_map1_path" not in self.volume.items.columns:
            yield Hint("volume", "has no half maps: directions are not compared", error=False)

    def automatic(self) -> Mapping[str, Any]:
        return {"symmetry": self._symmetry, "diameter": self._told("mask_diameter"), "resolution": self._told("resolution")}

    def run(self, job: Job) -> Distribution:
        import numpy as np
        import torch

        from cryoloom.numerics.geometry.cells import equal_cells
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.geometry.views import view_directions, view_figures, with_mates

        torch.set_num_threads(1)
        group = point_group(self._symmetry)
        rows = self._views()
        missing = self.particles.enabled().height - rows.height
        if not rows.height:
            raise Failure("poses-missing", "None of the particles has a pose.", "Refine them first.")
        if missing:
            job.warn(f"{missing} particles have no pose and are left out.")
        views = view_directions(rows["rot"].to_numpy(), rows["tilt"].to_numpy())
        resolution = float(self.resolution or self._told("resolution") or 0.0)
        diameter = float(self.diameter or self._told("mask_diameter") or DIAMETERS * resolution)
        known = resolution > 0 and diameter > 0
        if not known:
            job.warn(f"Neither resolution nor diameter is known: empty cones are those of a particle of {DIAMETERS:g} details across.")
            resolution, diameter = 1.0, DIAMETERS
        job.progress(0, 2, "views")
        figures = view_figures(views, group, diameter=diameter, resolution=resolution)
        side = self.side or next((each for each in SIDES if equal_cells(each).count * EACH <= len(views) * group.order), SIDES[-1])
        cells = equal_cells(side)
        counts = np.bincount(cells.of(views), minlength=cells.count)
        if group.order > 1:
            seen = np.flatnonzero(counts)
            if self.count_mates:
                places = cells.of(with_mates(cells.centres[seen], group))
                counts = np.bincount(places, weights=np.repeat(counts[seen], group.order), minlength=cells.count).astype(np.int64)
            else:
                poses = np.zeros((len(seen), 3, 3))
                poses[:, 2] = cells.centres[seen]
                counts = np.bincount(cells.of(group.reduced(poses)[:, 2]), weights=counts[seen], minlength=cells.count).astype(np.int64)
        meta = {
            "particles": rows.height, "symmetry": group.name, "side": side, "coverage": figures.coverage, "expected": figures.expected,
            "efficiency": figures.efficiency, "empty_cones": figures.empty, "largest_gap": figures.gap, "preferred": _preferred(figures),
            "diameter": diameter if known else None, "resolution": resolution if known else None,
        }  # fmt: skip
        job.progress(1, 2, "directions")
        fsc = self._directions(job)
        meta["verdict"], meta["message"] = _verdict(figures, fsc.meta if fsc is not None else {})
        if meta["verdict"] == "warning":
            job.warn(meta["message"])
        rot, tilt = np.rad2deg(np.arctan2(cells.centres[:, 1], cells.centres[:, 0])), np.rad2deg(np.arccos(cells.centres[:, 2]))
        table = pl.DataFrame(
            {"id": np.arange(1, cells.count + 1), "rot": rot, "tilt": tilt, "views": counts, "views_excess": counts / counts.mean()}
        )
        return Distribution(Orientations(table, job.root, meta=meta), fsc)

    def _views(self) -> pl.DataFrame:
        return self.particles.enabled().select(pl.col("rot", "tilt").cast(pl.Float64)).fill_nan(None).drop_nulls()

    @property
    def _symmetry(self) -> str:
        return self.symmetry or str(self._told("symmetry") or "C1")

    def _told(self, name: str) -> Any:
        """Return what particles or map say of themselves."""
        volume = self.volume.meta.get(name) if self.volume is not None else None
        return volume or self.particles.meta.get(name)

    def _directions(self, job: Job) -> FSC | None:
        """Return the correlation of the half maps, whole and in cones; None without half maps."""
        if self.volume is None or "half_map1_path" not in self.volume.items.columns:
            return None
        import numpy as np

        from cryoloom.numerics.fsc.directional import directional_fsc, directional_resolutions, sphericity
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at, shell_frequencies
        from cryoloom.numerics.masks.soft import spherical_mask

        row = map_rows(self.volume).row(0, named=True)
        first, second = (stored_map(self.volume, row, name) for name in ("half_map1_path", "half_map2_path"))
        box, size = len(first.data), first.pixel_size
        if len(second.data) != box:
            raise Failure(
                "half-maps-differ", f"The half maps have {box} and {len(second.data)} voxels a side.", "Give those of one refinement."
            )
        radius = float(self.diameter or self._told("mask_diameter") or box * size) / 2 / size
        sphere = spherical_mask(box, min(radius, box / 2 - 6), 5.0)
        halves = (first.data * sphere, second.data * sphere)
        curve = fourier_shell_correlation(*halves)
        axes, cones = directional_fsc(*halves)
        each = directional_resolutions(cones, box, size, interpolated=True)
        resolution = resolution_at(curve, 0.143, box, size)
        shells = np.arange(box // 2 + 1)
        table = pl.DataFrame(
            {
                "id": shells, "shell": shells, "frequency": shell_frequencies(box, size), "fsc": curve,
                "fsc_worst_direction": np.quantile(cones, 0.05, axis=0), "fsc_best_direction": np.quantile(cones, 0.95, axis=0),
            }
        )  # fmt: skip
        enough = box * size / resolution >= LEAST_DIRECTION
        if not enough:
            job.warn(f"The halves agree to {resolution:.1f} Å only: directions cannot be compared.")
        told = {
            "resolution": resolution, "resolution_by_direction": each.tolist(), "directions": axes.tolist(), "sphericity": sphericity(axes, each),
            "anisotropy": float(np.quantile(each, 0.95) / np.quantile(each, 0.05)) if enough else None,
        }  # fmt: skip
        return FSC(table, job.root, meta=told)

    def summary(self, out: Distribution) -> Mapping[str, Any]:
        meta = out.orientations.meta
        told: dict[str, Any] = {
            "particles": meta["particles"],
            "efficiency E_od": round(meta["efficiency"], 2),
            "directions seen": f"{meta['coverage']:.0%} (even views: {meta['expected']:.0%})",
            "empty Fourier cones": f"{meta['empty_cones']:.1%}",
            "largest gap (°)": round(meta["largest_gap"], 1),
            "preferred views": len(meta["preferred"]),
        }
        if out.fsc is not None:
            each = sorted(out.fsc.meta["resolution_by_direction"])
            told["by direction (Å, FSC 0.5)"] = f"{each[len(each) // 20]:.1f} to {each[-1 - len(each) // 20]:.1f}"
            told["sphericity"] = round(out.fsc.meta["sphericity"], 3)
        return told

    def methods(self, out: Distribution) -> str:
        meta = out.orientations.meta
        halves = (
            f"; the sphericity of the directional correlation of half maps is {out.fsc.meta['sphericity']:.2f}"
            if out.fsc is not None
            else ""
        )
        return (
            f"The views of {meta['particles']} particles have an efficiency of {meta['efficiency']:.2f} and leave {meta['empty_cones']:.1%} of Fourier space "
            f"unmeasured{halves}."
        )

    def report(self, out: Distribution) -> list[Panel]:
        return orientation_panels(out.orientations, out.fsc, self._views())


def _preferred(figures: "ViewFigures") -> list[dict[str, float]]:
    import numpy as np

    found = []
    for one in figures.preferred:
        x, y, z = one.direction
        rot, tilt = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arccos(np.clip(z, -1.0, 1.0)))
        found.append({"rot": float(rot), "tilt": float(tilt), "share": float(one.share), "excess": float(one.excess)})
    return found


def _verdict(figures: "ViewFigures", directions: Mapping[str, Any]) -> tuple[str, str]:
    """Return good, advice or warning, and what it rests on in words."""
    anisotropy = directions.get("anisotropy") or 1.0
    strongest = figures.preferred[0] if figures.preferred else None
    held = f"; {strongest.share:.0%} of them lie within 15° of one, {strongest.excess:.0f} times as many as even views" if strongest else ""
    told = f"Views have an efficiency of {figures.efficiency:.2f} and leave {figures.empty:.0%} of Fourier space empty{held}."
    if anisotropy > STRETCHED:
        told += f" Halves agree {anisotropy:.1f} times as finely in the best directions as in the worst."
    if figures.efficiency < POOR or figures.empty > EMPTY:
        return "warning", told + " Tilt the stage, change grid or detergent, and keep fewer particles of the preferred views."
    if anisotropy > STRETCHED:
        if figures.efficiency < FAIR:
            return "warning", told + " Tilt the stage, or keep fewer particles of the preferred views."
        return (
            "advice",
            told
            + " Such views do not explain it: long or flat particles are so by themselves; a wrong symmetry or uncertain poses do it too.",
        )
    if figures.efficiency < FAIR or figures.preferred:
        return "advice", told + " The map may be finer in some directions than in others: look at the correlation by direction."
    return "good", told
