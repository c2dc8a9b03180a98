"""``serve``: the projects of a folder in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from cryoloom.cli.printing import say


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(serve)


def serve(
    projects: Annotated[Path, typer.Argument(metavar="[PROJECTS_DIR]", help="Folder of projects, or one project.")] = Path("."),
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 8787,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own let other machines in.")] = "127.0.0.1",
    name: Annotated[list[str] | None, typer.Option("--name", help="Another name that browsers reach this machine by; repeat.")] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root", help="Another folder in which files to import can be looked for, beside your own and the projects'; repeat."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Show projects in the browser: start, watch and analyze runs there. Ends with Ctrl+C; runs go on.

    Example: cryoloom serve ~/projects
    """
    import webbrowser

    from cryoloom.server.serve import serve as run_server

    def announce(operator: str, viewer: str) -> None:
        say(operator)
        say(f"For who may look but change nothing: {viewer}")
        if host not in ("127.0.0.1", "::1", "localhost"):
            say(f"Listening on {host}: whoever has the first address can start programs as you. An SSH tunnel is safer.")
        if browser:
            webbrowser.open(operator)

    run_server(projects, host=host, port=port, names=name or (), roots=root or (), announce=announce)
