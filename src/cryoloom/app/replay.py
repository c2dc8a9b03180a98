"""Doing everything again that an output rests on, in a new project, and comparing what comes out, hash by hash."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryoloom.app.outputs import OutputRef
from cryoloom.app.preparation import prepare
from cryoloom.app.references import find_output
from cryoloom.app.runs import Observer, Run
from cryoloom.data.marks import MARKS
from cryoloom.engine import environment
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.provenance import ancestry, verify
from cryoloom.engine.state import State
from cryoloom.spec import WrongUse
from cryoloom.spec.words import counted

ARRIVALS = "arrivals.json"
"""What a watching run has taken, in the order in which it came: part of its input, though no file says so."""


@dataclass
class Step:
    """One run done again.

    Attributes
    ----------
    run, protocol
        The same in both projects.
    same
        Output name to whether its hash is the same.
    differences
        What differs, in words.
    causes
        What may be the reason: versions, files outside, an earlier step.
    """

    run: str
    protocol: str
    same: dict[str, bool] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether all outputs are the same to the bit."""
        return all(self.same.values()) and not self.differences


@dataclass
class Replay:
    """All steps, first to last; `ok` when every output of every step is the same to the bit."""

    project: Path
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether nothing differs."""
        return all(step.ok for step in self.steps)


def replay(
    project: ProjectFolder,
    output: "str | OutputRef",
    target: Path,
    *,
    threads: int | None = None,
    on_event: Observer | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Replay:
    """Do again all that an output rests on, in the project `target`, and compare.

    Runs keep their ids there, because paths inside outputs name them. A replay that was interrupted goes on when it is asked for again.

    Parameters
    ----------
    output
        ``RUN.OUTPUT``, or a run for all of its outputs.
    target
        Folder of the new project; made unless it is there.

    Raises
    ------
    WrongUse
        ``other-replay``: `target` holds something else; or a step cannot be asked for any more (its parameters are not known, for instance).
    Failure
        A step fails.
    """
    name = output.run.id if isinstance(output, OutputRef) else find_output(project, output).run.id
    known = (target / "project.json").exists()
    there = ProjectFolder(target) if known else ProjectFolder.create(target, f"{project.record['name']}, done again")
    done = Replay(there.path)
    apart: dict[str, Step] = {}
    for folder in ancestry(project, name):
        old = Run(folder)
        new = _done_again(there, old, threads, on_event)
        step = _compared(old, new, apart)
        if not step.ok:
            apart[step.run] = step
        done.steps.append(step)
        if on_step:
            on_step(step)
    return done


def _done_again(there: ProjectFolder, old: Run, threads: int | None, on_event: Observer | None) -> Run:
    run = _made(there, old)
    if run.state is not State.FINISHED:
        run.resume(threads=threads, wait=False)
    return run.wait(on_event)


def _made(there: ProjectFolder, old: Run) -> Run:
    """Return the run of the same id in the new project, made unless it is there."""
    known = {folder.id: folder for folder in there.runs()}
    if old.id not in known:
        inputs = {name: _names(given) for name, given in old.inputs.items()}
        made = prepare(there, old.protocol, {**old.parameters, **inputs}, seed=old.seed, name=old.label, run_id=old.id)
        if old.folder.record.get("streams"):
            _tell_the_end(old, made)
        if (old.folder.path / MARKS).exists():  # nobody picks by hand twice the same
            shutil.copyfile(old.folder.path / MARKS, made.folder.path / MARKS)
        return made
    run = Run(known[old.id])
    if (run.protocol, run.seed) != (old.protocol, old.seed):
        raise WrongUse(
            "other-replay", f"{there.path} holds other runs than a replay of {old.folder.root} would.", "Choose another folder with -o."
        )
    return run


def _tell_the_end(old: Run, new: Run) -> None:
    """Let a run that watched for files take those of that time, in their order, and wait for no more."""
    if (old.folder.path / ARRIVALS).exists():
        shutil.copyfile(old.folder.path / ARRIVALS, new.folder.path / ARRIVALS)
    new.folder.close()


def _names(given: Any) -> Any:
    return [_names(each) for each in given] if isinstance(given, list) else f"{given['run']}.{given['output']}"


def _compared(old: Run, new: Run, apart: Mapping[str, Step]) -> Step:
    before, after = ({output.name: output for output in run.outputs} for run in (old, new))
    step = Step(old.id, old.protocol, {name: name in after and after[name].hash == output.hash for name, output in before.items()})
    for name, same in step.same.items():
        if not same:
            step.differences += _told(name, before[name], after.get(name))
    if step.differences:
        step.causes = _causes(old, new, apart)
    return step


def _told(name: str, old: OutputRef, new: OutputRef | None) -> list[str]:
    """Return what differs between two outputs, in words."""
    if new is None:
        return [f"{name} was not made"]
    found = [f"{name}: {counted(new.count, 'row')}, were {old.count}"] if new.count != old.count else []
    found += [f"{name}: {key} is {new.meta.get(key)}, was {value}" for key, value in old.meta.items() if new.meta.get(key) != value]
    a, b = old.items, new.items
    if a.columns != b.columns:
        found.append(f"{name}: columns {', '.join(sorted({*a.columns} ^ {*b.columns})) or 'in another order'}")
    elif a.height == b.height:
        columns = [column for column in a.columns if not a[column].equals(b[column])]
        if columns:
            found.append(f"{name}: values of {', '.join(columns)}")
    files = {entry["path"]: entry["blake3"] for entry in new.manifest["files"]}
    other = [entry["path"] for entry in old.manifest["files"] if files.get(entry["path"]) != entry["blake3"]]
    if other:
        found.append(f"{name}: the content of {len(other)} of {len(old.manifest['files'])} files, {other[0]} first")
    return found or [f"{name}: how its table is stored"]


def _causes(old: Run, new: Run, apart: Mapping[str, Step]) -> list[str]:
    """Return what may have made the difference, the nearest first."""
    causes = [
        f"its input {reference['run']}.{reference['output']} differs already"
        for reference in old.folder.references()
        if reference["run"] in apart and not apart[reference["run"]].same.get(reference["output"], True)
    ]
    record, other = old.folder.record, new.folder.record
    if other["version"] != record["version"]:
        causes.append(f"the method's version is {other['version']}, was {record['version']}")
    now = other["parameters"]
    causes += [f"{name} is {now.get(name)}, was {value}" for name, value in record["parameters"].items() if now.get(name) != value]
    if old.project.work(old.folder).fingerprint != new.project.work(new.folder).fingerprint:
        causes.append("the files read from outside the project have changed")
    mine, yours = new.environment, old.environment
    if mine and yours:
        causes += environment.apart(mine, yours)
        causes += [f"another {program}" for program, digest in yours["programs"].items() if mine["programs"].get(program) != digest]
    if causes:
        return causes
    if not verify(old.project, old.id).ok:
        return [f"files of {old.id} are not as they were made: `cryoloom verify` names them"]
    return ["nothing known: the step does not give the same bits twice"]
