"""Every verb that command line, browser and notebook share. Plain data in and out; no state but the project's folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoloom.app import (
    comparison,
    compatibility,
    crate,
    drafts,
    housekeeping,
    lifecycle,
    methods,
    pages,
    preparation,
    references,
    replay,
    sets,
    workflow,
)
from cryoloom.app.methods import Methods
from cryoloom.app.outputs import OutputRef, register_kinds
from cryoloom.app.replay import Replay, Step
from cryoloom.app.runs import Observer, Run, all_runs
from cryoloom.engine.project import ProjectFolder, disk_use
from cryoloom.engine.provenance import Verification, ancestry, trace, verify
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import WrongUse
from cryoloom.spec.words import counted

if TYPE_CHECKING:
    from cryoloom.app.picking import PickingSession

__all__ = ["Observer", "OutputRef", "Project", "Run", "create_project", "list_projects", "open_project"]


def open_project(path: str | Path) -> "Project":
    """Open the project in a folder; raises `WrongUse` when there is none."""
    return Project(ProjectFolder(Path(path)))


def create_project(path: str | Path, name: str = "") -> "Project":
    """Make a project in a new or empty folder."""
    return Project(ProjectFolder.create(Path(path), name))


def list_projects(folder: str | Path) -> list["Project"]:
    """Return the projects directly below a folder, by name of their folder."""
    return [open_project(path.parent) for path in sorted(Path(folder).glob("*/project.json"))]


class Project:
    """A project and what can be done in it."""

    def __init__(self, folder: ProjectFolder) -> None:
        self.folder = folder
        self.root = folder.path

    def __repr__(self) -> str:
        return f"<project {self.name} in {self.root}: {counted(len(self.folder.runs()), 'run')}>"

    def _repr_html_(self) -> str:
        from cryoloom.app.notebook import project_html

        return project_html(self.name, self.root, self.runs())

    # -- the project itself -------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Return its name."""
        return self.folder.record["name"]

    @property
    def uuid(self) -> str:
        """Return what tells it apart from every other project, wherever it is moved."""
        return self.folder.record["uuid"]

    def rename(self, name: str) -> None:
        """Give it another name; its folder stays."""
        self.folder.rename(name)

    def note(self, text: str) -> None:
        """Write something down."""
        self.folder.note(text)

    def notes(self) -> list[dict[str, Any]]:
        """Return what was written down: ``t`` and ``text``."""
        return self.folder.notes()

    def copy(self, target: str | Path) -> "Project":
        """Copy it to a folder that does not exist yet."""
        return Project(self.folder.copy(Path(target)))

    def info(self) -> dict[str, Any]:
        """Return name, uuid, folder, notes, disk use and the number of runs in each state."""
        states = [str(run.state) for run in self.runs()]
        return {
            **self.folder.record,
            "folder": str(self.root),
            "runs": len(states),
            "states": {state: states.count(state) for state in sorted(set(states))},
            "bytes": disk_use(self.root),
            "notes": self.notes(),
        }

    def disk_use(self) -> dict[str, int]:
        """Return the bytes of every run, and of the trash."""
        return {run.id: disk_use(run.path) for run in self.folder.runs()} | {"trash": disk_use(self.root / "trash")}

    # -- runs ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """Return all runs, first made first."""
        return all_runs(self.folder)

    def find(self, name: "str | Run") -> Run:
        """Return the run of an id or a label.

        Raises
        ------
        WrongUse
            ``unknown-run``; ``ambiguous-label``: several runs bear it.
        """
        return references.find_run(self.folder, name)

    def output(self, name: "str | OutputRef | Run") -> OutputRef:
        """Return the output ``RUN.OUTPUT``, or the only output of ``RUN``."""
        return references.find_output(self.folder, name)

    def run(
        self,
        protocol: str,
        values: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        threads: int | None = None,
        target: str = "",
        nodes: int = 0,
        seed: int = 0,
        wait: bool = True,
        again: bool = False,
        on_event: Observer | None = None,
        **more: Any,
    ) -> Run:
        """Run a protocol, unless the same work has been done: then return the run that did it.

        Parameters
        ----------
        protocol
            Its id.
        values, more
            Parameters, under their own names or those of other programs, as values or as texts; and inputs, as outputs of runs
            (``run.outputs.ctfs``) or by name (``"r001.ctfs"``). A mapping and keywords are the same.
        name
            A label for the run.
        threads
            Worker processes and threads; results do not depend on it. Default: the processors at hand.
        target
            ``local``, or ``slurm``: a job of the cluster. A run that is started again goes where it was unless told.
        nodes
            Of the cluster, each with `threads`; results do not depend on it. 0: one, or as many as before.
        seed
            Of everything random.
        wait
            Return when it has finished rather than when it has been started.
        again
            Make a new run although the same work has been done: items that failed then are tried again.
        on_event
            Called with run and event while waiting.

        Raises
        ------
        WrongUse
            Before anything is made: unknown names, values out of bounds, inputs that do not fit.
        Failure
            It did not finish (only with `wait`).
        """
        run = self.prepare(protocol, values, name=name, seed=seed, again=again, **more)
        if run.state is State.FINISHED:
            run.reused = True
        elif run.state not in ACTIVE:
            try:
                run.start(threads=threads, target=target, nodes=nodes)
            except WrongUse as error:
                if error.code not in {"run-active", "run-finished"}:
                    raise  # otherwise somebody else has just started the same work; it is waited for
        return run.wait(on_event) if wait else run

    def prepare(
        self,
        protocol: str,
        values: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        seed: int = 0,
        again: bool = False,
        afresh: bool = False,
        run_id: str = "",
        **more: Any,
    ) -> Run:
        """Return a run of equal identity or a new draft; start nothing.

        With `again` it is a new one always; with `afresh` that takes over no items of earlier runs; with `run_id` it has this id.
        Of several processes that ask for the same work at the same moment one makes the run, and all get it.
        """
        given = {**(values or {}), **more}
        return preparation.prepare(self.folder, protocol, given, name=name, seed=seed, again=again, afresh=afresh, run_id=run_id)

    def explain(self, protocol: str, values: Mapping[str, Any] | None = None, *, seed: int = 0, **more: Any) -> str:
        """Return why a run with these values would be computed, or which run has done it already."""
        return preparation.why(self.folder, protocol, {**(values or {}), **more}, seed=seed)

    def picking(self, name: "str | Run") -> "PickingSession":
        """Open the picking of a run of `pick.manual` that waits for somebody; see `cryoloom.app.picking.PickingSession`."""
        from cryoloom.app.picking import open_picking

        return open_picking(self.find(name))

    # -- workflows ----------------------------------------------------------------------------------------------

    def export_workflow(self, path: str | Path | None = None, *, run: "str | Run" = "", format_name: str = "cryoloom") -> str:
        """Return its workflow (that of one run with `run`) as text, written to `path` if there is one."""
        run_id = self.find(run).id if run else ""
        return workflow.export_workflow(self.folder, Path(path) if path else None, run_id=run_id, format_name=format_name)

    def import_workflow(self, path: str | Path, given: Mapping[str, str] | None = None) -> workflow.Import:
        """Make drafts of a workflow of ours or of another program; `carry_out` runs them."""
        return workflow.import_workflow(self.folder, Path(path), given)

    def carry_out(
        self,
        runs: Sequence[Run] | None = None,
        *,
        threads: int | None = None,
        target: str = "",
        nodes: int = 0,
        on_event: Observer | None = None,
    ) -> Iterator[Run]:
        """Carry out, one after the other, all drafts and interrupted runs, or those among `runs` and what they rest on."""
        todo = drafts.unfinished(self.folder, self.runs() if runs is None else runs)
        return drafts.carry_out(todo, threads=threads, target=target, nodes=nodes, on_event=on_event)

    # -- runs from runs ------------------------------------------------------------------------------------------

    def restart(self, name: "str | Run") -> Run:
        """Make a run anew, as a draft of a new id, although the same work has been done."""
        return lifecycle.copy(self.folder, [name]).runs[self.find(name).id]

    def copy_runs(
        self,
        *names: "str | Run",
        onto: "Iterable[str | OutputRef] | Mapping[str, str | OutputRef]" = (),
        below: bool = False,
        seed: int | None = None,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        **values: Any,
    ) -> lifecycle.Copied:
        """Make drafts like these runs, `values` changed in the named ones; see `cryoloom.app.lifecycle.copy`."""
        named = {self.find(name).id: values for name in names} if values else {}
        return lifecycle.copy(self.folder, names, changes={**named, **(changes or {})}, onto=onto, below=below, seed=seed)

    def start_drafts(self, *names: "str | Run", threads: int | None = None, target: str = "", nodes: int = 0) -> list[Run]:
        """Start drafts, all without a name, and the drafts that they wait for."""
        return lifecycle.start(self.folder, names, threads=threads, target=target, nodes=nodes)

    def compatible(self, protocol: str, name: str) -> list[OutputRef]:
        """Return the outputs that the input `name` of a protocol takes, last made first."""
        return compatibility.compatible(self.folder, protocol, name)

    def compare(self, first: "str | Run", second: "str | Run") -> dict[str, Any]:
        """Return what sets two runs apart; see `cryoloom.app.comparison.compare`."""
        return comparison.compare(self.folder, first, second)

    def room(self) -> list[dict[str, Any]]:
        """Return the bytes of every run's files by what they are for."""
        return housekeeping.use(self.folder)

    def clean(self, *names: "str | Run", keep: str = "final", dry: bool = False, also_needed: bool = False) -> housekeeping.Cleaning:
        """Remove files of finished runs that are worth less than `keep`; see `cryoloom.app.housekeeping.clean`."""
        return housekeeping.clean(self.folder, names, keep=keep, dry=dry, also_needed=also_needed)

    # -- sets ---------------------------------------------------------------------------------------------------

    def preview(self, protocol: str, values: Mapping[str, Any] | None = None, **more: Any) -> dict[str, int | float | str]:
        """Return what a run with these values would give, as far as that can be told; no run is made. See `app.sets.preview`."""
        return sets.preview(self.folder, protocol, {**(values or {}), **more})

    def page(self, output: "str | OutputRef | Run", **wanted: Any) -> dict[str, Any]:
        """Return some rows of an output, sorted and filtered, as plain data. See `app.pages.page`."""
        return pages.page(self.output(output), **wanted)

    def gallery(self, output: "str | OutputRef | Run", path: str | Path, **wanted: Any) -> Path:
        """Write a page of the images of an output, sorted by a column; return its path. See `app.gallery.gallery`."""
        from cryoloom.app.gallery import write_gallery

        return write_gallery(self.output(output), Path(path), **wanted)

    # -- where things come from ---------------------------------------------------------------------------------

    def trace(self, output: "str | OutputRef") -> dict[str, Any]:
        """Return every step an output rests on, first to last, with parameters, seeds and versions, and the files it began with."""
        found = self.output(output)
        for step in ancestry(self.folder, found.run.id):
            register_kinds(Run(step))
        return trace(self.folder, found.run.id, found.name)

    def verify(self, output: "str | OutputRef | Run") -> Verification:
        """Hash again every file that an output, or all outputs of a run, rests on; linked files are followed out of the project."""
        name = None
        if isinstance(output, Run) or references.names_run(self.folder, output):
            run = references.find_run(self.folder, output)
        else:
            found = self.output(output)
            run, name = found.run, found.name
        return verify(self.folder, run.id, name)

    def replay(
        self,
        output: "str | OutputRef",
        target: str | Path,
        *,
        threads: int | None = None,
        on_event: Observer | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Replay:
        """Do again in a new project all that an output rests on, and compare; see `cryoloom.app.replay.replay`."""
        return replay.replay(self.folder, output, Path(target), threads=threads, on_event=on_event, on_step=on_step)

    def methods(self, output: "str | OutputRef | None" = None) -> Methods:
        """Return the methods section of all that an output, by default of the run finished last, rests on."""
        return methods.methods(self.folder, output)

    def crate(self, path: str | Path, *, data: "Iterable[str | OutputRef]" = (), licence: str = "") -> Path:
        """Write the project's history as a Workflow Run RO-Crate, a ZIP file; see `cryoloom.app.crate.write_crate`."""
        return crate.write_crate(self.folder, Path(path), data=data, licence=licence)

    # -- trash --------------------------------------------------------------------------------------------------

    def delete(self, name: "str | Run", *, with_dependents: bool = False) -> list[Run]:
        """Move a run, and on request all that depends on it, to the trash; return what was moved, last steps first."""
        return lifecycle.delete(self.folder, name, with_dependents=with_dependents)

    def restore(self, run_id: str, *, with_dependents: bool = False) -> Run:
        """Bring a run back from the trash, and on request what is there and depends on it."""
        return lifecycle.restore(self.folder, run_id, with_dependents=with_dependents)[0]

    def trash(self) -> list[str]:
        """Return the ids of deleted runs."""
        return [run.id for run in self.folder.trash()]

    def empty_trash(self) -> int:
        """Remove deleted runs for good; return the bytes that were freed."""
        return self.folder.empty_trash()
