"""What ``RUN``, ``RUN.OUTPUT`` and a label mean in a project, and whether an output fits an input."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import polars as pl
from pydantic.fields import FieldInfo

from cryoloom.app import catalogue
from cryoloom.app.forms import kinds_of
from cryoloom.app.outputs import OutputRef, register_kinds
from cryoloom.app.runs import Run, all_runs
from cryoloom.app.suggest import did_you_mean
from cryoloom.engine.cleaning import is_hollow
from cryoloom.engine.folder import RUN_ID
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.provenance import ancestry
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import Protocol, WrongUse
from cryoloom.spec.param import extra_of
from cryoloom.tables import Dataset
from cryoloom.tables.dataset import dataset_kind


def find_run(project: ProjectFolder, name: Any) -> Run:
    """Return the run that an id or a unique label names."""
    if isinstance(name, Run):
        return name
    if RUN_ID.fullmatch(name):
        return Run(project.run(name))
    bearers = [run for run in project.runs() if name in run.labels()]
    if len(bearers) > 1:
        ids = ", ".join(run.id for run in bearers)
        raise WrongUse("ambiguous-label", f"Several runs are called {name!r}: {ids}.", "Use the id.")
    if not bearers:
        known = [label for run in project.runs() for label in (run.id, *run.labels())]
        cure = did_you_mean(name, known) or "`cryoloom status` lists the runs."
        raise WrongUse("unknown-run", f"There is no run {name!r} in {project.path}.", cure)
    return Run(bearers[0])


def names_run(project: ProjectFolder, name: Any) -> bool:
    """Return whether `name` is a run's id or label rather than an output's name."""
    return isinstance(name, str) and (RUN_ID.fullmatch(name) is not None or any(name in run.labels() for run in project.runs()))


def find_output(project: ProjectFolder, name: "str | OutputRef | Run", kinds: tuple[type[Dataset], ...] = ()) -> OutputRef:
    """Return the output ``RUN.OUTPUT``; of a bare ``RUN``, its only output (of one of `kinds`)."""
    if isinstance(name, OutputRef):
        if name.run.folder.root != project.path:
            raise WrongUse("other-project", f"{name} belongs to the project {name.run.folder.root}.", "Export it there and import it here.")
        return name
    if isinstance(name, Run) or names_run(project, name):
        run = find_run(project, name)
        fitting = [each for each in run.outputs if not kinds or issubclass(kind_of(each), kinds)]
        fitting = fitting or list(run.outputs)  # the one who asked says what does not fit
        if not fitting:
            why = " ".join(run.warnings) if run.state is State.FINISHED else f"It is {run.state}."
            raise WrongUse(
                "no-output", f"{run.id} ({run.protocol}) has no output. {why}".strip(), "Choose another run, or run it otherwise."
            )
        if len(fitting) != 1:
            there = ", ".join(str(each) for each in run.outputs) or "none"
            raise WrongUse("which-output", f"{run.id} ({run.protocol}) has the outputs {there}.", "Name the one you mean.")
        return fitting[0]
    if not isinstance(name, str):
        raise WrongUse(
            "not-an-output",
            f"{name!r} is not an output of a run.",
            "Give run.outputs.NAME or 'RUN.OUTPUT'; a set changed in memory becomes an output through sets.select or an import.",
        )
    run_name, dot, output = name.rpartition(".")
    if not dot:
        find_run(project, name)  # says what is wrong with it
    run = find_run(project, run_name)
    if output not in run.outputs:
        there = [each.name for each in run.outputs]
        raise WrongUse("unknown-output", f"{run.id} ({run.protocol}) has no output {output!r}.", did_you_mean(output, there))
    return run.outputs[output]


def resolve_inputs(project: ProjectFolder, protocol: type[Protocol], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs as ``run.json`` keeps them: ``{run, output, hash}``, or a list of them for an input of several sets.

    Raises
    ------
    WrongUse
        An output that does not exist, is of the wrong kind, lacks columns, or whose run has failed.
    """
    found: dict[str, Any] = {}
    for name, given in wanted.items():
        field = protocol.model_fields[name]
        if extra_of(field).get("many"):
            listed = given if isinstance(given, list | tuple) else _split(given)
            found[name] = [_reference(project, protocol, name, field, each) for each in listed]
        elif isinstance(given, list | tuple):
            if len(given) != 1:
                raise WrongUse("one-set", f"{protocol.id}: input {name} takes one set, not {len(given)}.", "Join them first: sets.join.")
            found[name] = _reference(project, protocol, name, field, given[0])
        else:
            found[name] = _reference(project, protocol, name, field, given)
    return found


def _split(given: Any) -> list[Any]:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else [given]


