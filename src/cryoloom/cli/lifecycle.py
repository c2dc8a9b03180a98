"""Runs from runs and care for them: ``restart``, ``copy``, ``start``, ``compatible``, ``compare``, ``disk``, ``clean``, ``label``, ``tag``, ``note``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cryoloom.cli.options import Json, Nodes, ProjectFolder, Target, Threads
from cryoloom.cli.printing import say, say_json, table
from cryoloom.spec.errors import WrongUse
from cryoloom.spec.words import counted

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id or label of a run.")]
RunNames = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids or labels of runs.")]
Start = Annotated[bool, typer.Option("--start", help="Start what was made, and return at once.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (restart, copy, start, compatible, compare, disk, clean, label, tag, note):
        app.command()(command)


def restart(
    project: ProjectFolder, run: RunName, threads: Threads = 0, target: Target = "", nodes: Nodes = 0, as_json: Json = False
) -> None:
    """Do a run again from the beginning, as a new run; the old one stays.

    Example: cryoloom restart ribosome r004
    """
    from cryoloom.app.session import open_project
    from cryoloom.cli.progress import ProgressView

    opened = open_project(project)
    made = opened.restart(run)
    with ProgressView(silent=as_json) as view:
        made.start(threads=threads or None, target=target, nodes=nodes)
        made.wait(view)
        view.finish(made)
    say_json(made.describe()) if as_json else say(made.id)


def copy(
    project: ProjectFolder,
    runs: RunNames,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Other parameter: NAME=VALUE in every RUN named, RUN:NAME=VALUE in one; repeat.")
    ] = None,
    onto: Annotated[
        list[str] | None,
        typer.Option("--onto", help="Output to take instead of the input of its kind, or OLD.OUTPUT=NEW.OUTPUT; repeat."),
    ] = None,
    below: Annotated[bool, typer.Option("--below", help="Everything that depends on these runs too.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Another seed for all.")] = None,
    start: Start = False,
    threads: Threads = 0,
    target: Target = "",
    nodes: Nodes = 0,
    as_json: Json = False,
) -> None:
    """Make runs like these as drafts, with other parameters or inputs; with --below the whole branch.

    Example: cryoloom copy ribosome picks --below --set diameter=180 --start
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    named = [opened.find(name).id for name in runs]
    changes: dict[str, dict[str, Any]] = {}
    for text in set_ or []:
        where, name, value = _setting(text)
        for run in [opened.find(where).id] if where else named:
            changes.setdefault(run, {})[name] = value
    done = opened.copy_runs(*named, changes=changes, onto=_replacements(onto or []), below=below, seed=seed)
    started = opened.start_drafts(*done.runs.values(), threads=threads or None, target=target, nodes=nodes) if start else []
    if as_json:
        copies = [{"run": made.id, "of": old, "protocol": made.protocol, "state": made.state} for old, made in done.runs.items()]
        say_json({"runs": copies, "notes": done.notes, "started": [run.id for run in started]})
        return
    rows = [{"run": made.id, "like": old, "protocol": made.protocol, "state": made.state} for old, made in done.runs.items()]
    table(rows, ["run", "like", "protocol", "state"])
    for text in done.notes:
        say(f"note: {text}")


def _setting(text: str) -> tuple[str, str, str]:
    """Return run (empty: all that are named), name and value of ``[RUN:]NAME=VALUE``."""
    head, equals, value = text.partition("=")
    if not equals:
        raise WrongUse("no-value", f"--set {text}: no value.", "Write --set NAME=VALUE or --set RUN:NAME=VALUE.")
    run, _, name = head.rpartition(":")
    return run, name, value


def _replacements(texts: list[str]) -> list[str] | dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(equals for _, equals, _ in pairs):
        if not all(equals for _, equals, _ in pairs):
            raise WrongUse("onto-mixed", "--onto is given both with and without OLD=.", "Write OLD.OUTPUT=NEW.OUTPUT in each.")
        return {old: new for old, _, new in pairs}
    return texts


def start(
    project: ProjectFolder,
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="Drafts; all of the project without one.")] = None,
    threads: Threads = 0,
    target: Target = "",
    nodes: Nodes = 0,
    as_json: Json = False,
) -> None:
    """Start drafts, and the drafts they wait for; returns at once.

    Example: cryoloom start ribosome
    """
    from cryoloom.app.session import open_project

    started = open_project(project).start_drafts(*(runs or []), threads=threads or None, target=target, nodes=nodes)
    if as_json:
        say_json([run.id for run in started])
    else:
        say(f"Started {', '.join(run.id for run in started)}" if started else "No draft to start")


def compatible(
    project: ProjectFolder,
    protocol: Annotated[str, typer.Argument(metavar="PROTOCOL", help="Protocol id.")],
    name: Annotated[str, typer.Argument(metavar="INPUT", help="One of its inputs.")],
    as_json: Json = False,
) -> None:
    """List the outputs that an input can take, last made first.

    Example: cryoloom compatible ribosome refine.auto particles
    """
    from cryoloom.app.compatibility import describe
    from cryoloom.app.session import open_project

    rows = [describe(output) for output in open_project(project).compatible(protocol, name)]
    say_json(rows) if as_json else table(rows, ["output", "label", "kind", "state", "count"])


