"""Runs: the catalogue, ``run``, ``status``, ``log``, ``stop``, ``close``, ``resume``, ``show``, ``trace``, ``verify``, trash."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cryoloom.cli.options import Json, Nodes, ProjectFolder, Target, Threads
from cryoloom.cli.printing import say, say_json, table
from cryoloom.engine.events import how_far
from cryoloom.spec.errors import WrongUse
from cryoloom.spec.words import counted

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id or label of a run.")]
WithDependents = Annotated[bool, typer.Option("--with-dependents", help="All that depends on it, too.")]
OutputName = Annotated[str, typer.Argument(metavar="RUN.OUTPUT", help="A run's output, such as r002.micrographs.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    protocols = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    protocols.callback()(list_protocols)
    protocols.command("show")(show_protocol)
    app.add_typer(protocols, name="protocols")
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)
    for command in (status, log, stop, close, resume, show, delete, restore, trace, verify):
        app.command()(command)


def list_protocols(
    context: typer.Context,
    search: Annotated[str, typer.Option(help="Words to look for in names, labels and descriptions.")] = "",
    as_json: Json = False,
) -> None:
    """List the protocols.

    Example: cryoloom protocols --search ctf
    """
    if context.invoked_subcommand:
        return
    from cryoloom.app import catalogue

    found = catalogue.search(search) if search else catalogue.entries()
    rows = [{"id": entry.id, "title": entry.title or f"cannot be loaded: {entry.error}"} for entry in found]
    say_json(rows) if as_json else table(rows, ["id", "title"])


def show_protocol(protocol: Annotated[str, typer.Argument(metavar="ID", help="Protocol id.")], as_json: Json = False) -> None:
    """Show a protocol's inputs, parameters and outputs.

    Example: cryoloom protocols show ctf.estimate
    """
    from cryoloom.app import catalogue
    from cryoloom.app.schema import schema_of

    found = catalogue.protocol(protocol)
    schema = schema_of(found)
    if as_json:
        say_json(schema)
        return
    say(f"{schema['x-protocol']}: {schema['description']}\n")
    for name, field in schema["properties"].items():
        flag = f"--{'input-' if field.get('x-input') else ''}{name.replace('_', '-')}"
        say(f"  {flag:<26} {_describe(name, field, schema)}")
        say(f"  {'':<26} {field.get('description', '')}")
    say(f"\n  gives: {', '.join(f'{name} ({kind})' for name, kind in schema['x-outputs'].items())}")


def _describe(name: str, field: dict[str, Any], schema: dict[str, Any]) -> str:
    if field.get("x-input"):
        words = [" or ".join(field["x-kinds"])]
    else:
        words = [field.get("x-label", name)]
        if field.get("x-unit"):
            words.append(f"({field['x-unit']})")
        if field.get("default") is not None:
            words.append(f"[{field['default']}]")
    return " ".join([*words, *(["required"] if name in schema.get("required", ()) else [])])


def run(
    context: typer.Context,
    project: ProjectFolder,
    protocol: Annotated[
        str, typer.Argument(metavar="PROTOCOL", help="Protocol id; its flags follow: --name VALUE, --input-name RUN.OUTPUT.")
    ],
    name: Annotated[str, typer.Option("--name", help="Label for the run.")] = "",
    threads: Threads = 0,
    target: Target = "",
    nodes: Nodes = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of every random choice.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the run goes on.")] = False,
    as_json: Json = False,
) -> None:
    """Run a protocol; the last line is the run's id.

    Flags of the protocol: cryoloom protocols show PROTOCOL.

    Example: cryoloom run ribosome ctf.estimate --input-micrographs r002.micrographs --high-res 4 --name ctfs
    """
    from cryoloom.app.session import open_project
    from cryoloom.cli.flags import parse_flags
    from cryoloom.cli.progress import ProgressView

    if protocol.startswith("-"):
        raise WrongUse(
            "project-missing", f"{project} stands where the project's folder goes.", f"Give that first: cryoloom run PROJECT {project} …"
        )
    parameters, inputs = parse_flags(list(context.args))
    both = parameters.keys() & inputs.keys()
    if both:
        raise WrongUse("given-twice", f"{', '.join(sorted(both))}: given as parameter and as input.", "Give it once.")
    opened = open_project(project)
    with ProgressView(silent=as_json) as view:
        done = opened.run(
            protocol, {**parameters, **inputs}, name=name, threads=threads or None, target=target, nodes=nodes, seed=seed, wait=not detach, on_event=view
        )  # fmt: skip
        view.finish(done)
    tell(done, as_json)


def tell(done: Any, as_json: bool) -> None:
    """Print what a run that has ended, or has been started, gives; its id on the last line."""
    described = done.describe()
    if as_json:
        say_json({**described, "reused": done.reused})
        return
    if done.reused:
        say(f"Nothing to do: {done.id} did the same work.")
    for warning in done.warnings:
        say(f"note: {warning}")
    for label, value in done.summary.items():
        say(f"{label}: {value}")
    for output, about in described["outputs"].items():
        say(f"{done.id}.{output}: {about['count']} {about['kind']}")
    say(done.id)


def status(
    project: ProjectFolder,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="One run only.")] = "",
    tag: Annotated[str, typer.Option(help="Only runs that bear this tag.")] = "",
    as_json: Json = False,
) -> None:
    """List the runs and their states.

    Example: cryoloom status ribosome
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    chosen = [each for each in ([opened.find(run)] if run else opened.runs()) if not tag or tag in each.tags]
    if as_json:
        say_json([each.describe() for each in chosen])
        return
    lines = [
        {**row, "failed items": sum(row["failed_items"].values()) or None, "about": row["reason"] or _progress(row["progress"])}
        for row in (each.brief() for each in chosen)
    ]
    table(lines, ["run", "protocol", "label", "state", "failed items", "about"])


