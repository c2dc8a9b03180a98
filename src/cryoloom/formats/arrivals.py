"""Files that come one after the other: each keeps the number and the name it had when it was first seen."""

import time
from collections.abc import Sequence
from pathlib import Path

from cryoloom import files
from cryoloom.formats.sources import item_names


def settled(found: Sequence[Path], seconds: float) -> list[Path]:
    """Return the files that nobody has written to for some seconds; a microscope may still be at the others."""
    now = time.time()
    return [path for path in found if now - _changed(path) >= seconds]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # a broken link or a file that has gone: it is told when it is read


def in_order_of_arrival(found: Sequence[Path], record: Path, *, most: int | None = None) -> tuple[list[Path], list[str]]:
    """Return the files seen so far and then the new ones, with a name each, and write that down.

    Parameters
    ----------
    found
        All files that are there, in the order in which new ones are to be taken.
    record
        Where it is written down; a file that has gone since keeps its place.
    most
        New ones taken at once; all of them when None.
    """
    known: dict[str, str] = (files.read_json(record) or {"names": {}})["names"]
    named = dict(zip((path.as_posix() for path in found), item_names(found), strict=True))
    fresh = [path for path in named if path not in known][:most]
    taken = set(known.values())
    for path in fresh:
        name, number = named[path], 2
        while name in taken:
            name, number = f"{named[path]}_{number}", number + 1
        known[path] = name
        taken.add(name)
    if fresh:
        files.write_json(record, {"names": known})
    return [Path(path) for path in known], list(known.values())
