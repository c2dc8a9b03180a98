"""What a finished run's files are for, how much room they take, and removing those of some classes with a record of it.

The record, ``cleaned.jsonl`` in the run's folder, is how a file that was removed on purpose is told from one that was lost.
"""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryoloom.engine.events import append_line, read_lines
from cryoloom.engine.folder import RunFolder
from cryoloom.tables import Dataset

FILE = "cleaned.jsonl"


class Purpose(StrEnum):
    """What a file of a run is for, the dearest first."""

    RECORD = "record"
    """What was asked and what happened, and the tables of the outputs; never removed."""
    FINAL = "final"
    """Images and maps of the outputs, which later steps read."""
    DIAGNOSTIC = "diagnostic"
    """Pictures that only people look at; their columns are declared by the kind of set (`Dataset.diagnostic`)."""
    INTERMEDIATE = "intermediate"
    """Finished items, checkpoints and working files: what a finished run needs no more."""


@dataclass
class Cleaned:
    """What a cleaning removed, or would remove.

    Attributes
    ----------
    files
        Their paths relative to the project, by purpose.
    size
        Their bytes; of a file that has another name elsewhere, none.
    """

    files: dict[Purpose, list[str]] = field(default_factory=dict)
    size: int = 0

    @property
    def count(self) -> int:
        """Return the number of files."""
        return sum(map(len, self.files.values()))


def purposes(run: RunFolder) -> Iterator[tuple[str, Purpose, os.stat_result]]:
    """Yield every file of a run: path relative to the project, what it is for, and its status. Links are not followed."""
    published = run.published()
    listed = _listed(run, published["outputs"]) if published else {}
    top = run.path.as_posix()
    for place, _, names in os.walk(top):
        for name in names:
            path = os.path.join(place, name)
            relative = os.path.relpath(path, run.root)
            purpose = listed.get(relative)
            if purpose is None:
                purpose = Purpose.RECORD if place == top or published is None else Purpose.INTERMEDIATE
            yield relative, purpose, os.lstat(path)


def _listed(run: RunFolder, outputs: dict[str, Any]) -> dict[str, Purpose]:
    """Return the purpose of the files that ``outputs.json`` lists."""
    found: dict[str, Purpose] = {}
    for manifest in outputs.values():
        looked_at = _diagnostic_files(run, manifest)
        for entry in manifest["files"]:
            found[entry["path"]] = Purpose.DIAGNOSTIC if entry["path"] in looked_at else Purpose.FINAL
    for manifest in outputs.values():
        table = manifest["table"]
        for entry in (*table["base"], *table["sidecars"], *([table["ids"]] if table["ids"] else [])):
            found[entry["path"]] = Purpose.RECORD
    # what a set says of itself as a whole, such as a gain image, is listed nowhere and read by later steps
    for manifest in outputs.values():
        for name, value in manifest["meta"].items():
            if name.endswith("_path") and isinstance(value, str):
                found.setdefault(value, Purpose.FINAL)
    return found


def _diagnostic_files(run: RunFolder, manifest: dict[str, Any]) -> set[str]:
    dataset = Dataset.load(manifest, run.root)
    columns = [name for name in type(dataset).diagnostic if manifest["files"] and name in dataset.items.columns]
    return {path for name in columns for path in dataset.items[name].to_list() if path}


def use(run: RunFolder) -> dict[Purpose, int]:
    """Return the bytes of a run's files by purpose; a file of several names counts once."""
    sizes = dict.fromkeys(Purpose, 0)
    seen: set[tuple[int, int]] = set()
    for _, purpose, status in purposes(run):
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            sizes[purpose] += status.st_size
    return sizes


def clean(run: RunFolder, keep: Purpose, *, dry: bool = False) -> Cleaned:
    """Remove the files of a finished run that are for less than `keep`, and record which; with `dry` only tell.

    Links to files outside the run stay: they take no room.
    """
    ranks = list(Purpose)
    found = Cleaned()
    for relative, purpose, status in purposes(run):
        if ranks.index(purpose) > ranks.index(keep) and not stat.S_ISLNK(status.st_mode):
            found.files.setdefault(purpose, []).append(relative)
            found.size += status.st_size if status.st_nlink == 1 else 0
    if dry or not found.count:
        return found
    listed = [path for purpose in (Purpose.FINAL, Purpose.DIAGNOSTIC) for path in found.files.get(purpose, ())]
    # the record comes first: what it names and is still there counts as there
    append_line(run.path / FILE, {"t": round(time.time(), 3), "keep": keep, "files": listed, "final": Purpose.FINAL in found.files})
    for paths in found.files.values():
        for path in paths:
            (run.root / path).unlink(missing_ok=True)
    _remove_empty(run.path)
    return found


def _remove_empty(folder: Path) -> None:
    for place, _, _ in os.walk(folder, topdown=False):
        if Path(place) != folder and not os.listdir(place):
            os.rmdir(place)


def cleaned_files(run: RunFolder) -> set[str]:
    """Return the files of the outputs that were removed on purpose."""
    return {path for line in read_lines(run.path / FILE) for path in line["files"] if not os.path.lexists(run.root / path)}


def is_hollow(run: RunFolder) -> bool:
    """Return whether images or maps of a run's outputs were removed on purpose, so that no later step can read them."""
    path = f"{run.place}/{FILE}"
    return os.path.exists(path) and any(line["final"] for line in read_lines(Path(path)))
