"""A run's folder: the records in it and what they say.

::

    run.json                  protocol, parameters, inputs, seed, identity; written once
    origin.json               the node of a workflow file that it was imported as
    launch.<n>.json           attempt n was handed to a cluster: under which name, with how many nodes and threads
    claim.<n>.json            attempt n: its supervisor, its token, its number of threads
    proc.<n>.json             the run process itself
    heartbeat.<n>             touched while the attempt lives, for readers on other computers
    events.<n>.jsonl          progress, warnings, notes
    log.<n>.txt               everything printed, programs included
    log.<n>.node-<job>.txt    what was printed on another node that worked for attempt n
    nodes/                    what goes between the nodes; empty and gone when the attempt has ended
    reserve.<n>               bytes kept for the exit record, should the disk become full
    stop.<n>.json             somebody asked it to stop
    exit.<n>.json             how it ended
    parts/ checkpoints/       finished items, last iterations
    open.json open/           what a run that follows its inputs has so far, for the runs below
    close.json                somebody said that no more will come
    outputs.json              manifest of the outputs; there once the run has finished
"""

import os
import re
import time
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from cryoloom import files
from cryoloom.engine import slurm
from cryoloom.engine.events import read_lines
from cryoloom.engine.processes import ProcessId
from cryoloom.engine.site import read_site
from cryoloom.engine.state import ACTIVE, Facts, Life, Standing, State, derive
from cryoloom.spec.errors import Failure

RUN_ID = re.compile(r"r[0-9]{3,9}")
SILENCE = 120.0
"""Seconds after which a process of another computer, which touches its heartbeat every 15, counts as dead."""

_ATTEMPT = re.compile(r"(?:claim|launch)\.(\d+)\.json")


def _stamp(path: str) -> tuple[str, int, int, int]:
    status = os.stat(path)
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _parsed(path: str) -> dict[str, Any]:
    # thousands are read in a row: none of them needs a buffer, and Pydantic's parser takes half the time
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return from_json(os.read(descriptor, os.fstat(descriptor).st_size))
    except ValueError as error:
        raise Failure("damaged-record", f"{path} is damaged: {error}.", "Restore it from a copy, or move the run's folder away.") from error
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1 << 14)
def _record(path: str, _inode: int, _size: int, _changed: int) -> dict[str, Any]:
    return _parsed(path)


@lru_cache(maxsize=1 << 14)
def _brief(path: str, _inode: int, _size: int, _changed: int) -> dict[str, dict[str, Any]]:
    # what else the file holds grows with the number of images and is not kept in memory
    published = _parsed(path)
    heads = {name: {key: manifest[key] for key in ("kind", "count", "hash")} for name, manifest in published["outputs"].items()}
    return {"outputs": heads, "failed_items": published["failed_items"]}


def _submitting(launch: Mapping[str, Any]) -> bool:
    """Return whether somebody is about to hand an attempt to a cluster: the job has no number yet, and its submitter lives."""
    if "job" in launch:
        return False
    by = ProcessId.from_json(dict(launch["by"]))
    return by.alive if by.here else time.time() - launch["t"] < SILENCE


