"""Where an output comes from, and whether its files are still what they were."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.engine.cleaning import cleaned_files
from cryoloom.engine.events import EventReader
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE
from cryoloom.spec.errors import WrongUse
from cryoloom.spec.job import Step
from cryoloom.tables import Dataset
from cryoloom.tables.storage import quick_hash, whole_hash


def ancestry(project: ProjectFolder, run_id: str) -> list[RunFolder]:
    """Return a run and all that it rests on, every run after those it takes from."""
    ordered: dict[str, RunFolder] = {}

    def visit(name: str) -> None:
        if name in ordered:
            return
        run = project.run(name)
        for reference in run.references():
            visit(reference["run"])
        ordered[name] = run

    visit(run_id)
    return list(ordered.values())


def steps_below(project: ProjectFolder, run_id: str, name: str) -> tuple[Step, ...]:
    """Return the steps that the input `name` of a run rests on, every one after those it takes from."""
    given = project.run(run_id).record["inputs"].get(name) or []
    runs = {run.id: run.record for each in (given if isinstance(given, list) else [given]) for run in ancestry(project, each["run"])}
    return tuple(Step(record["protocol"], record["parameters"], record["cryoloom"]) for record in runs.values())


def trace(project: ProjectFolder, run_id: str, output: str) -> dict[str, Any]:
    """Return the history of an output.

    Returns
    -------
    dict
        ``output`` and its ``hash``; ``steps``, first to last, each with protocol, version, parameters, inputs, seed, program version and
        environment; ``sources``, the files that the first steps brought in: ``run``, ``output``, ``column``, ``path``, ``size``,
        ``blake3`` (None while no step has read the whole file) and, where it was imported by that, ``quick_hash``.
    """
    manifest = manifest_of(project.run(run_id), output)
    steps = [_step(project, run) for run in ancestry(project, run_id)]
    sources = [source for run in ancestry(project, run_id) if not run.record["inputs"] for source in _sources(project, run)]
    return {"output": f"{run_id}.{output}", "hash": manifest["hash"], "steps": steps, "sources": sources}


def manifest_of(run: RunFolder, output: str) -> dict[str, Any]:
    """Return the manifest of one output.

    Raises
    ------
    WrongUse
        ``no-outputs`` or ``unknown-output``.
    """
    outputs = outputs_of(run)
    if output not in outputs:
        there = ", ".join(outputs) or "none"
        raise WrongUse("unknown-output", f"{run.id} has no output {output!r}; it has {there}.", "Name one of those.")
    return outputs[output]


def outputs_of(run: RunFolder) -> dict[str, Any]:
    """Return the manifests of a run's outputs; raises `WrongUse`, ``no-outputs``, while it has none."""
    published = run.published()
    if published is None:
        state = run.standing().state
        cure = "Wait until it has finished." if state in ACTIVE else "Resume it first."
        raise WrongUse("no-outputs", f"{run.id} is {state} and has no outputs yet.", cure)
    return published["outputs"]


def _step(project: ProjectFolder, run: RunFolder) -> dict[str, Any]:
    record = run.record | {"fingerprint": project.work(run).fingerprint}
    published = run.published() or {"outputs": {}}
    environments = [event["environment"] for event in EventReader(run.path).new() if "environment" in event]
    kept = ("protocol", "version", "parameters", "inputs", "seed", "fingerprint", "identity", "cryoloom")
    outputs = {name: {key: manifest[key] for key in ("kind", "count", "hash")} for name, manifest in published["outputs"].items()}
    labels = run.labels()
    head = {"run": run.id, "label": labels[0] if labels else ""}
    return {**head, **{key: record[key] for key in kept}, "outputs": outputs, "environment": environments[-1] if environments else None}


def _sources(project: ProjectFolder, run: RunFolder) -> list[dict[str, Any]]:
    found, outputs = [], (run.published() or {"outputs": {}})["outputs"]
    listed = {entry["path"]: entry for manifest in outputs.values() for entry in manifest["files"]}
    whole = whole_hashes(project, run.id, listed.values())
    for name, manifest in outputs.items():
        items = Dataset.load(manifest, project.path).items
        for column in (column for column in items.columns if column.endswith("_path")):
            for path in dict.fromkeys(path for path in items[column].to_list() if path):
                source = {"run": run.id, "output": name, "column": column, "path": path}
                if entry := listed.get(path):
                    source |= {"size": entry["size"], "blake3": whole.get(path)}
                    source |= {"quick_hash": entry["blake3"]} if entry.get("quick") else {}
                found.append(source)
    return found


