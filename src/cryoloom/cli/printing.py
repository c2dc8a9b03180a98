"""Text and JSON for the terminal."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer


def say(text: str = "") -> None:
    """Print a line of result."""
    typer.echo(text)


def say_json(value: Any, *, indent: int | None = None) -> None:
    """Print one JSON value; on one line unless `indent` says otherwise."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str, indent=indent))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as aligned columns under a head."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[number]) for row in cells)) if cells else len(column) for number, column in enumerate(columns)]
    for line in ([list(columns)] if cells else []) + cells:
        say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)[:40]
    return str(value)
