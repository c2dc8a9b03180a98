"""Two runs side by side: what was asked, what came out, which rows, which numbers, which resolution."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from cryoloom.app.outputs import OutputRef
from cryoloom.app.references import find_run
from cryoloom.app.runs import Run
from cryoloom.engine.identity import differences
from cryoloom.engine.project import ProjectFolder

SHELLS = 6
"""Shells, evenly spread, of which both curves of an FSC are told."""


def compare(project: ProjectFolder, first: "str | Run", second: "str | Run") -> dict[str, Any]:
    """Return what sets two runs apart.

    Returns
    -------
    dict
        ``runs``: both ids; ``asked``: in words, what differs of protocol, parameters, inputs and seed; ``parameters``, ``summary`` and
        ``spent``: the values that differ, ``[first, second]``; ``outputs``: output name to what `compare_outputs` says, or to who lacks it.
    """
    a, b = find_run(project, first), find_run(project, second)
    asked = [f"the protocol is {b.protocol}, was {a.protocol}"] if a.protocol != b.protocol else []
    asked += differences(project.work(b.folder), project.work(a.folder))
    mine, yours = ({output.name: output for output in run.outputs} if run.folder.published() else {} for run in (a, b))
    outputs: dict[str, Any] = {}
    for name in {**mine, **yours}:
        if name in mine and name in yours:
            outputs[name] = compare_outputs(mine[name], yours[name])
        else:
            outputs[name] = {"only": a.id if name in mine else b.id}
    return {
        "runs": [a.id, b.id],
        "asked": asked,
        "parameters": _apart(a.parameters, b.parameters),
        "summary": _apart(a.summary, b.summary),
        "spent": _apart(a.spent, b.spent),
        "outputs": outputs,
    }


def compare_outputs(first: OutputRef, second: OutputRef) -> dict[str, Any]:
    """Return what sets two outputs apart.

    Returns
    -------
    dict
        ``same``: equal in content and place; ``count``; ``columns``: those of one alone; ``rows``: how many ids, of enabled rows, both have
        and each has alone (absent where the sets share no id space); ``numbers``: column to mean absolute and largest difference in the rows
        both have; ``meta``: values that differ; ``fsc``: rows of frequency (1/Å) and both curves.
    """
    if first.hash == second.hash:
        return {"same": True, "count": [first.count, second.count]}
    a, b = first.dataset.enabled(), second.dataset.enabled()
    found: dict[str, Any] = {
        "same": False,
        "count": [first.count, second.count],
        "enabled": [a.height, b.height],
        "columns": [sorted(set(a.columns) - set(b.columns)), sorted(set(b.columns) - set(a.columns))],
        "meta": _apart(first.meta, second.meta),
    }
    if first.kind != second.kind:
        return found | {"kind": [first.kind, second.kind]}
    both = a.select("id").join(b.select("id"), on="id").height
    found["rows"] = {"both": both, "only_first": a.height - both, "only_second": b.height - both}
    found["numbers"] = _numbers(a, b)
    if {"frequency", "fsc"} <= set(a.columns) & set(b.columns):
        found["fsc"] = _curves(a, b)
    return found


def _apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys((*first, *second))
    return {name: [first.get(name), second.get(name)] for name in names if first.get(name) != second.get(name)}


def _numbers(a: pl.DataFrame, b: pl.DataFrame) -> dict[str, dict[str, float]]:
    shared = [
        name for name in a.columns if name != "id" and name in b.columns and a[name].dtype.is_numeric() and b[name].dtype.is_numeric()
    ]
    joined = a.select("id", *shared).join(b.select("id", *shared), on="id", suffix=" of second")
    found: dict[str, dict[str, float]] = {}
    for name in shared:
        apart = (joined[name].cast(pl.Float64) - joined[f"{name} of second"].cast(pl.Float64)).abs().drop_nans().drop_nulls()
        if len(apart) and apart.max():
            found[name] = {"mean": float(apart.mean() or 0.0), "largest": float(apart.max() or 0.0)}  # pyright: ignore[reportArgumentType]
    return found


def _curves(a: pl.DataFrame, b: pl.DataFrame) -> list[dict[str, float]]:
    """Return both curves at a few frequencies of the first; the second is taken at its nearest shell."""
    step = max(1, a.height // SHELLS)
    right = b.select("frequency", pl.col("fsc").alias("second")).sort("frequency")
    rows = a.select("frequency", pl.col("fsc").alias("first")).sort("frequency")[step::step]
    return rows.join_asof(right, on="frequency", strategy="nearest", coalesce=True).select("frequency", "first", "second").to_dicts()
