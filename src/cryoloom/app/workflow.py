"""A project's workflow as a file, and a file of ours or of another program as drafts in a project."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from cryoloom import files
from cryoloom.app import catalogue
from cryoloom.app.forms import unit_of
from cryoloom.app.planting import Planted, check, plant
from cryoloom.engine import annotations
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder, in_order
from cryoloom.engine.provenance import ancestry
from cryoloom.importers import importers
from cryoloom.spec import Protocol, WrongUse
from cryoloom.spec.param import extra_of
from cryoloom.spec.workflow import SCHEMA, Asked, Node, Origin, Reading, Value, Workflow

OWN = "cryoloom"


# -- out --------------------------------------------------------------------------------------------------------


def document(project: ProjectFolder, run_id: str = "") -> Workflow:
    """Return the workflow of a project, or of a run and all that it rests on.

    Paths outside the project, which parameters of imports hold, become inputs of the workflow, with the present path as their default.
    """
    folders = ancestry(project, run_id) if run_id else in_order(project.runs())
    workflow = Workflow(
        name=project.record["name"],
        program=f"{OWN} {version('cryoloom')}",
        notes=[note["text"] for note in project.notes()],
        nodes=[_node(folder) for folder in folders],
    )
    return asking(workflow)


def _node(folder: RunFolder) -> Node:
    record = folder.record
    protocol = known(record["protocol"])
    fields = protocol.model_fields if protocol else {}
    units = {name: unit_of(fields[name]) for name in record["parameters"] if name in fields}
    origin = folder.origin()
    return Node(
        id=folder.id,
        protocol=record["protocol"].removeprefix(f"{OWN}:"),
        version=record["version"],
        label=next(iter(folder.labels()), ""),
        note="\n\n".join(note["text"] for note in annotations.notes(folder)),
        tags=annotations.tags(folder),
        seed=record["seed"],
        parameters={name: Value(value=value, unit=units.get(name, "")) for name, value in record["parameters"].items()},
        inputs={name: [*map(_source, given)] if isinstance(given, list) else _source(given) for name, given in record["inputs"].items()},
        needs={name: why for name, why in record.get("needs", {}).items() if name or not protocol},  # the others are found anew
        origin=Origin(**origin) if origin else None,
    )


def _source(reference: Mapping[str, Any]) -> str:
    return f"{reference['run']}.{reference['output']}".rstrip(".")


def known(name: str) -> type[Protocol] | None:
    """Return the protocol of an id or of another program's name for it, None where there is none that works."""
    try:
        return catalogue.protocol(name.removeprefix(f"{OWN}:"))
    except WrongUse:
        return None


def asking(workflow: Workflow) -> Workflow:
    """Return the workflow with every path that a parameter holds turned into an input that asks for it."""
    for node in workflow.nodes:
        _spend_folder(node)
    places = [(node, name) for node in workflow.nodes for name in _paths(node)]
    count = Counter(name for _, name in places)
    inputs = dict(workflow.inputs)
    for node, name in places:
        asked = name if count[name] == 1 and name not in workflow.inputs else f"{_plain(node.label) or node.id}.{name}"
        asked = asked if asked not in inputs else f"{node.id}.{name}"
        value = node.parameters[name].value
        protocol = known(node.protocol)
        told = protocol.model_fields[name] if protocol else None
        several = isinstance(value, list | tuple)
        inputs[asked] = Asked(
            type="paths" if several else "path", label=extra_of(told)["label"] if told else "", help=(told and told.description) or "",
            default=value,
        )  # fmt: skip
        node.parameters[name] = Value(input=asked)
    return workflow.model_copy(update={"inputs": inputs})


def _spend_folder(node: Node) -> None:
    """Forget the folder in which relative patterns start, once they are seen from the root."""
    lists = [each.value for each in node.parameters.values() if isinstance(each.value, list) and each.value]
    if "folder" in node.parameters and any(all(str(path).startswith("/") for path in paths) for paths in lists):
        node.parameters["folder"] = Value(value="")


def _plain(label: str) -> str:
    return label if label and all(letter.isalnum() or letter in "-_" for letter in label) else ""


def _paths(node: Node) -> list[str]:
    """Return the parameters of a node that hold a path."""
    protocol = known(node.protocol) if ":" not in node.protocol else None
    if protocol is None:
        return []  # what another program's step holds is kept word for word
    found = []
    for name, given in node.parameters.items():
        texts = given.value if isinstance(given.value, list | tuple) else [given.value]
        declared = name in protocol.model_fields and extra_of(protocol.model_fields[name]).get("wizard", "").startswith("file")
        if any(isinstance(text, str) and text and (declared or text.startswith("/")) for text in texts):
            found.append(name)
    return found


def to_json(workflow: Workflow) -> dict[str, Any]:
    """Return the document as plain data, without what says nothing."""
    head = {"$schema": SCHEMA, "version": workflow.version, "name": workflow.name, "program": workflow.program, "notes": workflow.notes}
    inputs = {name: asked.model_dump(exclude_defaults=True) for name, asked in workflow.inputs.items()}
    return {**head, "inputs": inputs, "nodes": [_node_json(node) for node in workflow.nodes]}


