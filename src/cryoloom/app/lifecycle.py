"""Runs made anew from runs: again, with other parameters, on other inputs, a whole branch at once; and the trash."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoloom.app import references
from cryoloom.app.drafts import unfinished
from cryoloom.app.labels import free_label
from cryoloom.app.outputs import OutputRef
from cryoloom.app.preparation import prepare
from cryoloom.app.runs import Run, all_runs
from cryoloom.engine import launch
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder, in_order
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import WrongUse

BY_HAND = "ids"
"""Parameter that holds items somebody chose: among the items of another set it means others."""


@dataclass
class Copied:
    """What a copy made.

    Attributes
    ----------
    runs
        Id of each run that was copied, with the run that stands for it; in the order in which they take from each other.
    notes
        What to look at before the copies are started.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def copy(
    project: ProjectFolder,
    names: Iterable["str | Run"],
    *,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    onto: Iterable["str | OutputRef"] | Mapping[str, "str | OutputRef"] = (),
    below: bool = False,
    seed: int | None = None,
) -> Copied:
    """Make runs like these again, as drafts; the copies take from each other what the originals took from each other.

    Parameters
    ----------
    names
        Ids or labels.
    changes
        Run id to the parameters that its copy has otherwise.
    onto
        Outputs that take the place of inputs from outside: those of the same kind as each; or, as a mapping, old to new outputs.
    below
        Copy everything that depends on these runs too.
    seed
        Another seed for all of them.

    Raises
    ------
    WrongUse
        ``nothing-to-replace``, ``which-input``, ``run-placeholder``;
        and whatever is wrong with a value or an input, as for a new run. Copies made before it stay.
    """
    chosen = [references.find_run(project, name).folder for name in names]
    ids = list(dict.fromkeys(run.id for run in chosen))
    runs = in_order([*{run.id: run for run in chosen}.values(), *(project.below(ids) if below else ())])
    if strange := [run.id for run in runs if Run(run).placeholder]:
        message = f"{', '.join(strange)} stand for steps of another program that nothing here does."
        raise WrongUse("run-placeholder", message, "Copy the runs around them, --onto other outputs.")
    replaced = _replacements(project, runs, onto)
    anew = not (changes or replaced or seed is not None)
    done = Copied()
    for run in runs:
        made = _copy_of(project, run, done.runs, replaced, (changes or {}).get(run.id, {}), seed, anew)
        done.runs[run.id] = made
        if run.record["parameters"].get(BY_HAND) and made.inputs != run.record["inputs"]:
            done.notes.append(
                f"{made.id} keeps what was chosen by hand in {run.id}; in another set these ids mean other items. Choose again."
            )
    return done


def _copy_of(
    project: ProjectFolder,
    run: RunFolder,
    made: Mapping[str, Run],
    replaced: Mapping[str, OutputRef],
    changed: Mapping[str, Any],
    seed: int | None,
    anew: bool,
) -> Run:
    def moved(reference: Mapping[str, Any]) -> OutputRef:
        if reference["run"] in made:
            return made[reference["run"]].outputs[reference["output"]]
        name = f"{reference['run']}.{reference['output']}"
        return replaced.get(name) or references.find_output(project, name)

    inputs = {
        name: [moved(each) for each in given] if isinstance(given, list) else moved(given) for name, given in run.record["inputs"].items()
    }
    values = {**run.record["parameters"], **inputs}
    labels = run.labels()
    return prepare(
        project,
        run.record["protocol"],
        values | dict(changed),
        name=free_label(project, labels[0]) if labels else "",
        seed=run.record["seed"] if seed is None else seed,
        afresh=anew,
    )


def _replacements(project: ProjectFolder, runs: list[RunFolder], onto: Any) -> dict[str, OutputRef]:
    """Return old outputs, by name, and what takes their place."""
    if isinstance(onto, Mapping):
        return {str(references.find_output(project, old)): references.find_output(project, new) for old, new in onto.items()}
    own = {run.id for run in runs}
    outside = dict.fromkeys((each["run"], each["output"]) for run in runs for each in run.references() if each["run"] not in own)
    olds = [references.find_output(project, f"{run}.{name}") for run, name in outside]
    found: dict[str, OutputRef] = {}
    for each in onto:
        new = references.find_output(project, each)
        same = [old for old in olds if references.kind_of(old) is references.kind_of(new)]
        if len(same) != 1:
            kind = references.kind_of(new).kind
            code, count = ("which-input", "several inputs") if same else ("nothing-to-replace", "no input")
            names = ", ".join(map(str, same or olds)) or "nothing"
            message = f"{new} is {kind}; of that kind these runs take {count} from outside ({names})."
            raise WrongUse(code, message, "Say which: --onto OLD.OUTPUT=NEW.OUTPUT.")
        found[str(same[0])] = new
    return found


def start(
    project: ProjectFolder, names: Iterable["str | Run"] = (), *, threads: int | None = None, target: str = "", nodes: int = 0
) -> list[Run]:
    """Start drafts, and the drafts that they wait for; all drafts of the project when none is named. Return those started.

    Left out is what rests on a run that needs somebody's decision.
    """
    wanted = [references.find_run(project, name) for name in names] or all_runs(project)
    return [run.start(threads=threads, target=target, nodes=nodes) for run in unfinished(project, wanted) if run.state is State.DRAFT]


def delete(project: ProjectFolder, name: "str | Run", *, with_dependents: bool = False) -> list[Run]:
    """Move a run, and on request all that depends on it, to the trash; return what was moved, last steps first.

    Raises
    ------
    WrongUse
        ``run-active``, before anything is moved; ``run-needed``: other runs take its outputs.
    """
    run = references.find_run(project, name)
    below = project.below([run.id]) if with_dependents else []
    doomed = [*(Run(folder) for folder in reversed(below)), run]
    if active := [f"{each.id} is {each.state}" for each in doomed if each.state in ACTIVE]:
        raise WrongUse("run-active", f"{', '.join(active)}.", "Stop it first.")
    for each in doomed:
        launch.settle(each.folder)
        project.delete(each.id)
    return doomed


def restore(project: ProjectFolder, run_id: str, *, with_dependents: bool = False) -> list[Run]:
    """Bring a run back from the trash, and on request what is there and depends on it; return what was moved, first steps first."""
    back = [Run(project.restore(run_id))]
    if not with_dependents:
        return back
    there = {run.id for run in back}
    for deleted in in_order(project.trash()):
        needed = {reference["run"] for reference in deleted.references()}
        if needed & there and needed <= {run.id for run in project.runs()}:
            back.append(Run(project.restore(deleted.id)))
            there.add(deleted.id)
    return back