def _reference(project: ProjectFolder, protocol: type[Protocol], name: str, field: FieldInfo, given: Any) -> dict[str, Any]:
    kinds = kinds_of(field)
    output = find_output(project, given, kinds)
    state = output.run.state
    if state is not State.FINISHED and state is not State.DRAFT and state not in ACTIVE:
        raise WrongUse(
            "input-not-there", f"{protocol.id}: input {name} is {output}, whose run is {state}.", f"Resume {output.run.id} first."
        )
    if not issubclass(kind_of(output), kinds):
        accepted = " or ".join(kind.kind for kind in kinds)
        raise WrongUse(
            "wrong-kind",
            f"{protocol.id}: input {name} takes {accepted}; {output} is {kind_of(output).kind}.",
            _offers(project, kinds) or f"No run of this project gives {accepted} yet.",
        )
    if state is not State.FINISHED:
        return {"run": output.run.id, "output": output.name, "hash": None}
    if gone := _cleaned_away(output):
        raise WrongUse(
            "input-cleaned",
            f"{protocol.id}: input {name} is {output}, whose images or maps, made by {gone}, were cleaned away.",
            f"Compute them again: cryoloom restart PROJECT {gone}.",
        )
    if not output.count:
        raise WrongUse(
            "empty-input", f"{protocol.id}: input {name} is {output}, which holds no {output.kind}.", f"Look at what {output.run.id} says."
        )
    missing = [column for column in extra_of(field).get("columns", ()) if column not in _columns(output)]
    if missing:
        raise WrongUse(
            "columns-missing",
            f"{protocol.id}: input {name} must have {', '.join(missing)}; {output} has not.",
            "Choose a set from a later step that has added them.",
        )
    return {"run": output.run.id, "output": output.name, "hash": output.hash}


def _cleaned_away(output: OutputRef) -> str:
    """Return the run whose cleaned files the rows of an output name; an empty text when there is none."""
    hollow = {run.id for run in ancestry(output.run.project, output.run.id) if is_hollow(run)}
    if not hollow:
        return ""
    items = output.items
    named = (
        items[column].drop_nulls().unique() for column in items.columns if column.endswith("_path") and items[column].dtype == pl.String
    )
    return next((path.split("/")[1] for paths in named for path in paths if path.count("/") > 1 and path.split("/")[1] in hollow), "")


def _columns(output: OutputRef) -> list[str]:
    return output.to_polars().columns


def _offers(project: ProjectFolder, kinds: tuple[type[Dataset], ...]) -> str:
    found = [
        str(output) + (f" ({run.label})" if run.label else "")
        for run in all_runs(project)
        for output in run.outputs
        if _fits(output, kinds)
    ]
    return f"Use {', '.join(found[-8:])}." if found else ""


def _fits(output: OutputRef, kinds: tuple[type[Dataset], ...]) -> bool:
    return output.run.state is State.FINISHED and issubclass(kind_of(output), kinds)


@cache
def _declared_kinds(protocol: type[Protocol]) -> Mapping[str, tuple[type[Dataset], ...]]:
    """Return the kinds that a protocol's outputs are declared with, its parameters as they are by default."""
    return {name: kinds_of(FieldInfo(annotation=annotation)) for name, annotation in protocol.gives().items()}


def may_give(protocol: str, kinds: tuple[type[Dataset], ...]) -> bool:
    """Return whether a protocol declares outputs of one of these kinds; unknown protocols do not."""
    try:
        declared = _declared_kinds(catalogue.protocol(protocol))
    except WrongUse:
        return False
    given = [kind for of_output in declared.values() for kind in of_output]
    return any(issubclass(kind, kinds) or any(issubclass(each, kind) for each in kinds) for kind in given)


def kind_of(output: OutputRef) -> type[Dataset]:
    """Return the class of an output, declared or published."""
    heads = output.run.folder.heads()
    if heads is not None:
        register_kinds(output.run)
        return dataset_kind(heads[output.name]["kind"])
    protocol = catalogue.protocol(output.run.protocol)
    declared = _declared_kinds(protocol)
    annotation = None if output.name in declared else protocol.gives(output.run.parameters)[output.name]
    return (declared[output.name] if annotation is None else kinds_of(FieldInfo(annotation=annotation)))[0]


def open_inputs(project: ProjectFolder, taken: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sets that inputs name, as ``run.json`` keeps them."""

    def opened(reference: Mapping[str, Any]) -> Dataset:
        return Run(project.run(reference["run"])).outputs[reference["output"]].dataset

    return {name: tuple(map(opened, given)) if isinstance(given, list) else opened(given) for name, given in taken.items()}
