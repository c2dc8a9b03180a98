"""A job that does everything in this process, for tests that run a protocol without the engine."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.spec import Failure, Item, MapResult, Step


@dataclass
class PlainJob:
    """Maps in a plain loop, and remembers what it was told."""

    folder: Path
    root: Path
    seed: int = 1
    threads: int = 1
    blocks: None = None
    open: bool = False
    warnings: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, tuple[Step, ...]] = field(default_factory=dict)

    def __post_init__(self):
        self.folder.mkdir(parents=True, exist_ok=True)

    def map(self, function, items, *, name="items"):
        rows, failed = [], {}
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for row in items.enabled().iter_rows(named=True):
            try:
                result = function(Item(row, self.root, folder, row["id"]))
            except Exception as error:  # noqa: BLE001 (as the engine does)
                logging.exception("item %s failed", row["id"])
                failed[row["id"]] = str(error)
                continue
            found = [{"id": row["id"], **result}] if isinstance(result, dict) else result
            rows += [{key: self._relative(value) for key, value in each.items()} for each in found]
        if failed and not rows:
            raise Failure("all-failed", str(failed))
        return MapResult(pl.DataFrame(rows, infer_schema_length=None), failed)

    def _relative(self, value):
        return value.relative_to(self.root).as_posix() if isinstance(value, Path) else value

    def steps(self, name):
        return self.history.get(name, ())

    def output(self, name):
        return self.folder / name

    def progress(self, done, total, message=""):
        pass

    def warn(self, message):
        self.warnings.append(message)

    def note(self, **numbers):
        self.notes.append(numbers)
