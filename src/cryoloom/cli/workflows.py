"""``workflow`` and ``import-workflow``: what is done in a project as a file, and such a file, of ours or of another program, as drafts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cryoloom.cli.options import Json, ProjectFolder, Threads
from cryoloom.cli.printing import say, say_json, table
from cryoloom.spec.errors import WrongUse


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(workflow)
    app.command("import-workflow")(import_workflow)


def workflow(
    project: ProjectFolder,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Only what this run rests on, and itself.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; without it the text is printed.")] = None,
    format_: Annotated[str, typer.Option("--format", help="cryoloom, or the program it was imported from: scipion.")] = "cryoloom",
) -> None:
    """Write what is done in a project as a workflow: steps, parameters with units, seeds and links, no results.

    Example: cryoloom workflow ribosome -o ribosome.json
    """
    from cryoloom.app.session import open_project

    text = open_project(project).export_workflow(output, run=run, format_name=format_)
    say(str(output) if output else text.rstrip("\n"))


def import_workflow(
    project: ProjectFolder,
    file: Annotated[
        Path,
        typer.Argument(
            help="A workflow of ours, a workflow or template of Scipion, a RELION project's folder, a .cs or .csg of cryoSPARC or a folder of .csg."
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="An input of the workflow, or anything of one step: --set pattern='new/*.tiff' --set 41.box_size=100."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is in the file.")] = False,
    run: Annotated[
        bool | None,
        typer.Option(
            "--run/--no-run", help="Carry the drafts out at once; by default only where they bring in results of another program."
        ),
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Make the steps of a workflow as drafts, in a new or existing project; `cryoloom resume` runs them in order.

    A step without a protocol here is kept with all its parameters and links; it needs you, and is never run.

    Example: cryoloom import-workflow ribosome-2 ribosome.json --set pattern='more/*.tiff' --set gain=more/gain.mrc
    """
    from cryoloom.app.workflow import import_workflow as read_in

    given = dict(_pair(text) for text in set_ or [])
    opened = None if dry_run else _opened(Path(project), file, given)
    done = opened.import_workflow(file, given) if opened else read_in(None, file, given)
    if done.planted and (done.results if run is None else run):
        carry_out(opened, list(done.planted.runs.values()), threads, silent=as_json)
    if as_json:
        say_json(_described(done))
        return
    for name, count in done.counts.items():
        say(f"{name}: {count}")
    for name, asked in done.workflow.inputs.items():
        say(f"input {name} ({asked.type}): {asked.label or asked.help} [{asked.default}]")
    for message in done.messages:
        say(f"note: {message}")
    if done.planted:
        rows = [
            {"run": run.id, "step": node, "protocol": run.protocol, "label": run.label, "state": str(run.state), "about": run.reason}
            for node, run in done.planted.runs.items()
        ]
        table(rows, ["run", "step", "protocol", "label", "state", "about"])


def carry_out(project: Any, runs: list[Any], threads: int, target: str = "", nodes: int = 0, *, silent: bool) -> list[Any]:
    """Carry out those of `runs` that can be, and what they rest on; print each to stderr; return what has been done."""
    from cryoloom.cli.progress import ProgressView

    done = []
    with ProgressView(silent=silent) as view:
        for each in project.carry_out(runs, threads=threads or None, target=target, nodes=nodes, on_event=view):
            view.finish(each)
            view.say(f"{each.id} {each.protocol} {each.state}")
            done.append(each)
    return done


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise WrongUse("workflow-set", f"--set {text}: no value.", "Write --set name=value.")
    return name, value


def _opened(folder: Path, file: Path, given: dict[str, str]) -> Any:
    """Return the project, made if there is none; what is wrong with the file is said before that."""
    from cryoloom.app.session import create_project, open_project
    from cryoloom.app.workflow import import_workflow as read_in

    if (folder / "project.json").exists():
        return open_project(folder)
    read_in(None, file, given)
    return create_project(folder)


def _described(done: Any) -> dict[str, Any]:
    planted = done.planted
    runs = {node: run.describe() for node, run in planted.runs.items()} if planted else {}
    inputs = {name: asked.model_dump() for name, asked in done.workflow.inputs.items()}
    known = sorted(planted.known) if planted else []
    return {"counts": done.counts, "inputs": inputs, "messages": done.messages, "runs": runs, "reused": known}
