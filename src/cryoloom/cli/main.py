"""``cryoloom``: one command per verb; everything heavy is imported by the verb that needs it."""

import os
import sys
from pathlib import Path
from typing import Any

import typer

from cryoloom.cli import chain, cluster, exchange, lifecycle, projects, provenance, runs, serve, sets, workflows
from cryoloom.files import storage_failure
from cryoloom.spec.errors import CryoloomError

# Newer typers carry a click of their own: what they raise is found through what they export.
UsageError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")  # pyright: ignore[reportAssignmentType]

app = typer.Typer(
    name="cryoloom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    help="Movies to map: single-particle cryo-EM. Every command has --help with an example; --debug shows tracebacks.",
)
app.add_typer(projects.app, name="project")
app.add_typer(cluster.app, name="cluster")
for room in (chain, runs, lifecycle, provenance, sets, workflows, exchange, serve):
    room.register(app)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        import cryoloom

        typer.echo(f"cryoloom {cryoloom.__version__}")
        raise typer.Exit


def _usage(error: Any) -> str:
    """Return what a wrong command line is told: which command, what is wrong, how it is used."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "cryoloom"
    usage = f" {' '.join(context.get_usage().split())}." if context else ""
    return f"{command}: {error.format_message().rstrip('.')}.{usage} `{command} --help` has an example. [CL-usage]".replace("?.", "?")


def main() -> None:
    """Run the command line; errors are one paragraph on stderr, exit code 2 for wrong use and 1 for failure."""
    words = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(words) < len(sys.argv) - 1 or bool(os.environ.get("CRYOLOOM_DEBUG"))
    try:
        sys.exit(app(words, prog_name="cryoloom", standalone_mode=False) or 0)
    except UsageError as error:
        typer.echo(_usage(error), err=True)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 (the last resort: a traceback helps no user)
        if debug:
            raise
        known = storage_failure(error, Path(error.filename or ".")) if isinstance(error, OSError) else error
        if isinstance(known, CryoloomError):
            typer.echo(f"cryoloom: {known}", err=True)
            sys.exit(known.exit_code)
        text = f"unexpected {type(error).__name__}: {error}. Run again with --debug for the traceback. [CL-unexpected]"
        typer.echo(f"cryoloom: {text}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
