"""Where results come from, for others: ``replay``, ``environment``, ``methods``, ``crate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoloom.cli.options import Json, ProjectFolder, Threads
from cryoloom.cli.printing import say, say_json
from cryoloom.spec.words import counted

if TYPE_CHECKING:
    from cryoloom.app.replay import Step

Output = Annotated[str, typer.Argument(metavar="RUN.OUTPUT", help="A run's output, such as map.volume.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (replay, environment, methods, crate):
        app.command()(command)


def replay(
    project: ProjectFolder,
    output: Output,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the new project; PROJECT-replay by default. Goes on where it was.")
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Do all steps of an output again in a new project and compare every hash; exit code 1 when one differs.

    Example: cryoloom replay ribosome map.volume -o ribosome-again
    """
    from dataclasses import asdict

    from cryoloom.app.session import open_project
    from cryoloom.cli.progress import ProgressView

    opened = open_project(project)
    folder = target or opened.root.with_name(f"{opened.root.name}-replay")
    with ProgressView(silent=as_json) as view:
        found = opened.replay(output, folder, threads=threads or None, on_event=view, on_step=lambda step: view.say(_told(step)))
    if as_json:
        say_json({"ok": found.ok, "project": str(found.project), "steps": [asdict(step) for step in found.steps]})
    else:
        count = sum(len(step.same) for step in found.steps)
        say(
            f"{counted(count, 'output')} of {counted(len(found.steps), 'run')}: {'all the same to the bit' if found.ok else 'NOT the same'}; {found.project}"
        )
    if not found.ok:
        raise typer.Exit(1)


def _told(step: "Step") -> str:
    head = f"{step.run}  {step.protocol:<20} {'the same' if step.ok else 'DIFFERS'}"
    return "\n".join([head, *(f"      {text}" for text in step.differences), *(f"      perhaps because {text}" for text in step.causes)])


def environment(
    project: ProjectFolder,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or label of a run that was started.")],
    as_json: Json = False,
) -> None:
    """Show what a run was computed with: versions of all packages, Python, processor, threads, programs.

    Example: cryoloom environment ribosome refinement
    """
    from cryoloom.app.session import open_project
    from cryoloom.spec.errors import WrongUse

    found = open_project(project).find(run)
    record = found.environment
    if record is None:
        raise WrongUse("not-started", f"{found.id} is {found.state} and was computed with nothing yet.", "Start it first.")
    if as_json:
        say_json(record)
        return
    for name, value in record.items():
        if name != "packages" and value:
            say(f"# {name.replace('_', ' ')}: {value}")
    for name, version in record["packages"].items():
        say(f"{name}=={version}")


def methods(
    project: ProjectFolder,
    output: Annotated[str, typer.Argument(metavar="[RUN.OUTPUT]", help="Or a run; without it the run that finished last.")] = "",
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the BibTeX entries of the papers instead.")] = False,
    as_json: Json = False,
) -> None:
    """Print the methods section of a paper: what was done, with its parameters and figures, and the papers behind it.

    Example: cryoloom methods ribosome map.volume
    """
    from cryoloom.app.session import open_project

    found = open_project(project).methods(output or None)
    if as_json:
        say_json({"text": found.text, "references": {paper.key: paper.doi for paper in found.papers}, "bibtex": found.bibtex})
    else:
        say(found.bibtex if bibtex else found.page)


def crate(
    project: ProjectFolder,
    file: Annotated[Path, typer.Argument(metavar="OUT.zip", help="File to write.")],
    data: Annotated[list[str] | None, typer.Option("--data", help="Output whose tables and images come along; repeat.")] = None,
    licence: Annotated[str, typer.Option(help="URL of the licence you give it away under.")] = "",
) -> None:
    """Write the project's history as a Workflow Run RO-Crate that other tools read.

    Example: cryoloom crate ribosome ribosome.zip --data map.volume --licence https://creativecommons.org/licenses/by/4.0/
    """
    from cryoloom.app.session import open_project

    say(str(open_project(project).crate(file, data=data or [], licence=licence)))