def _node_json(node: Node) -> dict[str, Any]:
    parameters = {
        name: {"input": given.input} if given.input else {"value": given.value, **({"unit": given.unit} if given.unit else {})}
        for name, given in node.parameters.items()
    }
    head = {"id": node.id, "protocol": node.protocol, "version": node.version, "label": node.label, "seed": node.seed}
    rest = node.model_dump(include={"note", "tags", "needs", "origin"}, exclude_defaults=True)
    return {**head, **rest, "parameters": parameters, "inputs": node.inputs}


def export_workflow(project: ProjectFolder, path: Path | None = None, *, run_id: str = "", format_name: str = OWN) -> str:
    """Return a project's workflow as text, and write it to `path` if there is one.

    Parameters
    ----------
    format_name
        ``cryoloom``, or a program that the workflow was imported from: then its nodes are given back as that program wrote them.

    Raises
    ------
    WrongUse
        ``unknown-format``, or ``nothing-to-export``.
    """
    workflow = document(project, run_id)
    if format_name == OWN:
        text = json.dumps(to_json(workflow), indent=1, ensure_ascii=False) + "\n"
    else:
        text = _writer(format_name).write(_records(project, workflow, format_name))
    if path is not None:
        with files.replacing(path) as handle:
            handle.write(text.encode())
    return text


def _writer(program: str) -> ModuleType:
    writers = {module.PROGRAM: module for module in importers() if hasattr(module, "write")}
    if program not in writers:
        there = ", ".join((OWN, *writers))
        raise WrongUse("unknown-format", f"--format {program}: not a workflow that can be written.", f"Choose one of {there}.")
    return writers[program]


def _records(project: ProjectFolder, workflow: Workflow, program: str) -> list[Any]:
    """Return what that program wrote, in its order: of the last file, should several have been imported."""
    origins = [node.origin for node in workflow.nodes if node.origin and node.origin.program == program]
    if not origins:
        raise WrongUse("nothing-to-export", f"{project.path} holds nothing that was imported from {program}.", "Leave out --format.")
    return [origin.record for origin in sorted(origins, key=lambda each: each.position) if origin.source == origins[-1].source]


# -- in ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """What came of an import.

    Attributes
    ----------
    workflow
        What was read.
    planted
        The drafts made of it; None when nothing was to be made.
    counts, messages, results
        As in `Reading`.
    """

    workflow: Workflow
    planted: Planted | None
    counts: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    results: bool = False


def import_workflow(project: ProjectFolder | None, path: Path, given: Mapping[str, str] | None = None) -> Import:
    """Read a workflow and make a draft of every node.

    Parameters
    ----------
    project
        None: only look.
    path
        A file of ours; a workflow or template of Scipion; a RELION project; a table or group of cryoSPARC.
    given
        Inputs of the workflow, or parameters and inputs of one of its nodes (``NODE.NAME``, by id or label), as texts.

    Raises
    ------
    WrongUse
        ``no-workflow``, ``unknown-workflow``, ``workflow-invalid``, ``workflow-newer``, and what is wrong with `given`.
    """
    left = dict(given or {})
    reading = _read(path, left)
    workflow = asking(reading.workflow)
    if project is None:
        check(workflow, left, find=known)
        return Import(workflow, None, reading.counts, reading.messages, reading.results)
    planted = plant(project, workflow, left, find=known)
    for note in workflow.notes:
        project.note(note)
    return Import(workflow, planted, reading.counts, [*reading.messages, *planted.messages], reading.results)


def _read(path: Path, given: dict[str, str]) -> Reading:
    if not path.exists():
        raise WrongUse("no-workflow", f"{path}: there is no such file.", "Check the path.")
    for importer in importers():
        if importer.recognises(path):
            return importer.read(path, given, known)
    programs = ", ".join(module.PROGRAM for module in importers())
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError):
        record = None
    if not isinstance(record, dict) or not str(record.get("$schema", "")).startswith(SCHEMA.rpartition("-")[0]):
        raise WrongUse(
            "unknown-workflow",
            f"{path}: not a workflow of ours, nor of {programs}.",
            "`cryoloom import-workflow --help` says what is read.",
        )
    return Reading(_validated(record, path))


def _validated(record: dict[str, Any], path: Path) -> Workflow:
    if isinstance(record.get("version"), int) and record["version"] > 1:
        message = f"{path}: version {record['version']} of the format; this program reads version 1."
        raise WrongUse("workflow-newer", message, "Use the program it was written with, or a newer one.")
    try:
        workflow = Workflow.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise WrongUse("workflow-invalid", f"{path}: {place}: {first['msg']}.", "Correct the file.") from error
    twice = [name for name, count in Counter(node.id for node in workflow.nodes).items() if count > 1]
    if twice:
        raise WrongUse("workflow-invalid", f"{path}: the node id {twice[0]} occurs twice.", "Give every node an id of its own.")
    return workflow
