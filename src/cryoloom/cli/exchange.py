"""``export``, ``report`` and ``doctor``: what leaves a project, and whether this machine is fit."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cryoloom.cli.options import Json, ProjectFolder
from cryoloom.cli.printing import say, say_json


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(cls=_Export)(export)
    for command in (report, doctor):
        app.command()(command)


class _Export(TyperCommand):
    """Its help ends with the formats there are, those of plugins too, which takes a moment to find out."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from cryoloom.app.export import format_names

        formatter.write_paragraph()
        formatter.write_text(f"Formats: {', '.join(format_names())}.")


def export(
    project: ProjectFolder,
    output: Annotated[str, typer.Argument(metavar="RUN.OUTPUT|all", help="One output, or all of the finished runs.")],
    directory: Annotated[Path, typer.Argument(help="Where to write.")],
    format_: Annotated[str, typer.Option("--format", help="One of the formats below.")] = "relion",
    as_json: Json = False,
) -> None:
    """Write outputs as files of another program.

    Example: cryoloom export ribosome all out --format xmipp
    """
    from cryoloom.app.export import cautions
    from cryoloom.app.export import export as write
    from cryoloom.app.session import open_project

    opened = open_project(project)
    written, told = write(opened, output, directory, format_), cautions(opened, output, format_)
    if as_json:
        say_json({"directory": str(directory), "files": [str(path) for path in written], "warnings": told})
    else:
        for line in (*map(str, written), *told):
            say(line)


def report(
    project: ProjectFolder,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="One run only.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The page; report.html in the project by default.")] = None,
) -> None:
    """Write the self-contained HTML report.

    Example: cryoloom report ribosome -o ribosome.html
    """
    from cryoloom.app.report import write_report
    from cryoloom.app.session import open_project

    opened = open_project(project)
    say(str(write_report(opened.folder, output, opened.find(run) if run else None)))


def doctor(as_json: Json = False) -> None:
    """Say whether this machine has what cryoloom needs and which other programs it can use.

    Example: cryoloom doctor
    """
    from cryoloom.app.doctor import examine

    findings = examine()
    if as_json:
        say_json([{"check": check.name, "ok": check.ok, "found": check.found} for check in findings])
    else:
        for check in findings:
            say(f"{'ok  ' if check.ok else 'WARN'}  {check.name}: {check.found}")
