"""``cryoloom project``: new, list, info, copy, delete, rename, note."""

from pathlib import Path
from typing import Annotated

import typer

from cryoloom.cli.options import Json, ProjectFolder
from cryoloom.cli.printing import say, say_json, table
from cryoloom.spec.words import counted

app = typer.Typer(help="Make, list, copy, rename, delete and annotate projects.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def new(
    project: ProjectFolder, name: Annotated[str, typer.Option(help="Name to show; the folder's by default.")] = "", as_json: Json = False
) -> None:
    """Make an empty project.

    Example: cryoloom project new ribosome --name "80S, March"
    """
    from cryoloom.app.session import create_project

    made = create_project(project, name)
    say_json(made.info()) if as_json else say(f"Made project {made.name} in {made.root}")


@app.command("list")
def list_(folder: Annotated[Path, typer.Argument(help="Folder whose projects to list.")] = Path("."), as_json: Json = False) -> None:
    """List the projects in a folder.

    Example: cryoloom project list ~/projects
    """
    from cryoloom.app.session import list_projects

    rows = [project.info() for project in list_projects(folder)]
    if as_json:
        say_json(rows)
    else:
        table([{**row, "MB": round(row["bytes"] / 1e6)} for row in rows], ["name", "runs", "MB", "folder"])


@app.command()
def info(project: ProjectFolder, as_json: Json = False) -> None:
    """Show a project's name, runs, disk use and notes.

    Example: cryoloom project info ribosome
    """
    from cryoloom.app.session import open_project

    found = open_project(project).info()
    if as_json:
        say_json(found)
        return
    say(f"{found['name']}  ({found['folder']})")
    say(f"{counted(found['runs'], 'run')}: " + (", ".join(f"{count} {state}" for state, count in found["states"].items()) or "none yet"))
    say(f"{found['bytes'] / 1e6:.0f} MB, made by {found['created_by']}")
    for note in found["notes"]:
        say(f"note: {note['text']}")


@app.command()
def copy(project: ProjectFolder, target: Annotated[Path, typer.Argument(help="Folder that does not exist yet.")]) -> None:
    """Copy a project with all its runs.

    Example: cryoloom project copy ribosome ribosome-try2
    """
    from cryoloom.app.session import open_project

    say(f"Copied to {open_project(project).copy(target).root}")


@app.command()
def delete(project: ProjectFolder, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a project and everything in its folder. Movies it links to stay.

    Example: cryoloom project delete ribosome-try2
    """
    import shutil

    from cryoloom.app.session import open_project
    from cryoloom.spec import WrongUse

    found = open_project(project)
    busy = [run.id for run in found.runs() if run.state in {"queued", "running"}]
    if busy:
        raise WrongUse("project-busy", f"{found.root} has runs at work: {', '.join(busy)}.", "Stop them first: cryoloom stop.")
    if yes or typer.confirm(f"Delete {found.name} ({found.root}) with {counted(len(found.runs()), 'run')} for good?"):
        shutil.rmtree(found.root)
        say(f"Deleted {found.root}")


@app.command()
def rename(project: ProjectFolder, name: Annotated[str, typer.Argument(help="New name; the folder stays.")]) -> None:
    """Give a project another name.

    Example: cryoloom project rename ribosome "80S, both sessions"
    """
    from cryoloom.app.session import open_project

    open_project(project).rename(name)
    say(f"Renamed to {name}")


@app.command()
def note(project: ProjectFolder, text: Annotated[str, typer.Argument(help="What to remember.")]) -> None:
    """Write a note into a project.

    Example: cryoloom project note ribosome "grid 3 has thick ice"
    """
    from cryoloom.app.session import open_project

    open_project(project).note(text)
    say("Noted")
