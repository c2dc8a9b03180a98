"""A project: a folder that can be moved, copied and opened read-only, because nothing in it names its own place."""

import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryoloom import files
from cryoloom.engine.events import append_line, read_lines
from cryoloom.engine.exclusive import exclusive
from cryoloom.engine.folder import RUN_ID, RunFolder
from cryoloom.engine.identity import Work
from cryoloom.engine.state import ACTIVE
from cryoloom.spec.errors import WrongUse


class ProjectFolder:
    """A project on disk.

    ``project.json`` holds uuid, name and the program's version; ``runs/`` one folder a run; ``env/`` what runs were computed with;
    ``trash/`` deleted runs until it is emptied; ``making/`` guards of runs that are being made; ``notes.jsonl`` what people wrote down.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).resolve()
        if not (self.path / "project.json").exists():
            raise WrongUse("no-project", f"{path} is not a project: it has no project.json.", f"Make one: cryoloom project new {path}")

    @classmethod
    def create(cls, path: Path, name: str = "") -> "ProjectFolder":
        """Make an empty project at `path`, which may be an existing empty folder.

        Raises
        ------
        WrongUse
            ``project-exists``, ``not-a-folder`` or ``folder-not-empty``.
        Failure
            ``not-writable`` or ``disk-full``.
        """
        path = Path(path).resolve()
        if (path / "project.json").exists():
            raise WrongUse("project-exists", f"{path} is a project already.", "Open it, or choose another folder.")
        if path.is_file():
            raise WrongUse("not-a-folder", f"{path} is a file; a project is a folder.", "Choose a new or an empty folder.")
        if path.is_dir() and any(path.iterdir()):
            raise WrongUse("folder-not-empty", f"{path} holds other files.", "Choose a new or an empty folder.")
        record = {"uuid": str(uuid4()), "name": name or path.name, "created_by": f"cryoloom {version('cryoloom')}"}
        files.write_json(path / "project.json", record)
        return cls(path)

    @property
    def record(self) -> dict[str, Any]:
        """Return ``project.json``."""
        return files.read_json(self.path / "project.json") or {}

    @cached_property
    def _runs(self) -> Path:
        return self.path / "runs"

    def rename(self, name: str) -> None:
        """Give the project another name; its folder stays."""
        files.write_json(self.path / "project.json", {**self.record, "name": name})

    def note(self, text: str) -> None:
        """Write something down."""
        append_line(self.path / "notes.jsonl", {"t": round(time.time(), 3), "text": text})

    def notes(self) -> list[dict[str, Any]]:
        """Return what was written down, oldest first: ``t`` (seconds since 1970) and ``text``."""
        return read_lines(self.path / "notes.jsonl")

    # -- runs ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunFolder]:
        """Return all runs, first made first."""
        return [run for run in _run_folders(self._runs) if run.made()]

    def run(self, run_id: str) -> RunFolder:
        """Return the run of an id.

        Raises
        ------
        WrongUse
            ``unknown-run``.
        """
        run = RunFolder(self._runs / run_id)
        if not RUN_ID.fullmatch(run_id) or not (run.path / "run.json").exists():
            raise WrongUse("unknown-run", f"There is no run {run_id} in {self.path}.", "`cryoloom status` lists the runs.")
        return run

    def making(self, work: Work) -> AbstractContextManager[None]:
        """Return a context in which nobody else looks for, or makes, a run of this identity."""
        folder = self.path / "making"
        with files.storage_errors(folder):
            folder.mkdir(exist_ok=True)
        return exclusive(folder / work.identity)

    def new_run(
        self,
        work: Work,
        inputs: dict[str, Any],
        *,
        label: str = "",
        why: str = "",
        advice: Sequence[str] = (),
        needs: Mapping[str, str] | None = None,
        run_id: str = "",
        afresh: bool = False,
        streams: bool = False,
    ) -> RunFolder:
        """Claim the next run id, or `run_id`, and write its ``run.json``.

        Parameters
        ----------
        work
            What is to be computed.
        inputs
            Input name to ``{run, output, hash}`` or a list of them; the hash is None while the run that makes it has not finished.
        label, why, advice
            For people: a name, why it is computed, and what its check found.
        needs
            What has to be decided before it can be started: name of a parameter or input, and why.
        run_id
            The id that it must have, because paths inside its outputs name it.
        afresh
            Compute everything: take over no items that an earlier run has finished.
        streams
            It begins with what there is of its inputs and follows them.

        Raises
        ------
        WrongUse
            ``run-exists``: `run_id` is taken.
        """
        record = {
            "protocol": work.protocol,
            "version": work.version,
            "parameters": dict(work.parameters),
            "inputs": inputs,
            "seed": work.seed,
            "label": label,
            "fingerprint": work.fingerprint,
            "identity": work.identity,
            "why": why,
            "advice": list(advice),
            **({"needs": dict(needs)} if needs else {}),
            **({"afresh": True} if afresh else {}),
            **({"streams": True} if streams else {}),
            "cryoloom": version("cryoloom"),
            "created": round(time.time(), 3),
        }
        run = self._claimed(run_id) if run_id else self._claim_id()
        files.write_json(run.path / "run.json", record)
        return run

    def _claim_id(self) -> RunFolder:
        with files.storage_errors(self._runs):
            self._runs.mkdir(exist_ok=True)
            while True:
                taken = [int(run.id[1:]) for folder in (self._runs, self.path / "trash") for run in _run_folders(folder)]
                run = RunFolder(self._runs / f"r{max(taken, default=0) + 1:03d}")
                with suppress(FileExistsError):  # somebody else was faster
                    run.path.mkdir()
                    return run

    def _claimed(self, run_id: str) -> RunFolder:
        run = RunFolder(self._runs / run_id)
        with files.storage_errors(run.path):
            try:
                run.path.mkdir(parents=True)
            except FileExistsError as error:
                raise WrongUse("run-exists", f"{self.path} has a run {run_id} already.", "Choose an empty project.") from error
        return run

    def work(self, run: RunFolder) -> Work:
        """Return what a run computes or has computed, its inputs by content as far as that is known."""
        record = run.record
        known = all(reference["hash"] for reference in run.references()) and not record.get("streams")
        published = None if known else run.published()
        inputs = published["inputs"] if published else {name: self.content(given) for name, given in record["inputs"].items()}
        fingerprint = (published or record)["fingerprint"]
        return Work(record["protocol"], record["version"], record["parameters"], inputs, record["seed"], fingerprint)

    def content(self, given: dict[str, Any] | list[dict[str, Any]]) -> list[str]:
        """Return the hashes of an input; the identity of its producer stands in for a set that does not exist yet."""
        references = given if isinstance(given, list) else [given]
        return [each["hash"] or self._stand_in(each["run"], each["output"]) for each in references]

    def _stand_in(self, run: str, output: str) -> str:
        made = (self.run(run).heads() or {}).get(output)
        if made:
            return made["hash"]
        record = self.run(run).record
        # One watch of a folder is not another, though nobody knows yet what sets them apart.
        return ".".join([record["identity"], *([run] if record.get("streams") else []), output])

    def same_work(self, work: Work) -> list[RunFolder]:
        """Return the runs of equal identity, first made first."""
        wanted = work.identity
        alike = [run for run in self.runs() if run.record["protocol"] == work.protocol and not run.record.get("needs")]
        return [run for run in alike if wanted in (run.record["identity"], self.work(run).identity)]

    def takers(self, run_id: str) -> list[RunFolder]:
        """Return the runs that take an output of this one."""
        return [run for run in self.runs() if any(reference["run"] == run_id for reference in run.references())]

    def below(self, run_ids: Iterable[str]) -> list[RunFolder]:
        """Return the runs that take an output of one of these, or of such a run, and so on; every run after those it takes from."""
        found = set(run_ids)
        named = frozenset(found)
        runs = self.runs()
        waiting = True
        while waiting:  # a run may take from one of a higher number, though few do
            waiting = False
            for run in runs:
                if run.id not in found and any(reference["run"] in found for reference in run.references()):
                    found.add(run.id)
                    waiting = True
        return in_order(run for run in runs if run.id in found - named)

    # -- trash --------------------------------------------------------------------------------------------------

    def delete(self, run_id: str) -> None:
        """Move a run to the trash.

        Raises
        ------
        WrongUse
            ``run-active``, or ``run-needed``: other runs take its outputs.
        """
        run = self.run(run_id)
        state = run.standing().state
        if state in ACTIVE:
            raise WrongUse("run-active", f"{run_id} is {state}.", "Stop it first.")
        if takers := self.takers(run_id):
            names = ", ".join(taker.id for taker in takers)
            raise WrongUse("run-needed", f"{run_id} gives its outputs to {names}.", "Delete those first, or with it (--with-dependents).")
        _move(run.path, self.path / "trash" / run_id)

    def restore(self, run_id: str) -> RunFolder:
        """Bring a run back from the trash.

        Raises
        ------
        WrongUse
            ``not-in-trash``, or ``run-needed``: a run that it takes its inputs from is in the trash too.
        """
        deleted = RunFolder(self.path / "trash" / run_id)
        if not RUN_ID.fullmatch(run_id) or not (deleted.path / "run.json").exists():
            there = ", ".join(run.id for run in self.trash()) or "nothing"
            raise WrongUse("not-in-trash", f"{run_id} is not in the trash of {self.path}; there is {there}.", "Name one of those.")
        absent = {reference["run"] for reference in deleted.references()} - {run.id for run in self.runs()}
        if absent:
            raise WrongUse("run-needed", f"{run_id} takes its inputs from {', '.join(sorted(absent))}.", "Restore those first.")
        _move(deleted.path, self._runs / run_id)
        return self.run(run_id)

    def trash(self) -> list[RunFolder]:
        """Return the deleted runs."""
        return _run_folders(self.path / "trash")

    def empty_trash(self) -> int:
        """Remove the deleted runs for good and return how many bytes they held."""
        freed = sum(disk_use(run.path) for run in self.trash())
        shutil.rmtree(self.path / "trash", ignore_errors=True)
        return freed

    def copy(self, target: Path) -> "ProjectFolder":
        """Copy the project, its trash left behind, to a folder that does not exist yet; the copy has its own uuid.

        Raises
        ------
        WrongUse
            ``run-active`` or ``project-exists``.
        """
        target = Path(target).resolve()
        active = [run.id for run in self.runs() if run.is_state(*ACTIVE)]
        if active:
            raise WrongUse("run-active", f"{', '.join(active)} of {self.path} is at work.", "Wait for it, or stop it first.")
        if target.exists():
            raise WrongUse("project-exists", f"{target} exists already.", "Choose another folder.")
        half = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with files.storage_errors(target):
            try:
                shutil.copytree(self.path, half, symlinks=True, ignore=self._left_behind)
                _make_writable(half)
                files.write_json(half / "project.json", {**self.record, "uuid": str(uuid4()), "name": target.name})
                half.rename(target)
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return ProjectFolder(target)

    def _left_behind(self, folder: str, names: list[str]) -> set[str]:
        return {"trash"} & set(names) if Path(folder) == self.path else set()


def _make_writable(folder: Path) -> None:
    """Let the owner write what was copied from a place where nobody may."""
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode | stat.S_IWUSR)


def in_order(runs: Iterable[RunFolder]) -> list[RunFolder]:
    """Return the runs, every one after those among them that it takes from, otherwise as they come."""
    waiting = {run.id: run for run in runs}
    ordered: list[RunFolder] = []

    def visit(run: RunFolder) -> None:
        for reference in run.references():
            if above := waiting.pop(reference["run"], None):
                visit(above)
        ordered.append(run)

    while waiting:
        visit(waiting.pop(next(iter(waiting))))
    return ordered


def _run_folders(folder: Path) -> list[RunFolder]:
    try:
        names = [entry.name for entry in os.scandir(folder) if RUN_ID.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    return [RunFolder(f"{folder}/{name}") for name in sorted(names, key=lambda name: int(name[1:]))]


def _move(source: Path, target: Path) -> None:
    with files.storage_errors(target):
        target.parent.mkdir(exist_ok=True)
        source.rename(target)


def disk_use(folder: Path) -> int:
    """Return the bytes of the files below `folder`, one that has several names counted once."""
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(place, name))
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())
