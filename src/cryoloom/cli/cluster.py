"""``cluster``: what a site's file says, an example of one, and a trial of the whole way through the queue."""

import time
from typing import Annotated

import typer

from cryoloom.cli.options import Json
from cryoloom.cli.printing import say, say_json

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Runs as jobs of a Slurm cluster: its settings, and a trial of them.")

Place = Annotated[
    str, typer.Argument(metavar="[PROJECT]", help="A project's folder, whose cluster.toml counts, on a disk that the nodes see.")
]


@app.command()
def example() -> None:
    """Print a cluster.toml to start from.

    Example: cryoloom cluster example
    """
    from cryoloom.engine.site import EXAMPLE

    say(EXAMPLE.rstrip("\n"))


@app.command()
def check(
    project: Place = ".",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the trial job.")] = 300.0,
    as_json: Json = False,
) -> None:
    """Send a job of a few seconds through the queue and see that it starts, finds this program and sees the folder.

    Example: cryoloom cluster check my-project
    """
    from cryoloom.app.cluster import trial

    began = time.monotonic()
    found = trial(project, wait)
    if as_json:
        say_json(found)
        return
    for name, value in found.items():
        say(f"{name:<12} {value}")
    say(f"The cluster can be used; the whole way took {time.monotonic() - began:.0f} s")
