"""Where an output comes from, and whether its files are still what they were."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from cryoloom.engine.cleaning import cleaned_files
from cryoloom.engine.events import EventReader
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE
from cryoloom.spec.errors import WrongUse
from cryoloom.tables import Dataset


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


def trace(project: ProjectFolder, run_id: str, output: str) -> dict[str, Any]:
    """Return the history of an output.

    Returns
    -------
    dict
        ``output`` and its ``hash``; ``steps``, first to last, each with protocol, version, parameters, inputs, seed, program version and
        environment; ``sources``, the files that the first steps brought in.
    """
    manifest = manifest_of(project.run(run_id), output)
    steps = [_step(project, run) for run in ancestry(project, run_id)]
    sources = [source for run in ancestry(project, run_id) if not run.record["inputs"] for source in _sources(project.path, run)]
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


def _sources(root: Path, run: RunFolder) -> list[dict[str, Any]]:
    found = []
    for name, manifest in (run.published() or {"outputs": {}})["outputs"].items():
        items = Dataset.load(manifest, root).items
        for column in (column for column in items.columns if column.endswith("_path")):
            paths = dict.fromkeys(path for path in items[column].to_list() if path)
            found.extend({"run": run.id, "output": name, "column": column, "path": path} for path in paths)
    return found


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
    """

    files: int = 0
    size: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)

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
    for (name, each), taken in wanted.items():
        manifest = manifest_of(project.run(name), each)
        content = _hash_of(manifest)
        if content != manifest["hash"] or taken not in (None, content):
            found.forged.append(f"{name}.{each}")
        table = manifest["table"]
        for entry in (*table["base"], *table["sidecars"], *([table["ids"]] if table["ids"] else []), *manifest["files"]):
            files[entry["path"]] = entry
    removed = {path for run in runs for path in cleaned_files(run)}
    for path, entry in sorted(files.items()):
        if path in removed:
            found.cleaned.append(path)
        else:
            _check(project.path / path, entry, found)
    return found


def _hash_of(manifest: dict[str, Any]) -> str:
    # as `Dataset.save` makes it
    content = {key: value for key, value in manifest.items() if key != "hash"}
    return blake3(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check(path: Path, entry: dict[str, Any], found: Verification) -> None:
    try:
        size = path.stat().st_size
        digest = blake3(max_threads=1).update_mmap(path).hexdigest() if size else blake3().hexdigest()
    except FileNotFoundError:
        found.missing.append(entry["path"])
        return
    found.files += 1
    found.size += size
    if digest != entry["blake3"]:
        found.changed.append(entry["path"])