def _progress(progress: dict[str, Any] | None) -> str:
    if not progress:
        return ""
    left = f", {progress['remaining']:.0f} s left" if progress.get("remaining") is not None else ""
    return f"{how_far(progress)} {progress.get('message') or ''}".rstrip() + left


def log(project: ProjectFolder, run: RunName) -> None:
    """Print what a run printed, all attempts.

    Example: cryoloom log ribosome r004
    """
    from cryoloom.app.session import open_project

    say(open_project(project).find(run).log().rstrip("\n"))


def stop(
    project: ProjectFolder, run: Annotated[str, typer.Argument(metavar="[RUN]", help="All that are at work without it.")] = ""
) -> None:
    """Stop a run; what is finished in it is kept.

    Example: cryoloom stop ribosome r004
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    stopped = [each.id for each in ([opened.find(run)] if run else opened.runs()) if each.stop()]
    say(f"Stopped {', '.join(stopped)}" if stopped else "Nothing was at work")


def close(project: ProjectFolder, run: RunName) -> None:
    """Tell an import that watches a folder that no more movies will come; it and all below it finish with what is there.

    Example: cryoloom close ribosome movies
    """
    from cryoloom.app.session import open_project

    say(f"{open_project(project).find(run).close().id} takes what is there and finishes")


def resume(
    project: ProjectFolder,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="One run; without it the whole project goes on.")] = "",
    threads: Threads = 0,
    target: Target = "",
    nodes: Nodes = 0,
    as_json: Json = False,
) -> None:
    """Go on where a run, or a whole `cryoloom process`, was interrupted; start the drafts of an imported workflow.

    Example: cryoloom resume ribosome
    """
    from cryoloom.app.process import Plan
    from cryoloom.app.session import open_project
    from cryoloom.cli.chain import see_through
    from cryoloom.cli.workflows import carry_out

    opened = open_project(project)
    plan = None if run else Plan.read(opened)
    if plan is not None:
        see_through(opened, plan, threads, target, nodes, as_json, resuming=True)
        carry_out(opened, [each for each in opened.runs() if each.state == "draft"], threads, target, nodes, silent=as_json)
        return
    if run and (problem := opened.find(run).needs):
        raise problem
    done = carry_out(opened, [opened.find(run)] if run else opened.runs(), threads, target, nodes, silent=as_json)
    if as_json:
        say_json([each.describe() for each in done] if not run else opened.find(run).describe())
    elif not done:
        say("Nothing to resume: no run is a draft, failed, stopped or lost.")
    waiting = [] if run or as_json else [each.id for each in opened.runs() if each.state == "needs-you"]
    if waiting:
        say(f"{len(waiting)} need you: {', '.join(waiting)}; `cryoloom status` says why.")


def show(
    project: ProjectFolder,
    name: Annotated[str, typer.Argument(metavar="RUN[.OUTPUT]", help="A run, or one of its outputs.")],
    rows: Annotated[int, typer.Option(help="How many rows of an output to print.")] = 10,
    as_json: Json = False,
) -> None:
    """Show a run, or the first rows of an output.

    Example: cryoloom show ribosome r003.ctfs --rows 5
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    try:
        found = opened.find(name)
    except WrongUse:
        _show_output(opened.output(name), rows, as_json)
        return
    described = found.describe()
    if as_json:
        say_json(described)
        return
    for key in (
        "run",
        "protocol",
        "label",
        "tags",
        "state",
        "reason",
        "why",
        "seed",
        "parameters",
        "inputs",
        "outputs",
        "summary",
        "warnings",
        "failed_items",
        "spent",
    ):
        if described[key] not in ("", {}, [], None):
            say(f"{key}: {described[key]}")
    for each in described["notes"]:
        say(f"note: {each['text']}")


