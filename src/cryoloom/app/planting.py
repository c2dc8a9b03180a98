"""A workflow document into a project: a draft for every node, made in the order in which they rest on each other."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoloom import files
from cryoloom.app.forms import build, check_parameters, names_of, parsed, refuse_hints, sort_values, unit_of
from cryoloom.app.labels import label_of
from cryoloom.app.lifecycle import BY_HAND
from cryoloom.app.outputs import OutputRef
from cryoloom.app.preparation import prepare
from cryoloom.app.references import find_output
from cryoloom.app.runs import Run
from cryoloom.app.suggest import did_you_mean, folded
from cryoloom.engine.identity import Work
from cryoloom.engine.project import ProjectFolder
from cryoloom.spec import CryoloomError, Protocol, WrongUse
from cryoloom.spec.param import extra_of
from cryoloom.spec.paths import absolute
from cryoloom.spec.workflow import Asked, Node, Value, Workflow

Find = Callable[[str], type[Protocol] | None]


@dataclass
class Planted:
    """The runs of a workflow.

    Attributes
    ----------
    runs
        Node id to its run, in the order they were made.
    known
        Nodes whose run was there before, having the same identity.
    messages
        What whoever imported it should know.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)


def plant(project: ProjectFolder, workflow: Workflow, given: Mapping[str, str], *, find: Find) -> Planted:
    """Make a draft of every node; one that cannot be started yet says what it needs, and none is lost.

    Raises
    ------
    WrongUse
        Before anything is made: ``unknown-input`` or a bad value in `given`, ``workflow-unit`` for a unit that is not the parameter's.
    """
    return _Planting(workflow, given, find).plant(project)


def check(workflow: Workflow, given: Mapping[str, str], *, find: Find) -> None:
    """Raise what `plant` would, as far as that can be told without a project."""
    _Planting(workflow.model_copy(deep=True), given, find)


