"""Items keyed by content: what an earlier run of the same protocol computed from the same content is taken over, not computed again.

So a project that is fed with new movies, in new runs, computes only the new ones. An item is taken over when protocol, version,
parameters, seed, the item's row and the content of every file and set that its function holds are the same; a function that looked at
other rows of the set it is mapped over is never trusted with this.
"""

import io
import os
import pickle
import shutil
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.engine.folder import RunFolder
from cryoloom.engine.parts import Parts, hashed_of, key_of, write_part
from cryoloom.engine.project import ProjectFolder
from cryoloom.files import canonical
from cryoloom.spec.job import ItemFunction
from cryoloom.spec.protocol import Protocol
from cryoloom.tables import Dataset

LARGE = 1 << 30
"""Files of more bytes that no manifest lists are known by size and time of change rather than by their content."""


class Contents:
    """The content of project files as a short text: their hash, from a manifest where one lists them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs: dict[str, dict[str, str]] = {}
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}

    def of(self, path: str) -> str:
        """Return the content of the file at `path`, relative to the project; raises OSError where there is none."""
        status = (self._root / path).stat()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = (stamp, self._listed(path) or self._looked_at(self._root / path))
        return known[1]

    def _listed(self, path: str) -> str | None:
        room, _, rest = path.partition("/")
        run = rest.partition("/")[0]
        if room != "runs":
            return None
        if run not in self._runs:
            manifests = (RunFolder(self._root / "runs" / run).published() or {"outputs": {}})["outputs"].values()
            self._runs[run] = {entry["path"]: entry["blake3"] for manifest in manifests for entry in manifest["files"]}
        return self._runs[run].get(path)

    @staticmethod
    def _looked_at(path: Path) -> str:
        status = path.stat()
        if status.st_size > LARGE:
            return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
        return blake3(max_threads=1).update_mmap(path).hexdigest() if status.st_size else ""

    def replaced(self, value: Any, name: str = "") -> Any:
        """Return JSON `value` with every text under a ``*_path`` name replaced by the content of that file."""
        if isinstance(value, Mapping):
            return {key: self.replaced(each, str(key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.replaced(each, name) for each in value]
        if isinstance(value, str) and value and name.endswith("_path"):
            return self.of(value)
        return value if isinstance(value, str | int | float | bool | None) else repr(value)


class _Digest(pickle.Pickler):
    """Pickles a function to be hashed: sets and protocols by content, not by where they lie."""

    def __init__(self, buffer: io.BytesIO, contents: Contents, mapped: Dataset) -> None:
        super().__init__(buffer, protocol=5)
        self._contents, self._mapped = contents, mapped

    def persistent_id(self, obj: Any) -> str | None:
        if isinstance(obj, Dataset):
            return self._set(obj)
        if isinstance(obj, Protocol):
            inputs = {name: self._input(getattr(obj, name)) for name in obj.inputs()}
            return canonical([obj.id, obj.version, obj.parameter_values(), inputs]).decode()
        return None

    def _input(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return [self._input(each) for each in value]
        return None if value is None else self._set(value)

    def _set(self, dataset: Dataset) -> str:
        head = [dataset.kind, self._contents.replaced(dataset.optics), self._contents.replaced(dataset.meta)]
        if dataset is self._mapped:
            return canonical([*head, "mapped"]).decode()
        if dataset.stored is None:
            buffer = io.BytesIO()
            dataset.items.write_ipc(buffer)
            return canonical([*head, blake3(buffer.getvalue()).hexdigest()]).decode()
        table = dataset.stored
        files = [*table.base, *table.sidecars, *([table.ids] if table.ids else [])]
        return canonical([*head, [file.blake3 for file in files]]).decode()


class Reuse:
    """What earlier runs of a run's protocol have to offer.

    Parameters
    ----------
    run
        The run that is being carried out.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._contents = Contents(run.root)
        self._indexes: dict[tuple[str, str], dict[int, Path]] = {}

    def keys(self, name: str, function: ItemFunction, items: Dataset, rows: Iterable[Mapping[str, Any]], seeds: Iterable[int]) -> list[str]:
        """Return the key of every item; empty texts where the content cannot be told."""
        record = self.run.record
        rows = list(rows)
        buffer = io.BytesIO()
        try:
            _Digest(buffer, self._contents, items).dump(function)
        except (OSError, pickle.PicklingError, AttributeError, TypeError):
            return [""] * len(rows)
        head = [record["protocol"], record["version"], name, blake3(buffer.getvalue()).hexdigest()]
        return [self._key(head, row, seed) for row, seed in zip(rows, seeds, strict=True)]

    def _key(self, head: list[Any], row: Mapping[str, Any], seed: int) -> str:
        try:
            return blake3(canonical([*head, seed, self._contents.replaced(row)])).hexdigest()
        except OSError:
            return ""

    @cached_property
    def _donors(self) -> list[RunFolder]:
        mine = self.run.record
        if mine.get("afresh"):
            return []  # it was asked for from the beginning
        same = ("protocol", "version", "parameters", "seed")
        runs = [run for run in ProjectFolder(self.run.root).runs() if run.id != self.run.id]
        return [run for run in reversed(runs) if all(run.record[name] == mine[name] for name in same)]

    def adopt(self, name: str, item: int, key: str, target: Path) -> str | None:
        """Publish at `target` what another run has for `key`; return that run's id, None when none has."""
        for donor in self._donors if key else ():
            part = self._index(donor, name).get(item)
            if part is not None and key_of(part) == key and self._take(donor, part, target, key):
                return donor.id
        return None

    def _index(self, donor: RunFolder, name: str) -> dict[int, Path]:
        where = (donor.id, name)
        if where not in self._indexes:
            self._indexes[where] = Parts(donor.path / "parts" / name, ()).published()
        return self._indexes[where]

    def _take(self, donor: RunFolder, part: Path, target: Path, key: str) -> bool:
        rows, hashed = pl.read_parquet(part), hashed_of(part)
        old, new = f"runs/{donor.id}/", f"runs/{self.run.id}/"
        for name in (name for name in rows.columns if name.endswith("_path") and rows[name].dtype == pl.String):
            moved = {path: new + path.removeprefix(old) for path in rows[name].drop_nulls().unique() if path.startswith(old)}
            for path, own in moved.items():
                if not _link(self.run.root / path, self.run.root / own):
                    return False
            rows = rows.with_columns(pl.col(name).replace(moved))
        write_part(target, rows, key=key, hashed={new + path.removeprefix(old): each for path, each in hashed.items()})
        return True


def _link(source: Path, target: Path) -> bool:
    """Give the file another name, or copy it where the file system cannot; False when it is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if source.is_symlink():
            temporary.symlink_to(source.resolve())
        elif not source.exists():
            return False
        else:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return True
