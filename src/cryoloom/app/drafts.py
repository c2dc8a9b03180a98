"""Drafts and interrupted runs, carried out in the order in which they rest on each other."""

from collections.abc import Iterator, Sequence

from cryoloom.app.runs import Observer, Run
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.provenance import ancestry
from cryoloom.engine.state import State
from cryoloom.spec import Failure


def unfinished(project: ProjectFolder, runs: Sequence[Run]) -> list[Run]:
    """Return which of `runs`, and of those they rest on, can be started now or after others of the list: drafts and interrupted ones.

    Left out is what needs somebody's decision, and what rests on that.
    """
    startable = {State.DRAFT, State.FAILED, State.STOPPED, State.LOST}
    ordered = {above.id: above for each in runs for above in ancestry(project, each.id)}
    coming: dict[str, bool] = {}
    found = []
    for name, folder in ordered.items():
        state = folder.standing().state
        coming[name] = state is not State.NEEDS_YOU and all(coming[reference["run"]] for reference in folder.references())
        if state in startable and coming[name]:
            found.append(Run(folder))
    return found


def carry_out(
    runs: list[Run], *, threads: int | None = None, target: str = "", nodes: int = 0, on_event: Observer | None = None
) -> Iterator[Run]:
    """Carry out what `unfinished` found, yielding each run as it finishes; a failure keeps back what rests on it, and nothing else.

    Raises
    ------
    Failure
        At the end: what the first run that failed said.
    """
    failures: list[Failure] = []
    without: set[str] = set()
    for run in runs:
        if any(reference["run"] in without for reference in run.folder.references()):
            without.add(run.id)
            continue
        try:
            yield run.resume(threads=threads, target=target, nodes=nodes, on_event=on_event)
        except Failure as failure:
            without.add(run.id)
            failures.append(failure)
    if failures:
        raise failures[0]
