"""A run, as scripts, the command line and the browser see it."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryoloom.app import catalogue, forms
from cryoloom.app.doctor import processors
from cryoloom.app.labels import check_label
from cryoloom.app.outputs import Outputs
from cryoloom.engine import annotations, launch
from cryoloom.engine.cleaning import cleaned_files, is_hollow
from cryoloom.engine.environment import environment_of
from cryoloom.engine.events import EventReader, Pace, append_line
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.inputs import open_inputs
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import CryoloomError, Failure, Protocol, WrongUse

if TYPE_CHECKING:
    import polars as pl

    from cryoloom.app.report import RunReport

WORKER = (sys.executable, "-P", "-m", "cryoloom.app.worker")
"""The command of a run process, less the run's folder."""

Observer = Callable[["Run", dict[str, Any]], None]
"""Called with every event of a run while it works."""


class Run:
    """One run. Everything is read from the run's folder at the moment it is asked for.

    Attributes
    ----------
    reused
        Whether `Project.run` found it instead of computing it.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.id, self.reused = folder, folder.id, False

    def __repr__(self) -> str:
        return f"<run {self.id} {self.protocol}: {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.folder.path == self.folder.path

    def __hash__(self) -> int:
        return hash(self.folder.path)

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def project(self) -> ProjectFolder:
        """Return the folder of its project."""
        return ProjectFolder(self.folder.root)

    @property
    def protocol(self) -> str:
        """Return the protocol's id."""
        return self.folder.record["protocol"]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return all parameters, defaults included."""
        return self.folder.record["parameters"]

    @property
    def inputs(self) -> dict[str, Any]:
        """Return the inputs: name to ``{run, output, hash}`` or a list of them."""
        return self.folder.record["inputs"]

    @property
    def seed(self) -> int:
        """Return the seed."""
        return self.folder.record["seed"]

    @property
    def created(self) -> float:
        """Return when it was made, in seconds since 1970."""
        return self.folder.record["created"]

    @property
    def why(self) -> str:
        """Return why it had to be computed: what sets it apart from the nearest earlier run."""
        return self.folder.record.get("why", "")

    @property
    def label(self) -> str:
        """Return the name to show, empty when nobody gave one."""
        return next(iter(self.folder.labels()), "")

    @property
    def labels(self) -> list[str]:
        """Return all names it answers to."""
        return self.folder.labels()

    def rename(self, label: str) -> None:
        """Give it a name to show; it answers to the old ones too."""
        check_label(label)
        append_line(self.folder.path / "labels.jsonl", {"label": label, "show": True})

    @property
    def placeholder(self) -> bool:
        """Return whether it stands for a step of another program that no protocol here does; its protocol is ``program:name``."""
        return ":" in self.protocol

    @property
    def needs(self) -> WrongUse | None:
        """Return what keeps it from ever being started as it is, None when nothing does."""
        if not self.folder.needs():
            return None
        cure = (
            f"Make it anew: cryoloom copy PROJECT {self.id} --set NAME=VALUE."
            if not self.placeholder
            else "Another protocol may replace it."
        )
        return WrongUse("run-needs-you", f"{self.id} ({self.protocol}) cannot be started: {self.reason}.", cure)

    @property
    def tags(self) -> list[str]:
        """Return its tags."""
        return annotations.tags(self.folder)

    def tag(self, *names: str) -> None:
        """Put tags on it."""
        for name in names:
            check_label(name)
            annotations.tag(self.folder, name)

    def untag(self, *names: str) -> None:
        """Take tags off it."""
        for name in names:
            annotations.tag(self.folder, name, on=False)

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Return what was written down: ``t`` and ``text``, in Markdown."""
        return annotations.notes(self.folder)

    def note(self, text: str) -> None:
        """Write something down, in Markdown."""
        annotations.note(self.folder, text)

    @property
    def cleaned(self) -> set[str]:
        """Return the files of its outputs that were removed to save room, relative to the project."""
        return cleaned_files(self.folder)

    @property
    def hollow(self) -> bool:
        """Return whether images or maps of its outputs are among them, so that no later step can read them."""
        return is_hollow(self.folder)

    def declared_outputs(self) -> tuple[str, ...]:
        """Return the names its protocol may give outputs."""
        if self.placeholder:
            return ()
        return tuple(catalogue.protocol(self.protocol).gives(self.parameters))

    # -- how it stands ------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Return the word for its state."""
        return self.folder.standing().state

    @property
    def reason(self) -> str:
        """Return why it is in that state, where there is something to say."""
        return self.folder.standing().reason

    @property
    def outputs(self) -> Outputs:
        """Return its outputs; those of an unfinished run can be given to other runs, which then wait for it."""
        return Outputs(self)

    @property
    def summary(self) -> dict[str, Any]:
        """Return the headline numbers, empty before it has finished."""
        return (self.folder.published() or {}).get("summary", {})

    @property
    def failed_items(self) -> dict[str, int]:
        """Return how many items of each map have failed."""
        return self._failed_items(self.folder.published())

    def _failed_items(self, published: dict[str, Any] | None) -> dict[str, int]:
        if published:
            return published["failed_items"]
        counts: dict[str, set[int]] = {}
        for event in self.events():
            if event["kind"] == "item-failed":
                counts.setdefault(event["name"], set()).add(event["id"])
        return {name: len(ids) for name, ids in counts.items()}

    @property
    def warnings(self) -> list[str]:
        """Return what the user should know about the result."""
        found = [*self.folder.record.get("advice", ()), *(event["message"] for event in self.events() if event["kind"] == "warning")]
        return list(dict.fromkeys(found))

    @property
    def spent(self) -> dict[str, float]:
        """Return what all its attempts took, as far as they could say: ``seconds``, ``cpu_seconds``, and the largest ``peak_memory_mb``."""
        records = [self.folder.of_attempt("exit", attempt) or {} for attempt in range(1, self.folder.attempt() + 1)]
        told = [record["spent"] for record in records if "spent" in record]
        total = {name: round(sum(each[name] for each in told), 2) for name in ("seconds", "cpu_seconds")}
        return {**total, "peak_memory_mb": max(each["peak_memory_mb"] for each in told)} if told else {}

    @property
    def watches(self) -> bool:
        """Return whether it is an import at work that takes what comes into a folder until it is closed."""
        return bool(self.folder.record.get("streams")) and not self.folder.references() and self.state in ACTIVE

    @property
    def error(self) -> CryoloomError | None:
        """Return what kept the last attempt from finishing; None when nothing did or it is at work."""
        standing = self.folder.standing()
        if standing.state in ACTIVE or standing.state in (State.FINISHED, State.DRAFT):
            return None
        if needs := self.needs:
            return needs
        record = self.folder.facts().exit or {}
        name = f"{self.id} ({self.protocol})"
        if standing.state is State.FAILED:
            return Failure(record.get("error", "failed"), f"{name} failed: {standing.reason}", record.get("cure", ""))
        cure = record.get("cure") or f"`cryoloom resume` goes on with {self.id}; what is finished is kept."
        return Failure(f"run-{standing.state}", f"{name} is {standing.state}: {standing.reason.rstrip('.')}.", cure)

    @property
    def environment(self) -> dict[str, Any] | None:
        """Return what its last attempt was computed with, external programs and their BLAKE3 included; None before it was started."""
        events = self.events()
        names = [event["environment"] for event in events if "environment" in event]
        record = environment_of(self.folder.root, names[-1]) if names else None
        programs = {event["program"]: event["blake3"] for event in events if event["kind"] == "program"}
        return None if record is None else {**record, "cryoloom": self.folder.record["cryoloom"], "programs": programs}

    def events(self) -> list[dict[str, Any]]:
        """Return all events, oldest first: ``t`` (seconds since 1970), ``kind`` and what belongs to it."""
        return EventReader(self.folder.path).new()

    def log(self) -> str:
        """Return everything that all attempts printed."""
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in self.folder.logs())

    def progress(self) -> dict[str, Any] | None:
        """Return the latest progress: ``name done total unit message``, and ``remaining`` in seconds where it can be told.

        A run that waits for what comes in says so in ``message``, without ``remaining``.
        """
        events = self.events()
        starts = [number for number, event in enumerate(events) if event["kind"] == "state"]
        told = [event for event in events[starts[-1] if starts else 0 :] if event["kind"] in ("progress", "waiting")]
        waits = told[-1]["message"] if told and told[-1]["kind"] == "waiting" else ""
        told = [event for event in told if event["kind"] == "progress"]
        if not told:
            return {"name": "", "done": 0, "total": None, "unit": "", "message": waits, "remaining": None} if waits else None
        last, pace = told[-1], Pace()
        found = {key: last.get(key) for key in ("name", "done", "total", "unit", "message")}
        if waits:
            return {**found, "message": waits, "remaining": None}
        return {**found, "remaining": [pace.remaining(event) for event in told if event["name"] == last["name"]][-1]}

    def partial(self, name: str = "items") -> "pl.DataFrame":
        """Return the rows that a map of it has finished so far, by id; readable while it works."""
        from cryoloom.engine.parts import Parts, concatenated

        return concatenated(path for _, path in sorted(Parts(self.folder.path / "parts" / name, ()).published().items()))

    @property
    def report(self) -> "RunReport":
        """Return what "Analyze results" shows: it draws itself in a notebook, ``run.report.save(path)`` writes the page."""
        from cryoloom.app.report import RunReport

        return RunReport(self)

    # -- what can be done with it -------------------------------------------------------------------------------

    def start(self, *, threads: int | None = None, target: str = "", nodes: int = 0) -> "Run":
        """Start it, or start it again where it was left, here (``local``) or on `nodes` of the cluster (``slurm``); returns at once."""
        launch.start(self.folder, WORKER, threads=threads or self._threads(), target=target, nodes=nodes)
        return self

    def resume(
        self, *, threads: int | None = None, target: str = "", nodes: int = 0, wait: bool = True, on_event: Observer | None = None
    ) -> "Run":
        """Go on with a failed, stopped or lost run, where it ran before unless told; finished items and iterations are kept."""
        self.start(threads=threads, target=target, nodes=nodes)
        return self.wait(on_event) if wait else self

    def wait(self, on_event: Observer | None = None) -> "Run":
        """Return when it has finished, passing on its events meanwhile; one that a cluster's node took with it is started again.

        Raises
        ------
        Failure
            It did not finish.
        """
        reader, pause = EventReader(self.folder.path), 0.05
        while True:
            active = self.state in ACTIVE
            for event in reader.new():
                if on_event:
                    on_event(self, event)
            if not active:
                if launch.lost_with_node(self.folder):
                    self.start()
                    continue
                break
            time.sleep(pause)
            pause = min(pause * 1.2, 0.5)
        launch.settle(self.folder)
        if problem := self.error:
            raise problem
        return self

    def close(self) -> "Run":
        """Tell a run that watches for files that no more will come: it takes what there is and finishes, and the runs below it too.

        Raises
        ------
        WrongUse
            ``not-watching``.
        """
        if not self.watches:
            raise WrongUse(
                "not-watching", f"{self.id} ({self.protocol}) is {self.state} and watches no folder.", "Name the import with --watch."
            )
        self.folder.close()
        return self

    def stop(self) -> bool:
        """End it; False when it was not at work."""
        return launch.stop(self.folder)

    def _threads(self) -> int:
        attempt = self.folder.attempt()
        known = self.folder.of_attempt("claim", attempt) or self.folder.of_attempt("launch", attempt)
        return known["threads"] if known else processors()

    def brief(self) -> dict[str, Any]:
        """Return what a line of a list says of it; a project may have thousands."""
        standing = self.folder.standing()
        finished, labels = standing.state is State.FINISHED, self.labels
        return {
            "run": self.id,
            "protocol": self.protocol,
            "label": next(iter(labels), ""),
            "tags": self.tags,
            "state": str(standing.state),
            "reason": standing.reason,
            "failed_items": self._failed_items(self.folder.brief() if finished else None),
            "progress": self.progress() if standing.state in ACTIVE else None,
        }

    def describe(self) -> dict[str, Any]:
        """Return all of this as plain data, for ``--json`` and the browser."""
        standing = self.folder.standing()
        published = self.folder.published()
        outputs = {
            name: {"kind": manifest["kind"], "count": manifest["count"], "hash": manifest["hash"]}
            for name, manifest in (published["outputs"] if published else {}).items()
        }
        return {
            "run": self.id,
            "protocol": self.protocol,
            "version": self.folder.record["version"],
            "label": self.label,
            "labels": self.labels,
            "tags": self.tags,
            "notes": self.notes,
            "state": str(standing.state),
            "reason": standing.reason,
            "created": self.created,
            "why": self.why,
            "seed": self.seed,
            "parameters": self.parameters,
            "inputs": self.inputs,
            "outputs": outputs,
            "summary": published["summary"] if published else {},
            "warnings": self.warnings,
            "failed_items": self._failed_items(published),
            "spent": self.spent,
            "progress": self.progress() if standing.state in ACTIVE else None,
            "watches": self.watches,
        }


def all_runs(project: ProjectFolder) -> list[Run]:
    """Return all runs of a project, first made first."""
    return [Run(folder) for folder in project.runs()]


def looked_back(run: Run) -> tuple[Protocol, Any]:
    """Return a finished run's protocol, with its parameters and inputs, and what it returned: what tells of a run begins with both."""
    protocol = catalogue.protocol(run.protocol)
    inputs, _ = open_inputs(run.folder, catalogue.protocol)
    built = forms.build(protocol, run.parameters, inputs)
    return built, protocol.outputs.of_named({output.name: output.dataset for output in run.outputs})
