"""Two maps of a project side by side: which lie on one grid, how far they agree, slices of their difference."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cryoloom.app.map_agreement import PIXEL_TOLERANCE, demand_one_grid, map_agreement
from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project
from cryoloom.report.raster import grey_between
from cryoloom.server.render.asset import Asset, Rendered, encoded, json_asset
from cryoloom.server.render.cache import rendered_json
from cryoloom.server.render.volumes import Axis, Map, cut, find, maps_of
from cryoloom.spec import CryoloomError

KINDS = ("volume", "classes3d", "mask")


def companions(project: Project, chosen: Map) -> list[dict[str, Any]]:
    """Return the outputs of a project with maps on the grid of one: ``output``, ``label`` of its run, ``kind``, and ``maps``.

    Each of ``maps`` has ``id``, ``which`` (the maps of that row, by `volumes.find`'s names) and ``class_id`` where there is one. The first map of an
    output decides whether it is on the grid; outputs whose files are gone are left out.
    """
    found = []
    for run in project.runs():
        outputs = [each for each in run.outputs if each.kind in KINDS] if run.folder.published() else []
        for output in outputs:
            if _on_grid(output, chosen):
                found.append({"output": str(output), "label": run.label or run.protocol, "kind": output.kind, "maps": maps_of(output)})
    return found


def _on_grid(output: OutputRef, chosen: Map) -> bool:
    try:
        other = find(output)
        alike = not (other.pixel_size and chosen.pixel_size) or abs(other.pixel_size / chosen.pixel_size - 1) <= PIXEL_TOLERANCE
        return alike and other.voxels().shape == chosen.voxels().shape
    except (CryoloomError, OSError):  # gone, or not a map: the run's own page says so
        return False


def agreement(first: Map, second: Map) -> Asset:
    """Return how far two maps agree: the attributes of `MapAgreement` and ``pixel_size`` (Å, null where it is not known)."""

    def make() -> Mapping[str, Any]:
        found = asdict(map_agreement(first.voxels(), second.voxels(), first.pixel_size or 1.0))
        return {
            **found,
            "resolutions": [[each, found["resolutions"][each]] for each in found["resolutions"]],
            "pixel_size": first.pixel_size or None,
        }

    return json_asset((*first.stamp, *second.stamp, "agreement"), make, kept=True)


def difference(first: Map, second: Map, axis: Axis, index: int, kind: str) -> Asset:
    """Return a slice of the first map less the second, whose grey scale is fitted to the first's; 0 lies in the middle of ``X-Low`` and ``X-High``."""
    one, two = first.voxels(), second.voxels()
    demand_one_grid(one, two)
    planes = cut(one, axis, index), cut(two, axis, index)

    def make() -> Rendered:
        told = rendered_json(agreement(first, second))
        mine, yours = (np.asarray(each, dtype=np.float32) for each in planes)
        apart = mine - (told["scale"] * yours + told["offset"])
        most = told["largest"] or 1.0
        return encoded(grey_between(apart, -most, most), kind, {"X-Low": repr(-most), "X-High": repr(most), "X-Index": str(index)})

    return Asset((*first.stamp, *second.stamp, "difference", axis, index, kind), make)
