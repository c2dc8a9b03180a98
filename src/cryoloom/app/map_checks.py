"""Whether a project's last refined map can be believed: what its validation runs found; of small maps what they would find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.app import catalogue, forms
from cryoloom.app.runs import Run
from cryoloom.report.map_checks import notices
from cryoloom.report.panels import Notice
from cryoloom.spec import CryoloomError

SMALL = 128
"""Voxels a side up to which a report makes the checks that no run has made: some seconds."""
MOST_AVERAGES = 60
"""Averages up to which they judge the first map in a report."""
CHECKS = ("validate.map", "validate.particles")


@dataclass(frozen=True)
class _Look:
    """As much of a job as checks need that leave nothing behind."""

    root: Path
    seed: int = 0
    threads: int = 1

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Say nothing: the check holds it."""


def refinement(runs: Sequence[Run]) -> Run | None:
    """Return the last of some finished runs that refined a map in halves; None if there is none."""
    return next((run for run in reversed(runs) if _has_halves(run) and _has_poses(run)), None)


def map_notices(runs: Sequence[Run]) -> list[Notice]:
    """Return what is wrong with the last refined map of some finished runs, or else the last that has half maps: in words, the gravest first."""
    subject = refinement(runs) or next((run for run in reversed(runs) if _has_halves(run)), None)
    if subject is None:
        return []
    wanted = [protocol for protocol in CHECKS if protocol == CHECKS[0] or _has_poses(subject)]
    made = {protocol: _made(protocol, runs, subject) for protocol in wanted}
    missing = [protocol for protocol, found in made.items() if found is None]
    if missing and _box(subject) > SMALL:
        return [
            *_told(made),
            Notice(level="advice", text=f"The map has not been validated: run {' and '.join(missing)} on {subject.id}."),
        ]
    return _told(made | {protocol: _looked_at(protocol, runs, subject) for protocol in missing})


def first_map_notices(runs: Sequence[Run]) -> list[Notice]:
    """Return what the class averages of a project say against the map that its last refinement started from."""
    refined, classes = (
        refinement(runs),
        next((run for run in reversed(runs) if run.protocol.startswith("classify2d.") and _averages(run)), None),
    )
    started = _given(refined, "reference") if refined is not None else []
    given = {run.id: run for run in runs}.get(started[0][0]) if started else None
    if refined is None or classes is None or given is None:
        return []
    maps, good = given.outputs[started[0][1]].dataset, _good_averages(runs, classes)
    if maps.kind != "volume" or len(maps) > 1 or not 5 <= len(good) <= MOST_AVERAGES:
        return []
    asked = catalogue.protocol("initial.consensus")
    diameter = refined.outputs["volume"].meta["mask_diameter"]
    symmetry = refined.outputs["volume"].meta.get("symmetry", "C1")
    try:
        built = forms.build(asked, {"mask_diameter": diameter, "symmetry": symmetry}, {"volumes": (maps,), "classes": good})
        found = built.verdict(0, str(maps.items.item(0, "volume_path")))  # pyright: ignore[reportAttributeAccessIssue]
    except (CryoloomError, FileNotFoundError):
        return []
    if found.word != "bad":
        return []
    return [
        Notice(
            level="warning",
            text=f"The first map ({given.id}) is bad: {found.reason}. Refine from another one, and compare first maps by initial.consensus.",
        )
    ]


def _averages(run: Run) -> bool:
    return "classes" in {each.name for each in run.outputs} and run.outputs["classes"].kind == "classes2d"


def _good_averages(runs: Sequence[Run], classified: Run) -> Any:
    """Return the averages of the classes most of whose particles were selected; of all where nothing was."""
    classes = classified.outputs["classes"].dataset
    for run in reversed(runs):
        if run.protocol != "sets.select" or not any(classified.id == made for name in run.inputs for made, _ in _given(run, name)):
            continue
        if "classes" in run.outputs:
            return run.outputs["classes"].dataset
        if "particles" in run.outputs and "class_id" in run.outputs["particles"].items.columns:
            kept = run.outputs["particles"].enabled().group_by("class_id").len()
            most = classes.items.join(kept, on="class_id").filter(pl.col("len") > 0.5 * pl.col("count"))
            return classes.select(most["id"])
    return classes


def _has_halves(run: Run) -> bool:
    return "volume" in run.outputs and len(run.outputs["volume"]) > 0 and "half_map1_path" in run.outputs["volume"].items.columns


def _has_poses(run: Run) -> bool:
    return "particles" in run.outputs and {"rot", "half_set"} <= set(run.outputs["particles"].items.columns)


def _box(run: Run) -> int:
    return int(run.outputs["volume"].items["box_size"][0])


def _given(run: Run, name: str) -> list[tuple[str, str]]:
    """Return runs and outputs that a run was given as an input."""
    given = run.inputs.get(name) or []
    return [(each["run"], each["output"]) for each in (given if isinstance(given, list) else [given])]


def _made(protocol: str, runs: Sequence[Run], subject: Run) -> pl.DataFrame | None:
    """Return what the last run of a check found that looked at the map."""
    for run in reversed(runs):
        if run.protocol == protocol and (subject.id, "volume") in _given(run, "volume"):
            return run.outputs["checks"].items
    return None


def _looked_at(protocol: str, runs: Sequence[Run], subject: Run) -> pl.DataFrame:
    """Return what a check would find."""
    asked, outputs = catalogue.protocol(protocol), subject.outputs
    inputs: dict[str, Any] = {
        name: outputs[name].dataset for name in ("volume", "particles", "fsc") if name in asked.inputs() and name in outputs
    }
    masks = [run.outputs["mask"] for run in runs if (subject.id, "volume") in _given(run, "volume") and "mask" in run.outputs]
    if masks and "mask" in asked.inputs():
        inputs["mask"] = masks[-1].dataset
    try:
        return forms.build(asked, {}, inputs).run(_Look(subject.folder.root)).checks.items  # pyright: ignore
    except (CryoloomError, FileNotFoundError) as problem:
        return pl.DataFrame({"check": [protocol], "verdict": ["advice"], "message": [f"It could not be done: {problem}"]})


def _told(found: Mapping[str, pl.DataFrame | None]) -> list[Notice]:
    every = {notice.text: notice for table in found.values() if table is not None for notice in notices(table)}
    return list(every.values())