class RunFolder:
    """One run on disk. Holds no state: every call looks at the files."""

    def __init__(self, path: Path | str) -> None:
        self.place = os.fspath(path)
        self.id = os.path.basename(self.place)

    @cached_property
    def path(self) -> Path:
        """Return the folder."""
        return Path(self.place)

    @cached_property
    def root(self) -> Path:
        """Return the project's folder."""
        return self.path.parent.parent

    def __repr__(self) -> str:
        return f"<run {self.id} in {self.root}>"

    @cached_property
    def record(self) -> dict[str, Any]:
        """Return ``run.json``, which never changes."""
        return _record(*_stamp(f"{self.place}/run.json"))

    def made(self) -> bool:
        """Return whether ``run.json`` is there; a claimed folder without it is not a run yet, or never became one, and a damaged one is none."""
        try:
            return bool(self.record)
        except (FileNotFoundError, Failure):  # whoever asks for the damaged one by its id is told what is wrong with it
            return False

    def attempt(self) -> int:
        """Return the number of the last attempt, 0 when it was never started."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return 0
        return max((int(match[1]) for name in names if (match := _ATTEMPT.fullmatch(name))), default=0)

    def of_attempt(self, kind: str, attempt: int) -> dict[str, Any] | None:
        """Return the ``launch``, ``claim``, ``proc``, ``stop`` or ``exit`` record of an attempt."""
        return files.read_json(self.path / f"{kind}.{attempt}.json")

    def file(self, kind: str, attempt: int) -> Path:
        """Return the path of a record of an attempt."""
        return self.path / f"{kind}.{attempt}.json"

    def log(self, attempt: int) -> Path:
        """Return the path of what an attempt printed."""
        return self.path / f"log.{attempt}.txt"

    def logs(self) -> list[Path]:
        """Return what all attempts printed, that of other nodes after each."""
        own = (self.log(attempt) for attempt in range(1, self.attempt() + 1))
        return [path for log in own for path in (log, *sorted(self.path.glob(f"{log.stem}.node-*.txt"))) if path.exists()]

    def published(self) -> dict[str, Any] | None:
        """Return ``outputs.json``."""
        return files.read_json(self.path / "outputs.json")

    def brief(self) -> dict[str, dict[str, Any]] | None:
        """Return the little of ``outputs.json`` that lists of runs need; quick when asked again.

        ``outputs``: kind, count and hash by name; ``failed_items``. None before the run has finished.
        """
        try:
            return _brief(*_stamp(f"{self.place}/outputs.json"))
        except FileNotFoundError:
            return None

    def heads(self) -> dict[str, dict[str, Any]] | None:
        """Return ``kind``, ``count`` and ``hash`` of the outputs by name, None before the run has finished."""
        brief = self.brief()
        return brief and brief["outputs"]

    def labels(self) -> list[str]:
        """Return the names people gave the run, the one to show first."""
        names = [self.record.get("label", "")]
        for line in read_lines(self.path / "labels.jsonl"):
            names = [line["label"], *names] if line.get("show") else [*names, line["label"]]
        return list(dict.fromkeys(name for name in names if name))

    # -- state --------------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """Return the run's state and its reason."""
        if os.path.exists(f"{self.place}/outputs.json"):  # the most certain fact, and of most runs
            return derive(Facts(published=True))
        return derive(self.facts())

    def facts(self) -> Facts:
        """Gather what the state is derived from, processes before the records that they write before they end."""
        attempt = self.attempt()
        supervisor = process = None
        job = slurm_job = None
        if not self._ended(attempt):
            job, slurm_job = self._queued(attempt)
            supervisor, process = self.lives(attempt, (job, slurm_job))
        record = self.of_attempt("exit", attempt)
        if record is None and job is Life.DEAD:
            record = slurm.ending(self.log(attempt), self.record["protocol"])
        return Facts(
            attempt=attempt,
            job=job,
            job_words=f"job {slurm_job.number}: {slurm_job.about}" if slurm_job else "",
            supervisor=supervisor,
            process=process,
            exit=record,
            published=(self.path / "outputs.json").exists(),
            stop_asked=self.file("stop", attempt).exists(),
            waiting_for=self._told() if process is None and not self._ended(attempt) else (),
            needs=self.needs(),
        )

    def _queued(self, attempt: int) -> tuple[Life | None, slurm.Job | None]:
        """Return whether the cluster still has the attempt, and its job; None for an attempt that was not handed to one."""
        launch = self.of_attempt("launch", attempt)
        if launch is None:
            return None, None
        seen = slurm.queue(read_site(self.root).poll)
        job = seen[1].get(launch["job_name"]) if seen else None
        # No answer is no news, and neither is one from before the submission, or while it is under way.
        gone = seen is not None and job is None and launch["t"] < seen[0] and not _submitting(launch)
        return Life.DEAD if gone else Life.ALIVE, job

    def _ended(self, attempt: int) -> bool:
        return (self.path / "outputs.json").exists() or self.file("exit", attempt).exists()

    def lives(self, attempt: int, queued: tuple[Life | None, slurm.Job | None] | None = None) -> tuple[Life | None, Life | None]:
        """Return whether supervisor and run process of an attempt live; None for one that was never there.

        `queued` is what the cluster says of it, where that is known already.
        """
        claim, process = self.of_attempt("claim", attempt), self.of_attempt("proc", attempt)
        queued = queued or self._queued(attempt)
        return self._life(attempt, claim and claim["supervisor"], *queued), self._life(attempt, process, *queued)

    def _life(self, attempt: int, record: Mapping[str, Any] | None, job: Life | None, listed: slurm.Job | None) -> Life | None:
        if record is None:
            return None
        process = ProcessId.from_json(dict(record))
        if process.here:
            return Life.ALIVE if process.alive else Life.DEAD
        if job is Life.DEAD or listed is not None:
            return job
        try:
            silent = time.time() - (self.path / f"heartbeat.{attempt}").stat().st_mtime
        except FileNotFoundError:
            return Life.DEAD
        return Life.ALIVE if silent < SILENCE else Life.DEAD

    def waiting_for(self) -> tuple[str, ...]:
        """Return the runs whose outputs this one takes and that have not published them, or laid open a part if that is enough to begin."""
        enough = ("outputs.json", "open.json") if self.record.get("streams") else ("outputs.json",)
        needed = dict.fromkeys(reference["run"] for reference in self.references())
        return tuple(run for run in needed if not any((self.root / "runs" / run / name).exists() for name in enough))

    def close(self) -> None:
        """Say that no more will come, to a run that watches for it."""
        files.write_json(self.path / "close.json", {"by": ProcessId.current().to_json()})

    def closing(self) -> bool:
        """Return whether somebody said so."""
        return (self.path / "close.json").exists()

    def needs(self) -> tuple[str, ...]:
        """Return what somebody has to decide before the run can be started; such a run is never started itself, only made anew."""
        told = (f"{name.replace('|', ' or ')} {why}".strip() for name, why in self.record.get("needs", {}).items())
        return tuple("".join(letter for letter in text if letter.isprintable()) for text in told)

    def origin(self) -> dict[str, Any] | None:
        """Return ``origin.json``."""
        return files.read_json(self.path / "origin.json")

    def _told(self) -> tuple[str, ...]:
        """Return `waiting_for` in words: with the state of a run that nobody is working on."""
        return tuple(name + RunFolder(self.root / "runs" / name).idle() for name in self.waiting_for())

    def idle(self) -> str:
        """Return the state in brackets when nothing is at work on the run, however long one waits for it."""
        attempt = self.attempt()
        if not (self.path / "run.json").exists():
            return " (not there)"
        queued = (None, None) if self._ended(attempt) else self._queued(attempt)
        supervisor, process = (None, None) if self._ended(attempt) else self.lives(attempt, queued)
        stop_asked = self.file("stop", attempt).exists()
        state = derive(
            Facts(attempt, supervisor, process, self.of_attempt("exit", attempt), False, stop_asked, job=queued[0], needs=self.needs())
        ).state
        return "" if state in ACTIVE else f" ({state})"

    def references(self) -> list[dict[str, Any]]:
        """Return the inputs as a flat list of ``{run, output, hash}``."""
        found: list[dict[str, Any]] = []
        for given in self.record["inputs"].values():
            found.extend(given if isinstance(given, list) else [given])
        return found

    def is_state(self, *states: State) -> bool:
        """Return whether the run is in one of `states` now."""
        return self.standing().state in states
