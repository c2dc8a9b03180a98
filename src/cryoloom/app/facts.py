"""The numbers of a project by which it is judged, from the outputs of its finished runs."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from cryoloom.app.findings import Facts
from cryoloom.app.map_checks import refinement
from cryoloom.app.outputs import OutputRef
from cryoloom.app.runs import Run


def gather(runs: Sequence[Run]) -> Facts:
    """Collect what the findings need of finished and failed runs, of each kind of step from the last run that has it."""
    facts: dict[str, Any] = {}
    if failed := _failed(runs):
        facts["failed"] = failed
    runs = [run for run in runs if run.state == "finished"]
    if movies := _last(runs, "import.movies", "movies"):
        facts |= {"movies": movies.items.height, "movies_failed": movies.items.filter(~pl.col("enabled")).height}
    if micrographs := _last(runs, "motion.", "micrographs"):
        good = micrographs.enabled()
        facts |= {"micrographs": good.height, "pixel_size": micrographs.optics[0]["pixel_size"]}
        if "motion_total" in good.columns:
            facts["median_motion"] = good["motion_total"].median()
        facts["movies_failed"] = micrographs.items.height - good.height
    if ctfs := _last(runs, "ctf.", "ctfs"):
        good = ctfs.enabled()
        if "ctf_resolution" in good.columns:
            facts["median_ctf_resolution"] = good["ctf_resolution"].median()
        facts["ctf_rejected"] = len(ctfs) - good.height
    if picks := _last(runs, "pick.", "coordinates"):
        facts["picked"] = len(picks)
    if classes := _last(runs, "classify2d.", "classes"):
        classified = _last([run for run in runs if run.id == classes.run.id], "", "particles")
        facts["classified"] = classified.enabled().height if classified else None
        if "resolution" in classes.items.columns:
            facts["best_class_resolution"] = classes.items["resolution"].min()
        facts["kept"] = _kept(runs, classes.run)
    if first := _last(runs, "initial.sgd", "volume"):
        facts |= {name: first.meta[name] for name in ("looks_like", "symmetry_fit", "symmetry_correlation") if name in first.meta}
    if refined := refinement(runs):
        facts |= _refinement(refined)
    if (model := _last(runs, "model.fit", "model")) and "mirrored" in model.items.columns:
        facts |= {"other_hand": bool(model.items["mirrored"][0]), "model_correlation": model.items["map_correlation"][0]}
    if fsc := _last(runs, "postprocess.sharpen", "fsc"):
        facts |= {
            "resolution": fsc.meta["resolution"],
            "unmasked_resolution": fsc.meta["resolution_unmasked"],
            "b_factor": fsc.meta["b_factor"],
            "fsc_recovers": _recovers(fsc.items["fsc"].to_list()),
        }
    return Facts(**facts)


def _failed(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return why runs failed that nothing of their protocol has come after."""
    last = {run.protocol: run for run in runs if run.state in ("finished", "failed")}
    return tuple(f"{run.id} ({run.protocol}) failed: {run.reason}" for run in last.values() if run.state == "failed")


def _last(runs: Sequence[Run], protocol: str, output: str) -> OutputRef | None:
    """Return an output of the last run of a protocol, or of any whose id begins so."""
    for run in reversed(runs):
        if run.protocol.startswith(protocol) and output in run.outputs:
            return run.outputs[output]
    return None


def _kept(runs: Sequence[Run], classification: Run) -> int | None:
    """Return how many particles the last selection took from a classification."""
    for run in reversed(runs):
        given = [each for value in run.inputs.values() for each in (value if isinstance(value, list) else [value])]
        if run.protocol == "sets.select" and "particles" in run.outputs and any(each["run"] == classification.id for each in given):
            return len(run.outputs["particles"])
    return None


def _refinement(run: Run) -> dict[str, Any]:
    import numpy as np

    from cryoloom.numerics.geometry.coverage import fourier_coverage
    from cryoloom.numerics.geometry.euler import euler_to_matrix
    from cryoloom.numerics.geometry.symmetry import point_group

    particles = run.outputs["particles"].enabled()
    rot, tilt = (particles[name].to_numpy() for name in ("rot", "tilt"))
    group = point_group(run.outputs["particles"].meta.get("symmetry", "C1"))
    directions = group.mates(euler_to_matrix(rot, tilt, np.zeros_like(rot)))[:, :, 2].reshape(-1, 3)
    fsc = run.outputs["fsc"]
    return {
        "refined": particles.height,
        "pixel_size": run.outputs["volume"].meta["pixel_size"],
        "mean_max_probability": particles["max_probability"].mean() if "max_probability" in particles.columns else None,
        "view_coverage": fourier_coverage(directions),
        "resolution": fsc.meta["resolution"],
    }


def _recovers(fsc: list[float]) -> bool:
    """Tell whether the curve rises above 0.143 for more than three shells after it fell below."""
    low = next((shell for shell, value in enumerate(fsc) if shell and value < 0.143), len(fsc))
    return sum(value > 0.2 for value in fsc[low + 2 :]) > 3