class _Planting:
    """What is known of nodes while their runs are made."""

    project: ProjectFolder

    def __init__(self, workflow: Workflow, given: Mapping[str, str], find: Find) -> None:
        self.nodes = {node.id: node for node in workflow.nodes}
        self.planted = Planted()
        self.stuck: set[str] = set()
        """Nodes that cannot run as things stand, and those that rest on them."""
        self.ours: dict[str, dict[str, str]] = {}
        """Node id to inputs that are given as outputs of the project."""
        self.touched: set[str] = set()
        self.protocols = {node.id: None if ":" in node.protocol else find(node.protocol) for node in workflow.nodes}
        self.values = self._values(workflow, self._sorted(workflow, given))

    # -- what was given -----------------------------------------------------------------------------------------

    def _sorted(self, workflow: Workflow, given: Mapping[str, str]) -> dict[str, Any]:
        """Return what is given for inputs of the workflow; keep what is given for single nodes."""
        inputs: dict[str, Any] = {}
        for name, text in given.items():
            if name in workflow.inputs:
                inputs[name] = _paths(text) if workflow.inputs[name].type in ("path", "paths") else text
            else:
                self._give(workflow, name, text)
        return inputs

    def _give(self, workflow: Workflow, name: str, text: str) -> None:
        place, _, wanted = name.rpartition(".")
        bearers = [node for node in workflow.nodes if place and place == node.id]
        bearers = bearers or [node for node in workflow.nodes if place and place == node.label]
        protocol = self.protocols[bearers[0].id] if len(bearers) == 1 else None
        own = names_of(protocol).get(folded(wanted)) if protocol else None
        if protocol is None or own is None:
            nodes = [node for node in workflow.nodes if self.protocols[node.id]]
            known = [
                *workflow.inputs,
                *(f"{node.id}.{each}" for node in nodes for each in (self.protocols[node.id] or Protocol).model_fields),
            ]
            cure = did_you_mean(name, known) or "`--dry-run` lists the inputs; NODE.NAME sets anything of one node."
            raise WrongUse("unknown-input", f"--set {name}: the workflow has no such input.", cure)
        node = bearers[0]
        for need in [need for need in node.needs if own in need.split("|")]:
            del node.needs[need]
        self.touched.add(node.id)
        if own in protocol.inputs():
            self.ours.setdefault(node.id, {})[own] = text
        else:
            is_path = extra_of(protocol.model_fields[own]).get("wizard", "").startswith("file")
            node.parameters[own] = Value(value=_paths(text) if is_path else text)

    def _values(self, workflow: Workflow, inputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return every node's parameters, those of the workflow's inputs put in their places."""
        found: dict[str, dict[str, Any]] = {}
        for node in workflow.nodes:
            protocol = self.protocols[node.id]
            for name, each in node.parameters.items():
                if each.input in inputs:
                    self.touched.add(node.id)
                if each.input and each.input not in workflow.inputs:
                    raise WrongUse("workflow-invalid", f"{node.id}.{name} refers to the input {each.input!r}.", "Declare it in inputs.")
                told = protocol.model_fields.get(name) if protocol else None
                if told and each.unit and each.unit != unit_of(told):
                    message = (
                        f"{node.id} ({node.protocol}): {name} is given in {each.unit}, the protocol takes {unit_of(told) or 'no unit'}."
                    )
                    raise WrongUse("workflow-unit", message, "Convert the value and correct the file.")
            found[node.id] = {name: _value(each.input, each.value, inputs, workflow.inputs) for name, each in node.parameters.items()}
            if protocol and node.id in self.touched:
                self._refuse_values(node, protocol, found[node.id])
        return found

    def _refuse_values(self, node: Node, protocol: type[Protocol], values: dict[str, Any]) -> None:
        """Say what is wrong with something given before anything is made."""
        if any(name not in values and told.is_required() for name, told in protocol.parameters().items()):
            return
        if not protocol.inputs():
            parameters, _ = sort_values(protocol, values)
            built = build(protocol, parameters, {})
            refuse_hints(built)
            try:
                built.fingerprint()
            except OSError as error:
                message = f"{protocol.id}: {error.filename or 'a file'} cannot be read: {error.strerror}."
                raise WrongUse("file-missing", message, "Check the path.") from error
        else:
            fields = protocol.parameters()
            check_parameters(protocol, {name: parsed(fields[name], value) for name, value in values.items() if name in fields})

    # -- what is made -------------------------------------------------------------------------------------------

    def plant(self, project: ProjectFolder) -> Planted:
        """Make the runs."""
        self.project = project
        own = {node: {name: find_output(project, text) for name, text in each.items()} for node, each in self.ours.items()}
        for node, circular in _in_order(self.nodes):
            protocol = self.protocols[node.id]
            needs = {name: why for name, why in node.needs.items() if name or not protocol}
            inputs = self._inputs(node, circular, needs, own.get(node.id, {}))
            if protocol is None:
                missing = ":" not in node.protocol
                what = f"{node.protocol} is no protocol installed here" if missing else f"nothing here does {node.protocol} yet"
                needs.setdefault("", f"{what}; it is kept as it is and never run")
                run = self._draft(node, f"cryoloom:{node.protocol}" if missing else node.protocol, self.values[node.id], inputs, needs)
            else:
                if node.version not in (None, protocol.version):
                    self.planted.messages.append(
                        f"{node.label or node.id}: made with version {node.version} of {protocol.id}, this is version {protocol.version}; "
                        "results differ."
                    )
                run = self._run(node, protocol, inputs, needs)
            self.planted.runs[node.id] = run
            if node.id not in self.planted.known:
                self._annotate(run, node)
            if self.touched and node.id not in self.touched and self.values[node.id].get(BY_HAND):
                self.planted.messages.append(
                    f"{run.id} keeps what was chosen by hand on the old data; in other data these ids mean other items. Choose again."
                )
        return self.planted

    @staticmethod
    def _annotate(run: Run, node: Node) -> None:
        if node.origin:
            files.write_json(run.folder.path / "origin.json", node.origin.model_dump())
        if node.note:
            run.note(node.note)
        run.tag(*filter(None, map(label_of, node.tags)))

    def _run(self, node: Node, protocol: type[Protocol], inputs: dict[str, Any], needs: dict[str, str]) -> Run:
        values = self.values[node.id]
        for name, told in protocol.model_fields.items():
            required = told.is_required() and name not in values and name not in inputs
            if required and not any(name in need.split("|") for need in needs):
                needs[name] = f"has to be given ({(told.description or '').partition('.')[0]})"
        if not needs and not any(source in self.stuck for _, source, _ in node.sources()):
            before = {run.id for run in self.project.runs()}
            given = {name: [_name(each) for each in _listed(reference)] for name, reference in inputs.items()}
            try:
                run = prepare(
                    self.project, protocol.id, {**values, **given}, name=label_of(node.label), seed=node.seed, again=node.origin is not None
                )
            except CryoloomError as error:
                needs[""] = error.message.removeprefix(f"{protocol.id}: ").rstrip(".")
            else:
                if run.id in before:
                    self.planted.known.add(node.id)
                return run
        try:
            values = check_parameters(protocol, {name: parsed(protocol.model_fields[name], value) for name, value in values.items()})
        except (WrongUse, KeyError):
            values = {**_defaults(protocol), **values}
        return self._draft(node, protocol.id, values, inputs, needs, protocol.version)

    def _draft(
        self, node: Node, protocol: str, values: dict[str, Any], inputs: dict[str, Any], needs: dict[str, str], number: int | None = None
    ) -> Run:
        """Make a run that cannot be started as things stand."""
        self.stuck.add(node.id)
        project = self.project
        content = {name: project.content(reference) for name, reference in inputs.items()}
        work = Work(protocol, number or node.version or 1, values, content, node.seed)
        run = project.new_run(work, inputs, label=label_of(node.label), why=f"node {node.id} of an imported workflow", needs=needs)
        return Run(run)

    def _inputs(self, node: Node, circular: set[str], needs: dict[str, str], own: Mapping[str, OutputRef]) -> dict[str, Any]:
        """Return the inputs as ``run.json`` keeps them; what cannot be resolved is added to `needs`."""
        found: dict[str, Any] = {}
        for name, source, output in node.sources():
            if name in own:
                continue
            if source in circular:
                needs[name] = f"rests on this run itself, through {source}"
            elif source not in self.planted.runs:
                needs[name] = f"is to be {source}.{output}".rstrip(".") + ", which is not in the file"
            else:
                reference = _reference(self.planted.runs[source], output)
                found[name] = [*_listed(found.get(name, [])), reference] if isinstance(node.inputs[name], list) else reference
        for name, output in own.items():
            found[name] = _reference(output.run, output.name)
        return found


def _paths(text: str) -> str | list[str]:
    """Return a path, or several written as a JSON list, as seen from the root."""
    if text.startswith("["):
        try:
            return [absolute(str(each)) for each in json.loads(text)]
        except ValueError:
            pass
    return absolute(text)


def _value(name: str, value: Any, inputs: Mapping[str, Any], asked: Mapping[str, Asked]) -> Any:
    return inputs.get(name, asked[name].default) if name else value


def _defaults(protocol: type[Protocol]) -> dict[str, Any]:
    fields = protocol.parameters().items()
    return json.loads(json.dumps({name: told.get_default(call_default_factory=True) for name, told in fields if not told.is_required()}))


def _reference(run: Run, output: str) -> dict[str, Any]:
    published = (run.folder.published() or {"outputs": {}})["outputs"]
    return {"run": run.id, "output": output, "hash": published[output]["hash"] if output in published else None}


def _name(reference: Mapping[str, Any]) -> str:
    return f"{reference['run']}.{reference['output']}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _in_order(nodes: Mapping[str, Node]) -> Iterable[tuple[Node, set[str]]]:
    """Yield every node after those it takes from, with those sources that it cannot come after because they rest on it."""
    done: dict[str, set[str]] = {}
    for first in nodes:
        path: list[tuple[str, Any]] = []
        entering = [first]
        while entering or path:
            if entering:
                name = entering.pop()
                if name not in done and name not in {each for each, _ in path}:
                    path.append((name, iter([source for _, source, _ in nodes[name].sources() if source in nodes])))
                continue
            name, sources = path[-1]
            above = next(sources, None)
            if above is None:
                path.pop()
                done.setdefault(name, set())
                yield nodes[name], done[name]
            elif above in {each for each, _ in path}:
                done.setdefault(name, set()).add(above)
            elif above not in done:
                entering.append(above)
