"""Disk use by run and purpose, and cleaning of finished runs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryoloom.app.outputs import register_kinds
from cryoloom.app.references import find_run
from cryoloom.app.runs import Run, all_runs
from cryoloom.engine import cleaning
from cryoloom.engine.cleaning import Cleaned, Purpose
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import State
from cryoloom.spec import WrongUse


@dataclass
class Cleaning:
    """What was removed, or would be.

    Attributes
    ----------
    runs
        Run id to its files and bytes.
    needed
        Id of each run that loses images or maps which later steps read, with the runs that rest on it.
    """

    runs: dict[str, Cleaned] = field(default_factory=dict)
    needed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Return the bytes."""
        return sum(each.size for each in self.runs.values())


def use(project: ProjectFolder) -> list[dict[str, object]]:
    """Return, run by run, the bytes of its files by purpose: ``record``, ``final``, ``diagnostic``, ``intermediate``."""
    rows: list[dict[str, object]] = []
    for run in all_runs(project):
        register_kinds(run)
        rows.append({"run": run.id, "protocol": run.protocol, "label": run.label, **cleaning.use(run.folder)})
    return rows


def clean(
    project: ProjectFolder, names: Iterable["str | Run"] = (), *, keep: str = "final", dry: bool = False, also_needed: bool = False
) -> Cleaning:
    """Remove the files of finished runs that are worth less than `keep`.

    Parameters
    ----------
    names
        Runs; all finished ones by default.
    keep
        ``diagnostic`` (all but working files), ``final`` (what later steps read) or ``record`` (tables alone: doing the same again then
        computes it anew).
    dry
        Remove nothing, only tell.
    also_needed
        Remove what other runs rest on too.

    Raises
    ------
    WrongUse
        ``bad-purpose``; ``run-unfinished``; ``files-needed``: other runs rest on what would go; nothing has been removed.
    """
    allowed = [str(purpose) for purpose in (Purpose.DIAGNOSTIC, Purpose.FINAL, Purpose.RECORD)]
    if keep not in allowed:
        raise WrongUse("bad-purpose", f"--keep {keep}: not a class of files.", f"Use {', '.join(allowed)}.")
    chosen = [find_run(project, name) for name in names]
    for run in chosen:
        if run.state is not State.FINISHED:
            raise WrongUse("run-unfinished", f"{run.id} is {run.state}; what it has is needed to go on.", "Resume it, or delete it.")
    chosen = chosen or [run for run in all_runs(project) if run.state is State.FINISHED]
    for run in chosen:
        register_kinds(run)
    found = Cleaning({run.id: cleaning.clean(run.folder, Purpose(keep), dry=True) for run in chosen})
    for run_id, would in found.runs.items():
        if Purpose.FINAL in would.files and (below := project.below([run_id])):
            found.needed[run_id] = [run.id for run in below]
    if dry:
        return found
    if found.needed and not also_needed:
        told = "; ".join(f"{', '.join(below)} rest on {run_id}" for run_id, below in found.needed.items())
        raise WrongUse("files-needed", f"Nothing was removed: {told}.", "Add --also-needed if they are done with it, or keep final files.")
    found.runs = {run.id: cleaned for run in chosen if (cleaned := cleaning.clean(run.folder, Purpose(keep))).count}
    return found
