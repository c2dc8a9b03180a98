"""Append-only event files: one writer a file, one ``write`` a line, a torn last line is ignored."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_WRITER = re.compile(r"events\.(\d+)\.jsonl")


class Journal:
    """The events of one attempt; the only writer of its file.

    Parameters
    ----------
    path
        ``events.<n>.jsonl`` in the run's folder.
    interval
        Least time between two progress events of the same name, in seconds; the first and the last are always written.
    """

    def __init__(self, path: Path, *, interval: float = 0.5) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._interval = interval
        self._last: dict[str, float] = {}

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event; ``t`` is seconds since 1970."""
        append(self._descriptor, {"t": round(time.time(), 3), "kind": kind, **fields})

    def progress(self, name: str, done: float, total: float | None, *, unit: str = "", message: str = "") -> None:
        """Append a progress event, `done` of `total` (None: nobody knows) in `unit`, unless one of the same name was written a moment ago."""
        now = time.monotonic()
        if done != total and now - self._last.get(name, -1e9) < self._interval:
            return
        self._last[name] = now
        self.write("progress", name=name, done=done, total=total, unit=unit, message=message)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def how_far(progress: Mapping[str, Any]) -> str:
    """Return what is done as text: ``3/14``, ``20%`` of a whole, ``5 iterations`` of nobody knows how many."""
    done, total, unit = progress["done"], progress.get("total"), progress.get("unit") or ""
    if not total:
        return f"{done:g} {unit}".rstrip()
    return f"{done:.0%}" if total == 1 and not unit else f"{done:g}/{total:g}"


class Pace:
    """How fast something goes of which progress events tell, since it last began anew (each iteration counts from zero)."""

    def __init__(self) -> None:
        self._first: dict[str, Any] = {}
        self._done = 0.0

    def remaining(self, event: dict[str, Any]) -> float | None:
        """Return the seconds that are left after the next event, None where they cannot be told."""
        done, total = event["done"], event.get("total")
        if not self._first or done < self._done:
            self._first = event
        self._done = done
        since, spent = done - self._first["done"], event["t"] - self._first["t"]
        return spent / since * (total - done) if since > 0 and total is not None else None


def append(descriptor: int, record: dict[str, Any]) -> None:
    """Append one line in a single write."""
    os.write(descriptor, (json.dumps(record, ensure_ascii=False, default=_plain) + "\n").encode())


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one record to a file that several writers share, starting a new line where the last one was torn."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        text = json.dumps(record, ensure_ascii=False, default=_plain)
        os.write(descriptor, (("\n" if torn else "") + text + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    # numpy numbers and arrays know how to become Python's
    return value.tolist() if hasattr(value, "tolist") else str(value)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole records of a file of JSON lines; none when it does not exist."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return list(_records(data[: data.rfind(b"\n") + 1]))


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a crash, glued to nothing
        if isinstance(record, dict):
            yield record


class EventReader:
    """Follows the events of a run: every call of `new` returns what was appended since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def new(self) -> list[dict[str, Any]]:
        """Return the events written since the last call, attempt by attempt."""
        found: list[dict[str, Any]] = []
        for path in event_files(self._folder):
            start = self._offsets.get(path, 0)
            with path.open("rb") as handle:
                handle.seek(start)
                data = handle.read()
            whole = data.rfind(b"\n") + 1
            self._offsets[path] = start + whole
            found.extend(_records(data[:whole]))
        return found


def event_files(folder: Path) -> list[Path]:
    """Return the event files of a run, first attempt first."""
    numbered = [(int(match[1]), path) for path in folder.glob("events.*.jsonl") if (match := _WRITER.fullmatch(path.name))]
    return [path for _, path in sorted(numbered)]
