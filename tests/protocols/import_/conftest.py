import logging
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from cryoloom.spec import CryoloomError, Item, MapResult


@dataclass
class LoopJob:
    """A job that does everything in a plain loop."""

    folder: Path
    root: Path
    seed: int = 0
    threads: int = 1
    open: bool = False
    warnings: list[str] = field(default_factory=list)

    def map(self, function, items, *, name="items"):
        rows, failed = [], {}
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for row in items.enabled().iter_rows(named=True):
            try:
                result = function(Item(row, self.root, folder, 0))
            except CryoloomError as error:
                logging.debug("item %s failed", row["id"])
                failed[row["id"]] = str(error)
                continue
            found = [{"id": row["id"], **result}] if isinstance(result, dict) else result
            rows += [{key: self._relative(value) for key, value in each.items()} for each in found]
        return MapResult(pl.DataFrame(rows, infer_schema_length=None), failed)

    def _relative(self, value):
        return value.relative_to(self.root).as_posix() if isinstance(value, Path) else value

    def output(self, name):
        return self.folder / name

    def progress(self, done, total, message=""):
        pass

    def warn(self, message):
        self.warnings.append(message)

    def note(self, **numbers):
        pass


@pytest.fixture
def job(tmp_path):
    (tmp_path / "project" / "runs" / "r001").mkdir(parents=True)
    return LoopJob(tmp_path / "project" / "runs" / "r001", tmp_path / "project")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder
