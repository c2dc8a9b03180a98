"""Atomic models in a map: their traces, as a browser draws them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project
from cryoloom.formats.atomic_model import read_model
from cryoloom.formats.mrc import open_mrc
from cryoloom.server.render.asset import Asset, file_stamp, json_asset
from cryoloom.server.render.sources import file_of
from cryoloom.server.render.volumes import Map
from cryoloom.spec import WrongUse

LONGEST = 8.0
"""Å between neighbours of a chain that are joined: 3.8 from Cα to Cα, up to 7 from P to P."""


def models_of(project: Project) -> list[dict[str, str]]:
    """Return the outputs of a project that are atomic models: ``output``, and ``label`` of the run."""
    runs = [run for run in project.runs() if run.folder.published()]
    return [
        {"output": str(each), "label": run.label or run.protocol} for run in runs for each in run.outputs if each.kind == "atomic_model"
    ]


def trace(model: OutputRef, chosen: Map) -> Asset:
    """Return the trace of a model in the frame of a map.

    ``points``, x, y, z in turn of one atom a residue, in Å from the map's first voxel; ``links``, numbers of the points that are joined, two by
    two; ``values``, the correlation of each residue with the map it was laid in, null where that is not known.

    Raises
    ------
    WrongUse
        ``no-model``.
    """
    if model.kind != "atomic_model":
        raise WrongUse(
            "no-model", f"{model} is a set of {model.kind}, not an atomic model.", "Models come from import.model and model.fit."
        )
    path = file_of(model, model.dataset.items["model_path"][0], "model")

    def make() -> Mapping[str, Any]:
        stored = read_model(path)
        points = stored.positions - np.asarray(open_mrc(chosen.path).header.origin)
        order = np.concatenate(stored.trace)
        chains = np.repeat(np.arange(len(stored.trace)), [len(each) for each in stored.trace])
        points = points[order]
        near = (np.linalg.norm(np.diff(points, axis=0), axis=1) <= LONGEST) & (np.diff(chains) == 0)
        first = np.flatnonzero(near)
        return {
            "points": np.round(points, 2).ravel().tolist(),
            "links": np.stack([first, first + 1], axis=1).ravel().tolist(),
            "values": _correlations(model, len(points)),
        }

    return json_asset((*chosen.stamp, *file_stamp(path), "trace"), make, kept=True)


def _correlations(model: OutputRef, count: int) -> list[float | None]:
    beside = next((each for each in model.run.outputs if each.kind == "residues" and each.count == count), None)
    if beside is None:
        return [None] * count
    return beside.dataset.items["residue_correlation"].fill_nan(None).to_list()
