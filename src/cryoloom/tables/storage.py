"""Tables on disk: base files, column sidecars and an id list, none of which is ever rewritten."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.files import replacing


@dataclass(frozen=True)
class Hashed:
    """The BLAKE3 of a file, and its size in bytes and time of last change (ns) when it was read; links are followed."""

    size: int
    changed: int
    blake3: str

    @classmethod
    def of(cls, path: Path) -> "Hashed":
        """Read the file at `path`, unless this process has read it before and it is still the same."""
        return _hashed(os.path.realpath(path), *_stamp(path))

    def holds(self, path: Path) -> bool:
        """Return whether the file at `path` is still as it was when it was read."""
        return _stamp(path)[:2] == (self.size, self.changed)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=256)
def _hashed(path: str, size: int, changed: int, _inode: int) -> Hashed:
    # an empty file cannot be mapped
    return Hashed(size, changed, (blake3(max_threads=1).update_mmap(path) if size else blake3()).hexdigest())


@dataclass(frozen=True)
class FileRef:
    """A file of the project: path relative to the project folder, size in bytes, BLAKE3 of its content."""

    path: str
    size: int
    blake3: str

    @classmethod
    def of(cls, path: Path, root: Path, known: Hashed | None = None) -> "FileRef":
        """Return the file at `path` with its hash, `known` or read now."""
        found = known if known is not None and known.holds(path) else Hashed.of(path)
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


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file that is whole or absent."""
    with replacing(path) as handle:
        frame.write_parquet(handle, compression="zstd", statistics=True)


def overlay(frame: pl.DataFrame, columns: pl.DataFrame) -> pl.DataFrame:
    """Lay `columns` (with ``id``) over `frame`: values replace where the id is listed, new columns are null elsewhere."""
    shared = [name for name in columns.columns if name in frame.columns and name != "id"]
    joined = frame.join(columns, on="id", how="left", suffix="__new", maintain_order="left")
    listed = pl.col("id").is_in(columns["id"].implode())
    replaced = [pl.when(listed).then(pl.col(f"{name}__new")).otherwise(pl.col(name)).alias(name) for name in shared]
    return joined.with_columns(replaced).drop([f"{name}__new" for name in shared])


def read_table(reference: TableRef, root: Path) -> pl.DataFrame:
    """Read the rows and columns that `reference` describes."""
    frame = pl.concat([pl.read_parquet(root / file.path) for file in reference.base], how="diagonal_relaxed")
    for sidecar in reference.sidecars:
        frame = overlay(frame, pl.read_parquet(root / sidecar.path))
    if reference.ids is not None:
        frame = frame.join(pl.read_parquet(root / reference.ids.path).select("id"), on="id", how="semi", maintain_order="left")
    return frame
