"""Runs: made, started, stopped, copied, deleted, annotated; and what they printed."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cryoloom.app import catalogue
from cryoloom.app.compatibility import takers
from cryoloom.app.references import kind_of
from cryoloom.app.session import Project, Run
from cryoloom.engine.state import ACTIVE, State
from cryoloom.server.context import ProjectAt, RunAt, WatchAt
from cryoloom.server.models import Logged, Made, Problem, RunDetail, Taker
from cryoloom.spec import CryoloomError

router = APIRouter(prefix="/api/projects/{project}/runs", tags=["runs"])

PIECE = 1 << 18
"""Bytes of a log in one answer."""


class Resources(BaseModel):
    """Where and with what a run works; results do not depend on it."""

    threads: int | None = Field(None, ge=1, le=1024)
    target: Literal["", "local", "slurm"] = ""
    nodes: int = Field(0, ge=0, le=1024)


class Wanted(Resources):
    """A run to be made: parameters as values or texts, inputs as ``RUN.OUTPUT`` or a list of them."""

    protocol: str
    values: dict[str, Any] = {}
    label: str = Field("", max_length=200)
    seed: int = Field(0, ge=0)
    start: bool = True
    again: bool = False


class RunChange(BaseModel):
    """What to change of what is written beside a run."""

    label: str | None = Field(None, max_length=200)
    note: str | None = Field(None, max_length=100_000)
    tag: list[str] = []
    untag: list[str] = []


class CopyWanted(BaseModel):
    """Which runs to copy: `values` are changed in all of them; with `below` everything that depends on them follows."""

    runs: list[str] = Field(min_length=1)
    values: dict[str, Any] = {}
    onto: dict[str, str] = {}
    below: bool = False
    start: bool = False


@router.post("", response_model=Made, status_code=201)
def make(project: ProjectAt, watch: WatchAt, wanted: Wanted) -> dict[str, Any]:
    """Make a run and start it, unless the same work has been done: then return the run that did it."""
    run = project.prepare(wanted.protocol, _given(wanted.values), name=wanted.label.strip(), seed=wanted.seed, again=wanted.again)
    reused = run.state is State.FINISHED
    if wanted.start and not reused and run.state not in ACTIVE:
        run.start(threads=wanted.threads, target=wanted.target, nodes=wanted.nodes)
    watch.hurry()
    return {"run": run.id, "state": run.state, "reused": reused}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [])}


@router.get("/{run}", response_model=RunDetail)
def one(project: ProjectAt, run: RunAt) -> dict[str, Any]:
    """Return everything about a run but its pictures."""
    title = "" if run.placeholder else catalogue.title_of(catalogue.protocol(run.protocol))
    error = run.error
    problem = Problem(code=f"CL-{error.code}", message=error.message, cure=error.cure) if error else None
    below = [folder.id for folder in project.folder.below([run.id])]
    return {**run.describe(), "title": title, "problem": problem, "dependents": below}


@router.patch("/{run}", response_model=RunDetail)
def change(project: ProjectAt, run: RunAt, watch: WatchAt, wanted: RunChange) -> dict[str, Any]:
    """Label, tag or annotate a run."""
    if wanted.label is not None:
        run.rename(wanted.label.strip())
    if wanted.note:
        run.note(wanted.note)
    run.tag(*wanted.tag)
    run.untag(*wanted.untag)
    watch.hurry()
    return one(project, run)


@router.post("/{run}/start", response_model=Made)
def start(run: RunAt, watch: WatchAt, wanted: Resources) -> dict[str, Any]:
    """Start a draft, or go on with a failed, stopped or lost run; finished items and iterations are kept."""
    run.start(threads=wanted.threads, target=wanted.target, nodes=wanted.nodes)
    watch.hurry()
    return {"run": run.id, "state": run.state}


@router.post("/{run}/stop", response_model=Made)
def stop(run: RunAt, watch: WatchAt) -> dict[str, Any]:
    """End a run; returns when nothing of it is left."""
    run.stop()
    watch.hurry()
    return {"run": run.id, "state": run.state}


@router.post("/{run}/close", response_model=Made)
def close(run: RunAt, watch: WatchAt) -> dict[str, Any]:
    """Tell an import that watches a folder that no more will come."""
    run.close()
    watch.hurry()
    return {"run": run.id, "state": run.state}


@router.post("/{run}/restart", response_model=Made, status_code=201)
def restart(project: ProjectAt, run: RunAt, watch: WatchAt, wanted: Resources) -> dict[str, Any]:
    """Do a run again from the beginning, as a new run; the old one stays."""
    made = project.restart(run).start(threads=wanted.threads, target=wanted.target, nodes=wanted.nodes)
    watch.hurry()
    return {"run": made.id, "state": made.state}


@router.post("/copies", response_model=list[Made], status_code=201)
def copies(project: ProjectAt, watch: WatchAt, wanted: CopyWanted) -> list[dict[str, Any]]:
    """Make drafts like these runs."""
    done = project.copy_runs(*wanted.runs, onto=wanted.onto, below=wanted.below, **wanted.values)
    if wanted.start:
        project.start_drafts(*done.runs.values())
    watch.hurry()
    return [{"run": run.id, "state": run.state} for run in done.runs.values()]


@router.delete("/{run}", response_model=list[str])
def delete(project: ProjectAt, run: RunAt, watch: WatchAt, with_dependents: bool = False) -> list[str]:
    """Move a run, and on request all that depends on it, to the trash."""
    gone = [each.id for each in project.delete(run, with_dependents=with_dependents)]
    watch.hurry()
    return gone


@router.get("/{run}/log", response_model=Logged)
def log(run: RunAt, after: int = 0) -> dict[str, Any]:
    """Return what a run printed, from byte `after` on; a negative one counts from the end."""
    paths = run.folder.logs()
    sizes = [path.stat().st_size for path in paths]
    size = sum(sizes)
    begin = max(0, size + after) if after < 0 else min(after, size)
    if after < 0 and begin < size - PIECE:
        begin = size - PIECE
    found, skipped = b"", 0
    for path, length in zip(paths, sizes, strict=True):
        if skipped + length > begin and len(found) < PIECE:
            with path.open("rb") as file:
                file.seek(max(0, begin - skipped))
                found += file.read(PIECE - len(found))
        skipped += length
    return {"text": found.decode(errors="replace"), "offset": begin + len(found), "size": size}


@router.get("/{run}/next", response_model=list[Taker])
def following(run: RunAt) -> list[dict[str, Any]]:
    """Return the protocols that take an output of a run."""
    kinds = dict.fromkeys(kind_of(output).kind for output in run.outputs)
    return [
        {"protocol": protocol, "step": protocol.partition(".")[0], "input": name, "kinds": fitting}
        for protocol, name, fitting in takers(kinds)
    ]


@router.get("/{run}/events")
def events(run: RunAt) -> list[dict[str, Any]]:
    """Return all events of a run, oldest first."""
    return run.events()


@router.get("/{run}/compare/{other}")
def compare(project: ProjectAt, run: RunAt, other: str) -> dict[str, Any]:
    """Return what sets two runs apart: parameters, inputs, counts, curves."""
    return project.compare(run, other)


@router.get("/{run}/provenance")
def provenance(project: ProjectAt, run: RunAt) -> dict[str, Any]:
    """Return the methods text of all that a run rests on, what computed it, and the files its first output names."""
    return {"environment": run.environment, "why": run.why, "created": run.created, "methods": _methods(project, run)}


def _methods(project: Project, run: Run) -> dict[str, str]:
    outputs = list(run.outputs)
    if run.state is not State.FINISHED or not outputs:
        return {"text": "", "bibtex": ""}
    try:
        told = project.methods(outputs[0])
    except CryoloomError as error:
        return {"text": error.message, "bibtex": ""}
    return {"text": told.page, "bibtex": told.bibtex}
