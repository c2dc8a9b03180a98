"""Whether a project's last refined map can be believed: what its validation runs found; of small maps what they would find."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.app import catalogue, forms
from cryoloom.app.runs import Run
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
    return next((run for run in reversed(runs) if _in_halves(run)), None)


def map_notices(runs: Sequence[Run]) -> list[Notice]:
    """Return what is wrong with the last refined map, in words, the gravest first."""
    refined = refinement(runs)
    if refined is None:
        return []
    found = [row for protocol in CHECKS for row in _rows(protocol, runs, refined)]
    notices = [
        Notice(level=level, text=f"{str(row['check']).capitalize()}: {row['message']}")
        for level in ("warning", "advice")
        for row in found
        if row["verdict"] == level
    ]
    missing = [protocol for protocol in CHECKS if not _made(protocol, runs, refined)]
    if missing and _box(refined) > SMALL:
        notices.append(Notice(level="advice", text=f"The map has not been validated: run {' and '.join(missing)} on {refined.id}."))
    return notices


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


def _in_halves(run: Run) -> bool:
    names = {each.name for each in run.outputs}
    if not {"volume", "particles", "fsc"} <= names or not len(run.outputs["volume"]):
        return False
    outputs = run.outputs
    return "half_map1_path" in outputs["volume"].items.columns and {"rot", "half_set"} <= set(outputs["particles"].items.columns)


def _box(refined: Run) -> int:
    return int(refined.outputs["volume"].items["box_size"][0])


def _given(run: Run, name: str) -> list[tuple[str, str]]:
    """Return run and output of an input of a run."""
    given = run.inputs.get(name) or []
    return [(each["run"], each["output"]) for each in (given if isinstance(given, list) else [given])]


def _made(protocol: str, runs: Sequence[Run], refined: Run) -> Run | None:
    """Return the last run of a check that looked at the refined map."""
    return next((run for run in reversed(runs) if run.protocol == protocol and (refined.id, "volume") in _given(run, "volume")), None)


def _rows(protocol: str, runs: Sequence[Run], refined: Run) -> Iterator[Mapping[str, Any]]:
    made = _made(protocol, runs, refined)
    if made is not None:
        return made.outputs["checks"].items.iter_rows(named=True)
    if _box(refined) > SMALL:
        return iter(())
    asked = catalogue.protocol(protocol)
    inputs: dict[str, Any] = {name: refined.outputs[name].dataset for name in ("volume", "particles", "fsc") if name in asked.inputs()}
    masks = [run.outputs["mask"].dataset for run in runs if (refined.id, "volume") in _given(run, "volume") and "mask" in run.outputs]
    if masks and "mask" in asked.inputs():
        inputs["mask"] = masks[-1]
    try:
        return forms.build(asked, {}, inputs).run(_Look(refined.folder.root)).checks.items.iter_rows(named=True)  # pyright: ignore
    except (CryoloomError, FileNotFoundError) as problem:
        return iter([{"check": protocol, "verdict": "advice", "message": f"could not be done: {problem}", "value": None}])