def compare(
    project: ProjectFolder,
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another run.")],
    as_json: Json = False,
) -> None:
    """Show what sets two runs apart: parameters, counts, rows, columns, resolution, FSC.

    Example: cryoloom compare ribosome refinement refinement-2
    """
    from cryoloom.app.session import open_project

    found = open_project(project).compare(first, second)
    if as_json:
        say_json(found)
        return
    a, b = found["runs"]
    for text in found["asked"] or ["asked: the same"]:
        say(text)
    values = {**found["summary"], **{f"{name} (spent)": pair for name, pair in found["spent"].items()}}
    table([{"": name, a: pair[0], b: pair[1]} for name, pair in values.items()], ["", a, b])
    for name, output in found["outputs"].items():
        _tell_output(name, output, a, b)


def _tell_output(name: str, output: dict[str, Any], a: str, b: str) -> None:
    if "only" in output:
        say(f"{name}: only {output['only']} has it")
        return
    if output["same"]:
        say(f"{name}: the same, {counted(output['count'][0], 'row')}")
        return
    say(f"{name}: {counted(output['count'][0], 'row')} in {a}, {output['count'][1]} in {b}")
    if rows := output.get("rows"):
        say(f"  ids: {rows['both']} in both, {rows['only_first']} only in {a}, {rows['only_second']} only in {b}")
    for which, columns in zip((a, b), output["columns"], strict=True):
        if columns:
            say(f"  columns only in {which}: {', '.join(columns)}")
    for label, (one, other) in output["meta"].items():
        if isinstance(one, int | float | str) and isinstance(other, int | float | str):
            say(f"  {label}: {one} in {a}, {other} in {b}")
    table([{"  column": f"  {label}", **apart} for label, apart in output.get("numbers", {}).items()], ["  column", "mean", "largest"])
    table([{"  1/Å": f"  {row['frequency']:.4f}", a: row["first"], b: row["second"]} for row in output.get("fsc", ())], ["  1/Å", a, b])


def disk(project: ProjectFolder, as_json: Json = False) -> None:
    """Show how much room every run takes, by what its files are for.

    Example: cryoloom disk ribosome
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    rows = opened.room()
    if as_json:
        say_json(rows)
        return
    purposes = ("record", "final", "diagnostic", "intermediate")
    lines = [{**row, **{name: f"{row[name] / 1e6:.1f}" for name in purposes}} for row in rows]
    total = {"run": "MB in all", **{name: f"{sum(row[name] for row in rows) / 1e6:.1f}" for name in purposes}}
    table([*lines, total], ["run", "protocol", "label", *purposes])
    if trash := opened.disk_use()["trash"]:
        say(f"MB in the trash: {trash / 1e6:.1f}")


def clean(
    project: ProjectFolder,
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="Finished runs; all of them without one.")] = None,
    keep: Annotated[
        str, typer.Option(help="diagnostic: remove working files only; final: pictures for people too; record: images and maps too.")
    ] = "final",
    also_needed: Annotated[bool, typer.Option("--also-needed", help="Remove what other runs rest on, too.")] = False,
    trash: Annotated[bool, typer.Option("--trash", help="Remove the deleted runs for good, and nothing else.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only tell.")] = False,
    as_json: Json = False,
) -> None:
    """Remove files that finished runs need no more; what was removed is recorded, so that `verify` knows it.

    Example: cryoloom clean ribosome --keep final --dry-run
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    if trash:
        freed = opened.disk_use()["trash"] if dry else opened.empty_trash()
        say_json({"bytes": freed, "removed": not dry}) if as_json else say(f"{freed / 1e6:.1f} MB {'would be' if dry else 'were'} freed")
        return
    found = opened.clean(*(runs or []), keep=keep, dry=dry, also_needed=also_needed)
    if as_json:
        counts = {run: {"files": each.count, "bytes": each.size} for run, each in found.runs.items()}
        say_json({"runs": counts, "bytes": found.size, "needed": found.needed, "removed": not dry})
        return
    for run, each in found.runs.items():
        if each.count:
            words = ", ".join(f"{len(paths)} {purpose}" for purpose, paths in each.files.items())
            say(f"{run}: {words} files, {each.size / 1e6:.1f} MB")
    for run, below in found.needed.items():
        say(f"{', '.join(below)} rest on {run}")
    say(f"{found.size / 1e6:.1f} MB {'would be' if dry else 'were'} freed")


def label(
    project: ProjectFolder, run: RunName, name: Annotated[str, typer.Argument(help="Name to show; the old ones stay valid.")]
) -> None:
    """Give a run another name.

    Example: cryoloom label ribosome r004 "picks, strict"
    """
    from cryoloom.app.session import open_project

    found = open_project(project).find(run)
    found.rename(name)
    say(f"{found.id} is {name}")


def tag(
    project: ProjectFolder,
    run: RunName,
    tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="Words of your own, such as keep or paper.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them off.")] = False,
) -> None:
    """Put tags on a run; `cryoloom status --tag` lists those that bear one.

    Example: cryoloom tag ribosome r004 paper
    """
    from cryoloom.app.session import open_project

    found = open_project(project).find(run)
    found.untag(*tags) if remove else found.tag(*tags)
    say(f"{found.id}: {', '.join(found.tags) or 'no tags'}")


def note(
    project: ProjectFolder,
    run: RunName,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Markdown; without it the notes are printed.")] = "",
    file: Annotated[Path | None, typer.Option(help="Take the text from a file.")] = None,
) -> None:
    """Write a note beside a run, or print its notes.

    Example: cryoloom note ribosome r004 "threshold too low, see **grid 3**"
    """
    from cryoloom.app.session import open_project

    found = open_project(project).find(run)
    text = file.read_text(encoding="utf-8") if file else text
    if text:
        found.note(text)
        say(f"Noted beside {found.id}")
        return
    for each in found.notes:
        say(each["text"])
