"""What people write beside a run: names, tags and notes in Markdown. Appended to files of the run's folder, never part of its identity."""

import time
from typing import Any

from cryoloom.engine.events import append_line, read_lines
from cryoloom.engine.folder import RunFolder

FILE = "annotations.jsonl"


def tag(run: RunFolder, name: str, *, on: bool = True) -> None:
    """Put a tag on a run, or take it off."""
    append_line(run.path / FILE, {"t": round(time.time(), 3), "tag": name, "on": on})


def tags(run: RunFolder) -> list[str]:
    """Return a run's tags, the first given first."""
    found: dict[str, bool] = {}
    for line in read_lines(run.path / FILE):
        if "tag" in line:
            found[line["tag"]] = line["on"]
    return [name for name, on in found.items() if on]


def note(run: RunFolder, text: str) -> None:
    """Add a note, in Markdown."""
    append_line(run.path / FILE, {"t": round(time.time(), 3), "note": text})


def notes(run: RunFolder) -> list[dict[str, Any]]:
    """Return a run's notes, oldest first: ``t`` (seconds since 1970) and ``text``."""
    return [{"t": line["t"], "text": line["note"]} for line in read_lines(run.path / FILE) if "note" in line]
