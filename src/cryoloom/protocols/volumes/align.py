"""volumes.align: maps laid on a reference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryoloom.data import Classes3D, Volume, symmetry_hints
from cryoloom.formats.map_sets import StoredMap, changed_maps, grid_of, rows_of, stored_map
from cryoloom.report.maps import map_panel
from cryoloom.report.panels import LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

UNLIKE = 0.5
"""Correlation below which two maps are hardly the same particle."""
LISTED = 8
"""Maps whose figures the summary tells."""


@dataclass(frozen=True)
class Aligned(Outputs):
    volume: Volume


class Align(
    Protocol,
    id="volumes.align",
    outputs=Aligned,
    aliases=("XmippProtAlignVolume",),
):
    """Turn and move maps, and mirror them where that fits better, so that they lie on a reference.

    Every orientation is tried; the best are improved until the shells that the maps share lie on each other. Half maps go with their map.
    """

    volume: Volume | Classes3D = Input(
        "Maps", help="One map or several; each is laid on the reference.", aliases=("inputVolumes", "volumes")
    )
    reference: Volume = Input("Reference", help="The map that stays; of several the first.", aliases=("inputReference",))
    hand: bool = Param(
        "Try both hands", True,
        help="A map that fits better mirrored is mirrored: maps made from projections come in either hand. Off for maps whose hand is known.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry of the reference", "C1", aliases=("symmetryGroup",),
        help="Point group on RELION's axes: places that differ by it are one, and the least turned is taken. A wrong one leaves places out.",
    )  # fmt: skip
    low_pass: Angstrom | None = Param(
        "Finest detail", None, gt=0, le=500, advanced=True,
        help="Å up to which maps are compared; empty takes 25 (less for small particles), and in the last step what the maps share. Too fine follows noise.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        _, pixel_size = grid_of(self.reference)
        if self.low_pass is not None and pixel_size and self.low_pass < 2 * pixel_size:
            yield Hint("low_pass", f"{self.low_pass:g} Å is finer than two pixels of {pixel_size:.4g} Å", fix=3 * pixel_size)

    def run(self, job: Job) -> Aligned:
        import numpy as np
        import torch

        from cryoloom.numerics.align.maps import align_map, moved_map
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation
        from cryoloom.numerics.geometry.euler import geodesic_angle, matrix_to_euler
        from cryoloom.numerics.reconstruct.resample import matched, rim_mean

        torch.set_num_threads(1)
        fixed = stored_map(self.reference, rows_of(self.reference)[0])
        box, size = len(fixed.data), fixed.pixel_size
        found: dict[int, Any] = {}
        curves: list[list[float]] = []

        def change(old: StoredMap) -> Any:
            key, shown = int(old.row["id"]), old.column == "volume_path"
            data = old.data
            if len(data) != box or abs(old.pixel_size / size - 1) > 1e-4:
                if shown:
                    job.warn(f"{old.row[old.column]} of {len(data)} voxels at {old.pixel_size:.4g} Å is rescaled to {box} at {size:.4g} Å.")
                data = matched(data, old.pixel_size, box, size, fill=rim_mean(data))
            if shown:
                found[key] = align_map(data, fixed.data, size, symmetry=self.symmetry, low_pass=self.low_pass, try_hand=self.hand)
            moved = moved_map(data, found[key], size)
            if shown:
                curves.append(fourier_shell_correlation(moved, fixed.data).tolist())
                if found[key].correlation < UNLIKE:
                    job.warn(
                        f"{old.row[old.column]}: correlation with the reference {found[key].correlation:.2f}: hardly the same particle."
                    )
            return moved

        def told(row: Mapping[str, Any]) -> dict[str, Any]:
            place = found[int(row["id"])]
            rot, tilt, psi = (float(each) for each in matrix_to_euler(place.rotation))
            shift = {f"move_{axis}": float(each) for axis, each in zip("xyz", place.shift, strict=True)}
            turned = float(geodesic_angle(place.rotation, np.eye(3)))
            alike = {"map_correlation": place.correlation, "mirrored": place.mirrored, "other_hand": place.other_hand}
            return alike | {"turned": turned, "move_rot": rot, "move_tilt": tilt, "move_psi": psi} | shift

        made = changed_maps(job, self.volume, change, pixel_size=size, told=told)
        assert isinstance(made, Volume)
        return Aligned(made.with_meta(fsc=curves, low_pass=next(iter(found.values())).low_pass))

    def summary(self, out: Aligned) -> Mapping[str, Any]:
        items, finest = out.volume.items, out.volume.meta["low_pass"]
        alike = items["map_correlation"]
        told: dict[str, Any] = {"maps": len(items), f"correlation to {finest:.3g} Å": " ".join(f"{each:.3f}" for each in alike[:LISTED])}
        if self.hand:
            told["mirrored"] = ", ".join(f"map {row['id']}" for row in items.iter_rows(named=True) if row["mirrored"]) or "none"
        return told

    def methods(self, out: Aligned) -> str:
        count, mirrored = len(out.volume), int(out.volume.items["mirrored"].sum())
        hands = f", {mirrored} of them mirrored" if mirrored else ""
        return (
            f"{'A map was' if count == 1 else f'{count} maps were'} aligned to a reference by the weighted correlation of their shells{hands} "
            f"(correlation {out.volume.items['map_correlation'].min():.2f} or better)."
        )

    def report(self, out: Aligned) -> list[Panel]:
        from cryoloom.numerics.fsc.shells import shell_frequencies

        fixed = stored_map(self.reference, rows_of(self.reference)[0])
        before, after = ([stored_map(maps, row) for row in rows_of(maps)] for maps in (self.volume, out.volume))
        labels = [f"map {each.row['id']}" for each in before]
        frequency = shell_frequencies(len(fixed.data), fixed.pixel_size).tolist()
        rows = list(out.volume.items.iter_rows(named=True))
        columns: dict[str, list[Any]] = {
            "map": [row["id"] for row in rows],
            "correlation": [row["map_correlation"] for row in rows],
            "hand": ["mirrored" if row["mirrored"] else "as it was" for row in rows],
            "of the other hand": [row["other_hand"] for row in rows],
            "turned by (°)": [row["turned"] for row in rows],
            **{f"shift {axis} (Å)": [row[f"move_{axis}"] for row in rows] for axis in "xyz"},
        }
        return [
            map_panel("Before", [each.data for each in before], labels),
            map_panel("After", [each.data for each in after], labels),
            map_panel("Reference", [fixed.data], ["reference"]),
            LinePlot(
                title="Maps and reference", series=[Series(label, frequency, curve) for label, curve in zip(labels, out.volume.meta["fsc"], strict=True)],
                x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.5": 0.5}, y_range=(-0.1, 1.05),
                caption="Where it lies. Two maps of one set of particles share their noise, and agree too well.",
            ),
            TableView(
                title="Places", columns=columns,
                caption=f"Correlations up to {out.volume.meta['low_pass']:.3g} Å. Hands that fit alike are not told apart by it.",
            ),
        ]  # fmt: skip
