"""From a protocol and values to a run: the one that has done this work, or a new draft. Nothing is started here."""

import json
from collections.abc import Mapping
from typing import Any

from cryoloom.app import catalogue, forms, references
from cryoloom.app.labels import check_label
from cryoloom.app.runs import Run
from cryoloom.engine.cleaning import is_hollow
from cryoloom.engine.events import append_line
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.identity import Work, explain
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import Protocol, WrongUse


def prepare(
    project: ProjectFolder,
    protocol: str,
    values: Mapping[str, Any],
    *,
    name: str = "",
    seed: int = 0,
    again: bool = False,
    afresh: bool = False,
    run_id: str = "",
) -> Run:
    """Return a run of equal identity or a new draft; start nothing.

    With `again` it is a new one always; with `afresh` that takes over no items of earlier runs; with `run_id` it has this id.
    Of several processes that ask for the same work at the same moment one makes the run, and all get it.
    """
    if name:
        check_label(name)
    found = catalogue.protocol(protocol)
    work, inputs, advice = _work(project, found, values, seed)

    def new() -> Run:
        why, streams = _why(project, work), bool(found.streams)
        return Run(project.new_run(work, inputs, label=name, why=why, advice=advice, run_id=run_id, afresh=afresh, streams=streams))

    if again or afresh or run_id:
        return new()
    same = _same(project, work)
    if same is None:
        with project.making(work):
            same = _same(project, work)
            if same is None:
                return new()
    if name and name not in same.labels():
        append_line(same.path / "labels.jsonl", {"label": name, "show": not same.labels()})
    return Run(same)


def why(project: ProjectFolder, protocol: str, values: Mapping[str, Any], *, seed: int = 0) -> str:
    """Return why a run with these values would be computed, or which run has done it already."""
    work, _, _ = _work(project, catalogue.protocol(protocol), values, seed)
    return _why(project, work)


def same(project: ProjectFolder, protocol: str, values: Mapping[str, Any], *, seed: int = 0) -> str:
    """Return the id of the run that `prepare` would take instead of a new one; an empty text when there is none."""
    work, _, _ = _work(project, catalogue.protocol(protocol), values, seed)
    found = _same(project, work)
    return found.id if found else ""


def _why(project: ProjectFolder, work: Work) -> str:
    alike = [run for run in project.runs() if run.record["protocol"] == work.protocol]
    if hollow := next((run.id for run in project.same_work(work) if is_hollow(run)), None):
        return f"same as {hollow}, whose files were cleaned away"
    return explain(work, [(run.id, project.work(run)) for run in alike])


def _same(project: ProjectFolder, work: Work) -> RunFolder | None:
    """Return the run to take instead of a new one; one whose files were cleaned away, or that has ended its watch, gives nothing new."""
    watching = catalogue.protocol(work.protocol).model_construct(**work.parameters).expects_more(0.0)
    alike = [run for run in project.same_work(work) if not is_hollow(run) and not (watching and run.published())]
    return min(alike, key=_preference, default=None)


def _work(project: ProjectFolder, protocol: type[Protocol], values: Mapping[str, Any], seed: int) -> tuple[Work, dict[str, Any], list[str]]:
    """Return what would be computed, its inputs as ``run.json`` keeps them, and what its check found."""
    given, wanted = forms.sort_values(protocol, values)
    taken = references.resolve_inputs(project, protocol, wanted)
    if all(reference["hash"] for each in taken.values() for reference in (each if isinstance(each, list) else [each])):
        built = forms.build(protocol, given, references.open_inputs(project, taken))
        advice, fingerprint, parameters = forms.refuse_hints(built), _fingerprint(built), built.parameter_values()
    else:  # the run itself will check what depends on inputs that are still being made
        advice, fingerprint, parameters = [], None, forms.check_parameters(protocol, given)
    content = {name: project.content(each) for name, each in taken.items()}
    return Work(protocol.id, protocol.version, parameters, content, seed, fingerprint), taken, advice


def _preference(run: RunFolder) -> int:
    # of several runs of equal identity: a finished one, else one at work, else one that can be resumed
    state = run.standing().state
    return 0 if state is State.FINISHED else 1 if state in ACTIVE else 2


def _fingerprint(protocol: Protocol) -> Any:
    """Return a protocol's fingerprint as it will come back from ``run.json``, or it would never compare equal again."""
    if protocol.expects_more(0.0):
        return None  # nobody knows yet
    try:
        return json.loads(json.dumps(protocol.fingerprint()))
    except OSError as error:
        where = error.filename or "a file"
        raise WrongUse("file-missing", f"{protocol.id}: {where} cannot be read: {error.strerror}.", "Check the path.") from error
