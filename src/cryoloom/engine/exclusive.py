"""A short section of work that one process at a time may do, guarded by a file that only one can create."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryoloom import files
from cryoloom.engine.processes import ProcessId
from cryoloom.spec.errors import Failure

STALE = 60.0
"""Seconds after which the guard of a process on another computer counts as left behind; what it guards takes milliseconds."""


@contextmanager
def exclusive(path: Path, *, patience: float = 2 * STALE) -> Iterator[None]:
    """Hold the file `path` while the block runs, waiting for whoever holds it now; a dead holder's file is taken away.

    Raises
    ------
    Failure
        ``section-taken``: a living process held it for `patience` seconds. ``not-writable`` or ``disk-full``.
    """
    mine = {"holder": ProcessId.current().to_json(), "token": uuid4().hex}
    deadline = time.monotonic() + patience
    while not files.claim(path, mine):
        holder = _holder(path)
        if holder is not None and _gone(path, holder):
            _take_away(path, holder)
        elif time.monotonic() > deadline:
            who = (holder or mine)["holder"]
            message = f"{path} is held by process {who['pid']} of {who['host']} since {patience:.0f} s."
            raise Failure("section-taken", message, "Wait for that process, or end it.")
        time.sleep(0.01)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        return files.read_json(path)
    except ValueError:
        return None  # where there are no hard links, the content comes a moment after the name


def _gone(path: Path, record: dict[str, Any]) -> bool:
    holder = ProcessId.from_json(record["holder"])
    if holder.here:
        return not holder.alive
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > STALE
    return False


def _take_away(path: Path, holder: dict[str, Any]) -> None:
    """Remove the file of a dead holder; one that a living process has put there in the meantime goes back."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if _holder(aside) != holder:
            with suppress(FileExistsError):
                path.hardlink_to(aside)
        aside.unlink()
