"""volumes.symmetrize: maps with a point group imposed, and how well they had it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryoloom.data import Classes3D, Mask, Volume, symmetry_hints
from cryoloom.formats.map_sets import StoredMap, changed_maps, rows_of, shown_column, stored_map
from cryoloom.report.maps import map_panel
from cryoloom.report.panels import LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

SUPPORTED = 0.9
"""Correlation of a map with its symmetrised copy below which the group is said not to be the map's."""
LISTED = 8
"""Groups of the table, and figures of the summary."""


@dataclass(frozen=True)
class Symmetrized(Outputs):
    volume: Volume | None = None
    mask: Mask | None = None


class Symmetrize(
    Protocol,
    id="volumes.symmetrize",
    outputs=Symmetrized,
    aliases=("ProtRelionSymmetrizeVolume",),
):
    """Lay maps on the axes of a point group, if they do not lie there, and take the mean of their copies turned by it.

    The group is imposed whether or not a map has it: the correlation of each map with its copy says how well it did.
    """

    volume: Volume | Classes3D | Mask = Input("Maps", help="One map, several, or a mask.", aliases=("inputVolumes", "inputVolume"))
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup", "symgroup"),
        help="Point group on RELION's axes: Cn, Dn, T, O, I1 to I4. A wrong one makes copies of what is there once. C1 only reports.",
    )  # fmt: skip
    find_axes: bool = Param(
        "Find the axes", True,
        help="The axes and the centre are looked for first, as maps found without symmetry need it. Off, the map is taken to lie on them; on a map that "
        "does not have the group, any frame may be found.",
    )  # fmt: skip
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, advanced=True, aliases=("mask_diameter",),
        help="Within which symmetry is judged and axes are looked for; empty takes nine tenths of the box. Too wide judges noise too.",
    )  # fmt: skip
    detect: bool = Param(
        "Try other groups", False, advanced=True,
        help="Also tell how nearly the first map has C2 to C12, D2 to D12, T, O and I at their best axes. Takes a minute; nothing is imposed by it.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        if self.symmetry.strip().upper() in ("C1", "") and not self.detect:
            yield Hint("symmetry", "C1 changes nothing: choose a group, or let others be tried")

    def run(self, job: Job) -> Symmetrized:
        import torch

        from cryoloom.numerics.align.axes import agreement, detect, find_axes, in_frame
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.reconstruct.symmetry import symmetric_map

        torch.set_num_threads(1)
        group = point_group(self.symmetry)
        frames: dict[int, Any] = {}
        judged: dict[int, float] = {}
        curves: list[list[float]] = []
        shown = shown_column(self.volume)

        def change(old: StoredMap) -> Any:
            key, radius = int(old.row["id"]), self._radius(old)
            # A row's shown map comes first, and its half maps go with it: found apart, their frames would differ by the noise.
            if old.column == shown:
                frames[key] = find_axes(old.data, old.pixel_size, radius, group) if self.find_axes and group.order > 1 else None
            moved = old.data if frames[key] is None else in_frame(old.data, frames[key], fine=True)
            made = symmetric_map(moved, group, fine=True)
            if old.column == shown:
                judged[key] = agreement(moved, old.pixel_size, radius, group) if group.order > 1 else 1.0
                curves.append(fourier_shell_correlation(moved, made).tolist())
                if judged[key] < SUPPORTED:
                    job.warn(
                        f"{old.row[shown]}: symmetry {group.name} is not supported by the map: CC between it and its symmetrised copy = "
                        f"{judged[key]:.2f}. Try C1, or a smaller group."
                    )
            return made.clip(0.0, 1.0) if shown == "mask_path" else made

        found = changed_maps(job, self.volume, change, told=lambda row: {"symmetry_correlation": judged[int(row["id"])]})
        first = stored_map(self.volume, rows_of(self.volume)[0])
        ranked = detect(first.data, first.pixel_size, self._radius(first))[:LISTED] if self.detect else []
        found = found.with_meta(symmetry=group.name, fsc=curves, likely=[list(each) for each in ranked])
        return Symmetrized(mask=found) if isinstance(found, Mask) else Symmetrized(volume=found)

    def _radius(self, stored: StoredMap) -> float:
        """Return the particle's radius in Å."""
        extent = len(stored.data) * stored.pixel_size
        return 0.5 * min(self.diameter or 0.9 * extent, extent)

    def summary(self, out: Symmetrized) -> Mapping[str, Any]:
        made = out.mask if out.volume is None else out.volume
        if made is None:
            return {}
        alike = made.items["symmetry_correlation"].to_list()
        told: dict[str, Any] = {"symmetry": made.meta["symmetry"], "maps": len(made)}
        told["correlation of map and copies"] = " ".join(f"{each:.3f}" for each in alike[:LISTED])
        return told | ({"most like": f"{made.meta['likely'][0][0]} ({made.meta['likely'][0][1]:.2f})"} if made.meta["likely"] else {})

    def methods(self, out: Symmetrized) -> str:
        made = out.mask if out.volume is None else out.volume
        if made is None:
            return ""
        laid = " laid on its axes and" if self.find_axes else ""
        alike = min(made.items["symmetry_correlation"].to_list())
        return f"The {'mask' if out.volume is None else 'map'} was{laid} symmetrised under {made.meta['symmetry']} (correlation with the copy {alike:.2f})."

    def report(self, out: Symmetrized) -> list[Panel]:
        from cryoloom.numerics.fsc.shells import shell_frequencies

        made = out.mask if out.volume is None else out.volume
        if made is None:
            return []
        before, after = ([stored_map(maps, row) for row in rows_of(maps)] for maps in (self.volume, made))
        labels = [f"map {each.row['id']}" for each in before]
        curves = [
            Series(label, shell_frequencies(len(each.data), each.pixel_size).tolist(), curve)
            for label, each, curve in zip(labels, before, made.meta["fsc"], strict=True)
        ]
        group = made.meta["symmetry"]
        panels: list[Panel] = [
            map_panel("Before", [each.data for each in before], labels),
            map_panel("After", [each.data for each in after], labels, f"On the axes of {group}, the mean of its copies."),
            LinePlot(
                title="Map and symmetrised map", series=curves, x_label="resolution (Å)", y_label="FSC", resolution_axis=True, y_range=(-0.1, 1.05),
                caption=f"Where it is near 1 the map has {group}; a map always correlates with a mean that it is part of, to one over the square root of "
                "the group's order.",
            ),
        ]  # fmt: skip
        if made.meta["likely"]:
            names, alike = zip(*made.meta["likely"], strict=True)
            panels.append(
                TableView(
                    title="Other groups", columns={"group": list(names), "correlation with copies": list(alike)},
                    caption="Of the first map, each group at its best axes. A map has also the groups that are part of its own.",
                )
            )  # fmt: skip
        return panels
