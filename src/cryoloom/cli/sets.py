"""Sets: ``select`` some rows, ``preview`` what a form would keep, and look at the ``rows`` of a table or their images, a ``gallery``."""

from pathlib import Path
from typing import Annotated

import typer

from cryoloom.cli.options import Json, ProjectFolder
from cryoloom.cli.printing import say, say_json, table
from cryoloom.cli.runs import OutputName, tell
from cryoloom.spec.errors import WrongUse


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(select)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(preview)
    app.command()(rows)
    app.command()(gallery)


def select(
    project: ProjectFolder,
    output: OutputName,
    where: Annotated[str, typer.Option(help='Rule over columns: "score > 0.75 and defocus_u between 8000 and 30000".')] = "",
    ids: Annotated[str, typer.Option(help="Instead of a rule, ids chosen by hand: 1,5-8.")] = "",
    count: Annotated[bool, typer.Option("--count", help="Say how many rows would be kept; make no run.")] = False,
    name: Annotated[str, typer.Option(help="Label for the run.")] = "",
    as_json: Json = False,
) -> None:
    """Keep the rows of an output that follow a rule, or are listed, as a new run (sets.select).

    Example: cryoloom select ribosome picks.coordinates --where "score > 0.75" --name sure
    """
    from cryoloom.app.session import open_project

    if bool(where) == bool(ids):
        raise WrongUse("usage", f"select {output}: a rule (--where) or a list (--ids) is needed, and not both.", "Give one.")
    opened = open_project(project)
    values = {"items": opened.output(output), **({"mode": "rule", "where": where} if where else {"mode": "ids", "ids": ids})}
    if count:
        _say_counts(opened.preview("sets.select", values), as_json)
    else:
        tell(opened.run("sets.select", values, name=name), as_json)


def preview(
    context: typer.Context,
    project: ProjectFolder,
    protocol: Annotated[str, typer.Argument(metavar="PROTOCOL", help="Protocol id; its flags follow as for run.")],
    as_json: Json = False,
) -> None:
    """Say what a protocol would give, with the flags that `cryoloom run` takes: rows kept, files matched, sizes; no run is made.

    Example: cryoloom preview ribosome sets.subset --input-items r009.particles --input-others good.particles --operation intersection
    """
    from cryoloom.app.session import open_project
    from cryoloom.cli.flags import parse_flags

    parameters, inputs = parse_flags(list(context.args))
    counts = open_project(project).preview(protocol, {**parameters, **inputs})
    if not counts and not as_json:
        say(f"{protocol} cannot tell before it runs.")
    _say_counts(counts, as_json)


def _say_counts(counts: dict[str, int | float | str], as_json: bool) -> None:
    if as_json:
        say_json(counts)
        return
    for label, count in counts.items():
        say(f"{label}: {count}")


def rows(
    project: ProjectFolder,
    output: OutputName,
    columns: Annotated[str, typer.Option(help="Names, separated by commas; all that hold single values without it.")] = "",
    where: Annotated[str, typer.Option(help="Rule that the rows follow.")] = "",
    sort: Annotated[str, typer.Option(help="Column to sort by.")] = "",
    descending: Annotated[bool, typer.Option("--descending", help="Largest first.")] = False,
    offset: Annotated[int, typer.Option(help="Rows to pass over.")] = 0,
    limit: Annotated[int, typer.Option(help="Rows to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Show rows of an output: chosen columns, sorted, filtered.

    Example: cryoloom rows ribosome picks.coordinates --columns id,micrograph_name,score --where "score > 0.9" --sort score --descending
    """
    from cryoloom.app.session import open_project

    wanted = [name.strip() for name in columns.split(",") if name.strip()]
    found = open_project(project).page(
        output, columns=wanted, where=where, sort=sort, descending=descending, offset=offset, limit=limit
    )  # fmt: skip
    if as_json:
        say_json(found)
        return
    names = [column["name"] for column in found["columns"]]
    table([dict(zip(names, row, strict=True)) for row in found["rows"]], names)
    say(f"{len(found['rows'])} of {found['count']} rows" + (f", of {found['of']} in the set" if found["count"] < found["of"] else ""))


def gallery(
    project: ProjectFolder,
    output: OutputName,
    page: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("gallery.html"),
    sort: Annotated[str, typer.Option(help="Column to sort by.")] = "",
    descending: Annotated[bool, typer.Option("--descending", help="Largest first.")] = False,
    where: Annotated[str, typer.Option(help="Rule that the rows follow.")] = "",
    offset: Annotated[int, typer.Option(help="Images to pass over.")] = 0,
    limit: Annotated[int, typer.Option(help="Images to show.")] = 100,
) -> None:
    """Write a page of the images of an output, in the order of any column.

    Example: cryoloom gallery ribosome particles.particles --sort background_sigma --descending -o noisy.html
    """
    from cryoloom.app.session import open_project

    wanted = {"where": where, "sort": sort, "descending": descending, "offset": offset, "limit": limit}
    say(str(open_project(project).gallery(output, page, **wanted)))