def _show_output(output: Any, rows: int, as_json: bool) -> None:
    manifest = output.manifest
    head = output.to_polars().head(rows)
    if as_json:
        say_json({"output": str(output), **manifest, "rows": head.to_dicts()})
        return
    say(f"{output}: {manifest['count']} {manifest['kind']}, hash {manifest['hash'][:16]}")
    columns = [column for column, kind in head.schema.items() if not kind.is_nested()][:10]
    table(head.select(columns).to_dicts(), columns)
    for item, reason in list(output.disabled().items())[:rows]:
        say(f"{item} is disabled: {reason}")


def delete(project: ProjectFolder, run: RunName, with_dependents: WithDependents = False) -> None:
    """Move a run to the project's trash.

    Example: cryoloom delete ribosome r007 --with-dependents
    """
    from cryoloom.app.session import open_project

    moved = ", ".join(each.id for each in open_project(project).delete(run, with_dependents=with_dependents))
    say(f"In the trash: {moved}; `cryoloom restore` brings back")


def restore(project: ProjectFolder, run: RunName, with_dependents: WithDependents = False) -> None:
    """Bring a run back from the trash.

    Example: cryoloom restore ribosome r007 --with-dependents
    """
    from cryoloom.app.session import open_project

    opened = open_project(project)
    before = set(opened.trash())
    opened.restore(run, with_dependents=with_dependents)
    say(f"Back: {', '.join(sorted(before - set(opened.trash())))}")


def trace(project: ProjectFolder, output: OutputName, as_json: Json = False) -> None:
    """Show every step that an output rests on, to every movie, parameter and version.

    Example: cryoloom trace ribosome map.volume
    """
    from cryoloom.app.session import open_project

    found = open_project(project).trace(output)
    if as_json:
        say_json(found)
        return
    for step in found["steps"]:
        say(f"{step['run']}  {step['protocol']} v{step['version']}  seed {step['seed']}  {step['cryoloom']}")
        for key, value in step["parameters"].items():
            say(f"        {key} = {value}")
    for source in found["sources"]:
        known = source.get("blake3") or ("quick_hash" in source and f"{source['quick_hash']} (quick: no step has read all of it yet)")
        say(f"{Path(source['path']).name}  {known or ''}".rstrip())
    files = {Path(source["path"]).name for source in found["sources"]}
    say(f"begun from {counted(len(files), 'file')}; hash {found['hash']}")


def verify(project: ProjectFolder, output: Annotated[str, typer.Argument(metavar="RUN[.OUTPUT]")], as_json: Json = False) -> None:
    """Hash again every file that an output rests on; exit code 1 when one has changed.

    Example: cryoloom verify ribosome map.volume
    """
    from dataclasses import asdict

    from cryoloom.app.session import open_project

    found = open_project(project).verify(output)
    if as_json:
        say_json({"ok": found.ok, **asdict(found)})
    else:
        for word, names in (("changed", found.changed), ("missing", found.missing), ("forged", found.forged)):
            for name in names:
                say(f"{word}: {name}")
        if found.quick:
            say(f"compared by a quick hash, since no step has read all of them yet: {counted(len(found.quick), 'file')}")
        if found.cleaned:
            say(f"cleaned away on purpose: {counted(len(found.cleaned), 'file')}")
        say(
            f"{counted(found.files, 'file')}, {found.size / 1e6:.0f} MB: {'all as they were made' if found.ok else 'NOT as they were made'}"
        )
    if not found.ok:
        raise typer.Exit(1)
