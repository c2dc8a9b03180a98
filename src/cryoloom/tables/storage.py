"""Tables on disk: base files, column sidecars and an id list, none of which is ever rewritten."""

import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.files import replacing

PIECES, PIECE = 8, 1 << 15
"""Places of a large file that its quick hash looks at, from its first byte to its last, and bytes read at each."""


@dataclass(frozen=True)
class Hashed:
    """The BLAKE3 of a file, and its size in bytes and time of last change (ns) when it was read; links are followed.

    A `quick` one is that of its size and of `PIECES` of it: it tells movies apart, but not whether every byte of one is as it was.
    """

    size: int
    changed: int
    blake3: str
    quick: bool = False

    @classmethod
    def of(cls, path: Path) -> "Hashed":
        """Read the file at `path`, unless this process has read it before and it is still the same."""
        return _hashed(os.path.realpath(path), *_stamp(path))

    @classmethod
    def quickly(cls, path: Path) -> "Hashed":
        """Read pieces of the file at `path`, or all of it if it is no larger than they are together."""
        return (_sampled if path.stat().st_size > PIECES * PIECE else _hashed)(os.path.realpath(path), *_stamp(path))

    def holds(self, path: Path) -> bool:
        """Return whether the file at `path` is still as it was when it was read."""
        return _stamp(path)[:2] == (self.size, self.changed)

    def listed(self, path: str) -> dict[str, Any]:
        """Return the file as a manifest lists it under `path`: ``path``, ``size``, ``blake3``, and ``quick`` where that is a quick hash."""
        return {"path": path, "size": self.size, "blake3": self.blake3, **({"quick": True} if self.quick else {})}


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=256)
def _hashed(path: str, size: int, changed: int, _inode: int) -> Hashed:
    return Hashed(size, changed, whole_hash(path))


@lru_cache(maxsize=256)
def _sampled(path: str, size: int, changed: int, _inode: int) -> Hashed:
    return Hashed(size, changed, quick_hash(path), quick=True)


def whole_hash(path: Path | str) -> str:
    """Read all of a file and return its BLAKE3."""
    # an empty file cannot be mapped
    return (blake3(max_threads=1).update_mmap(path) if os.path.getsize(path) else blake3()).hexdigest()


def quick_hash(path: Path | str) -> str:
    """Return the BLAKE3 of a file's size and of `PIECES` of it."""
    size = os.path.getsize(path)
    digest = blake3(size.to_bytes(8, "little"))
    with open(path, "rb", buffering=0) as handle:
        for number in range(PIECES):
            digest.update(os.pread(handle.fileno(), PIECE, number * max(0, size - PIECE) // (PIECES - 1)))
    return digest.hexdigest()


@dataclass(frozen=True)
class FileRef:
    """A file of the project: path relative to the project folder, size in bytes, BLAKE3 of its content."""

    path: str
    size: int
    blake3: str

    @classmethod
    def of(cls, path: Path, root: Path) -> "FileRef":
        """Return the file at `path` with its hash."""
        found = Hashed.of(path)
        return cls(path.relative_to(root).as_posix(), found.size, found.blake3)


@dataclass(frozen=True)
class TableRef:
    """A table as stored: rows of `base`, columns of `sidecars` laid over them by id in order, rows limited to `ids`."""

    base: tuple[FileRef, ...] = ()
    sidecars: tuple[FileRef, ...] = ()
    ids: FileRef | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TableRef":
        """Read what `to_json` wrote."""
        ids = record.get("ids")
        return cls(
            tuple(FileRef(**entry) for entry in record["base"]),
            tuple(FileRef(**entry) for entry in record["sidecars"]),
            FileRef(**ids) if ids else None,
        )


ROW_GROUP = 1 << 16
"""Rows that are read together: few enough that a page of a large table is shown at once."""


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file that is whole or absent."""
    with replacing(path) as handle:
        frame.write_parquet(handle, compression="zstd", statistics=True, row_group_size=ROW_GROUP)


def overlay(frame: pl.LazyFrame, columns: pl.LazyFrame) -> pl.LazyFrame:
    """Lay `columns` (with ``id``) over `frame`: values replace where the id is listed, new columns are null elsewhere."""
    there = set(frame.collect_schema().names())
    shared = [name for name in columns.collect_schema().names() if name in there and name != "id"]
    marked = columns.with_columns(__listed=pl.lit(True)) if shared else columns
    joined = frame.join(marked, on="id", how="left", suffix="__new", maintain_order="left")
    replaced = [pl.when("__listed").then(f"{name}__new").otherwise(name).alias(name) for name in shared]
    return joined.with_columns(replaced).drop([f"{name}__new" for name in shared], *(["__listed"] if shared else []))


def limited(frame: pl.LazyFrame, ids: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of `frame` whose id is among `ids`, in their own order."""
    return frame.join(ids.select("id"), on="id", how="semi", maintain_order="left")


def columns_of(reference: TableRef, root: Path) -> dict[str, pl.DataType]:
    """Return the names and types of a table's columns; no row is read."""
    base = pl.concat([pl.DataFrame(schema=pl.read_parquet_schema(root / file.path)) for file in reference.base], how="diagonal_relaxed")
    sidecars = [pl.read_parquet_schema(root / file.path) for file in reference.sidecars]
    found = dict(base.schema)
    for schema in sidecars:
        found |= {name: kind for name, kind in schema.items() if name not in found}
    return found


def scan_table(
    reference: TableRef, root: Path, columns: Collection[str] | None = None, within: tuple[int, int] | None = None
) -> pl.LazyFrame:
    """Describe the reading of a table, or of its ``id`` and some `columns` of it; sidecars that hold none of them are left alone.

    With `within`, only rows whose id lies between two are read: of a file in order of id, not much more than those.
    """

    def scanned(file: FileRef) -> pl.LazyFrame:
        frame = pl.scan_parquet(root / file.path)
        return frame if within is None else frame.filter(pl.col("id").is_between(*within))

    frame = pl.concat([scanned(file) for file in reference.base], how="diagonal_relaxed")
    if reference.ids is not None:  # first: what is laid over rows that go is not needed
        frame = limited(frame, scanned(reference.ids))
    wanted = None if columns is None else set(columns) - {"id"}
    for file in reference.sidecars if wanted is None or wanted else ():
        sidecar = scanned(file)
        names = [name for name in sidecar.collect_schema().names() if name != "id" and (wanted is None or name in wanted)]
        frame = overlay(frame, sidecar.select("id", *names)) if names else frame
    return frame if wanted is None else frame.select("id", *[name for name in frame.collect_schema().names() if name in wanted])


def read_ids(file: FileRef, root: Path) -> pl.Series:
    """Read the ids of one base file."""
    return pl.scan_parquet(root / file.path).select("id").collect()["id"]