def whole_hashes(project: ProjectFolder, run_id: str, listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the BLAKE3 of whole files of a run by path, as far as it is known.

    Files that were imported by a quick hash are hashed by the first step that reads them; it writes what it found beside their path
    (``movie_blake3`` beside ``movie_path``).

    Parameters
    ----------
    listed
        The files, as manifests of the run list them.
    """
    listed = list(listed)
    found = {entry["path"]: entry["blake3"] for entry in listed if not entry.get("quick")}
    if len(found) == len(listed):
        return found
    wanted = {entry["path"] for entry in listed}
    for run in project.below([run_id]):
        for path in _own_tables(run):
            columns = pl.read_parquet_schema(project.path / path)
            for column in (column for column in columns if column.endswith("_blake3")):
                if (place := column.removesuffix("_blake3") + "_path") in columns:
                    read = pl.read_parquet(project.path / path, columns=[place, column]).drop_nulls()
                    found = {name: digest for name, digest in read.rows() if name in wanted} | found
    return found


def _own_tables(run: RunFolder) -> set[str]:
    """Return the tables that a run has written itself."""
    tables = [manifest["table"] for manifest in (run.published() or {"outputs": {}})["outputs"].values()]
    written = (entry["path"] for table in tables for entry in (*table["base"], *table["sidecars"]))
    return {path for path in written if path.startswith(f"runs/{run.id}/") and (run.root / path).exists()}


@dataclass
class Verification:
    """Whether files are still what the manifests say.

    Attributes
    ----------
    files, size
        Checked, and their bytes.
    changed, missing
        Paths relative to the project.
    forged
        Outputs whose manifest does not have the hash it states, or the one that a later run took.
    cleaned
        Paths relative to the project of files that are gone because somebody had them removed: that is no damage.
    quick
        Paths relative to the project of files of which no more than a quick hash could be compared: no step has read all of them.
    """

    files: int = 0
    size: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)
    quick: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether no file is damaged."""
        return not (self.changed or self.missing or self.forged)


def verify(project: ProjectFolder, run_id: str, output: str | None = None) -> Verification:
    """Hash again every file of an output (of all outputs without one) and of all that it rests on."""
    runs = ancestry(project, run_id)
    wanted: dict[tuple[str, str], str | None] = {}
    for run in runs:
        for reference in run.references():
            wanted[reference["run"], reference["output"]] = reference["hash"]
    names = [output] if output else list(outputs_of(project.run(run_id)))
    wanted.update({(run_id, name): None for name in names})
    found = Verification()
    files: dict[str, dict[str, Any]] = {}
    whole: dict[str, str] = {}
    for (name, each), taken in wanted.items():
        manifest = manifest_of(project.run(name), each)
        content = _hash_of(manifest)
        if content != manifest["hash"] or taken not in (None, content):
            found.forged.append(f"{name}.{each}")
        table = manifest["table"]
        for entry in (*table["base"], *table["sidecars"], *([table["ids"]] if table["ids"] else []), *manifest["files"]):
            files[entry["path"]] = entry
        whole |= whole_hashes(project, name, manifest["files"])
    removed = {path for run in runs for path in cleaned_files(run)}
    for path, entry in sorted(files.items()):
        if path in removed:
            found.cleaned.append(path)
        else:
            _check(project.path / path, entry, whole.get(path, ""), found)
    return found


def _hash_of(manifest: dict[str, Any]) -> str:
    # as `Dataset.save` makes it
    content = {key: value for key, value in manifest.items() if key != "hash"}
    return blake3(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check(path: Path, entry: dict[str, Any], whole: str, found: Verification) -> None:
    """Compare a file with what its manifest says and, where that is a quick hash, with that of the `whole` file, if it is known."""
    quick = entry.get("quick", False)
    try:
        size = path.stat().st_size
        same = (quick_hash if quick else whole_hash)(path) == entry["blake3"] and (not quick or not whole or whole_hash(path) == whole)
    except FileNotFoundError:
        found.missing.append(entry["path"])
        return
    found.files += 1
    found.size += size
    if not same:
        found.changed.append(entry["path"])
    elif quick and not whole:
        found.quick.append(entry["path"])
