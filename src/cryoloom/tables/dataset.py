"""A set of items: a table, its optics groups, and what is said of the set as a whole."""

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import polars as pl
from blake3 import blake3

from cryoloom.spec.words import counted
from cryoloom.tables.storage import FileRef, Hashed, TableRef, columns_of, limited, overlay, scan_table, write_frame

_KINDS: dict[str, type["Dataset"]] = {}


def dataset_kind(kind: str) -> type["Dataset"]:
    """Return the class that was declared with this kind name."""
    return _KINDS[kind]


def known_kind(kind: str) -> bool:
    """Return whether a class of this kind name has been declared."""
    return kind in _KINDS


class Dataset:
    """Rows with an ``id``, immutable. Subclasses are the kinds of data; they add columns they require, not state.

    Parameters
    ----------
    items
        The rows; ``id`` (int64) is unique. Columns ending in ``_path`` hold paths relative to `root`.
    root
        The project folder.
    optics
        One mapping an optics group, with ``optics_group``; its values hold for every row of that group.
    meta
        JSON values that hold for the whole set.
    stored
        In place of `items`: where the rows are. They are read when they are asked for, and `scan` reads no more than it must.
    """

    kind: ClassVar[str] = ""
    required: ClassVar[tuple[str, ...]] = ()
    diagnostic: ClassVar[tuple[str, ...]] = ()
    """Columns whose files only people look at: no later step reads them, and cleaning may remove them."""

    def __init_subclass__(cls, *, kind: str = "", required: tuple[str, ...] = (), diagnostic: tuple[str, ...] = ()) -> None:
        """Register a kind."""
        cls.kind = kind or cls.__name__
        cls.required = required
        cls.diagnostic = diagnostic
        _KINDS[cls.kind] = cls

    def __init__(
        self,
        items: pl.DataFrame | None,
        root: Path,
        *,
        optics: Iterable[Mapping[str, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        stored: TableRef | None = None,
    ) -> None:
        self.root = Path(root)
        self.optics: list[dict[str, Any]] = [dict(group) for group in optics]
        self.meta: dict[str, Any] = dict(meta or {})
        self._stored = stored
        self._added: tuple[pl.DataFrame, ...] = ()
        self._ids: pl.DataFrame | None = None
        self._count: int | None = None
        if items is not None:
            self.items = items
            missing = [name for name in ("id", *self.required) if name not in items.columns]
            if missing:
                raise ValueError(f"{self.kind}: columns missing: {', '.join(missing)}; present: {', '.join(items.columns)}")

    @cached_property
    def items(self) -> pl.DataFrame:
        """Return the rows, read from disk on first use."""
        return self._scan(None).collect()

    def __len__(self) -> int:
        if self._count is None:
            self._count = len(self.ids())
        return self._count

    def __repr__(self) -> str:
        return f"<{self.kind}: {counted(len(self), 'item')}>"

    # -- rows and columns ---------------------------------------------------------------------------------------

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Return names and types of the columns, those of the optics groups included; no row is read."""
        own = self._own_schema()
        groups = self._groups(own)
        return own | {name: kind for name, kind in groups.schema.items() if name not in own}

    def scan(self, columns: Collection[str] | None = None, *, within: tuple[int, int] | None = None) -> pl.LazyFrame:
        """Return the rows, with the columns of their optics group, to be filtered before they are read.

        Parameters
        ----------
        columns
            What is wanted beside ``id``; all by default.
        within
            Least and largest id that are wanted; all by default.
        """
        own = self._own_schema()
        groups = self._groups(own)
        wanted = [name for name in groups.columns if name not in own and (columns is None or name in columns)]
        if not wanted:
            return self._scan(columns, within)
        rows = self._scan(None if columns is None else [*columns, "optics_group"], within)
        joined = rows.join(groups.lazy().select("optics_group", *wanted), on="optics_group", how="left", maintain_order="left")
        return joined if columns is None or "optics_group" in columns else joined.drop("optics_group")

    @property
    def groups(self) -> dict[int, dict[str, Any]]:
        """Return the optics groups by their numbers."""
        return {group["optics_group"]: group for group in self.optics}

    def of_groups(self, name: str) -> dict[int, Any]:
        """Return the value of this name that each optics group has, by the group's number."""
        return {number: group[name] for number, group in self.groups.items()}

    def ids(self) -> pl.Series:
        """Return the ids in the set's order; nothing else is read."""
        return self._scan(["id"]).collect()["id"]

    def to_polars(self) -> pl.DataFrame:
        """Return the rows with the columns of their optics group."""
        groups = self._groups(dict(self.items.schema))
        wanted = [name for name in groups.columns if name not in self.items.columns]
        if not wanted:
            return self.items
        return self.items.join(groups.select("optics_group", *wanted), on="optics_group", how="left", maintain_order="left")

    def enabled(self) -> pl.DataFrame:
        """Return the rows that are not disabled, with the columns of their optics group."""
        frame = self.to_polars()
        return frame.filter(pl.col("enabled")) if "enabled" in frame.columns else frame

    def file(self, relative: str) -> Path:
        """Return the absolute path of a ``*_path`` value."""
        return self.root / relative

    def _groups(self, own: Mapping[str, Any]) -> pl.DataFrame:
        known = self.optics if "optics_group" in own else []
        return pl.DataFrame(known, infer_schema_length=None)

    def _own_schema(self) -> dict[str, pl.DataType]:
        if "items" in self.__dict__:
            return dict(self.items.schema)
        own = columns_of(self._source(), self.root)
        for columns in self._added:
            own |= {name: kind for name, kind in columns.schema.items() if name not in own}
        return own

    def _scan(self, columns: Collection[str] | None, within: tuple[int, int] | None = None) -> pl.LazyFrame:
        """Return the set's own columns, or ``id`` and some of them."""
        if "items" in self.__dict__:
            there = [name for name in self.items.columns if columns is None or name in columns or name == "id"]
            rows = self.items.lazy().select(there)
            return rows if within is None else rows.filter(pl.col("id").is_between(*within))
        frame = scan_table(self._source(), self.root, columns, within)
        if self._ids is not None:
            frame = limited(frame, self._ids.lazy())
        for added in self._added:
            kept = [name for name in added.columns if columns is None or name in columns or name == "id"]
            frame = overlay(frame, added.lazy().select(kept)) if len(kept) > 1 else frame
        return frame

    def _source(self) -> TableRef:
        if self._stored is None:
            raise ValueError(f"{self.kind} without rows")
        return self._stored

    # -- changed sets -------------------------------------------------------------------------------------------

    def with_columns(self, columns: pl.DataFrame, *, optics: Iterable[Mapping[str, Any]] | None = None, **meta: Any) -> Self:
        """Return the set with `columns` (a frame with ``id``) laid over its rows; only these are stored."""
        new = self._copy(optics, {**self.meta, **meta})
        if "items" in self.__dict__:
            new.items = overlay(self.items.lazy(), columns.lazy()).collect()
        new._added = (*self._added, columns)
        new._count = self._count
        return new

    def select(self, ids: pl.Series | Iterable[int], *, optics: Iterable[Mapping[str, Any]] | None = None, **meta: Any) -> Self:
        """Return the rows whose id is listed, in the set's own order; only the id list is stored."""
        wanted = pl.DataFrame({"id": ids}, schema={"id": pl.Int64}).lazy()
        new = self._copy(optics, {**self.meta, **meta})
        if "items" in self.__dict__:
            new.items = limited(self.items.lazy(), wanted).collect()
        new._added = self._added
        new._ids = new.items.select("id") if "items" in new.__dict__ else limited(self._scan(["id"]), wanted).collect()
        new._count = new._ids.height
        return new

    def with_meta(self, *, only: Collection[str] | None = None, **meta: Any) -> Self:
        """Return the set with more said of it as a whole, of what was said `only` some of it."""
        kept = {name: value for name, value in self.meta.items() if only is None or name in only}
        new = self._copy(None, {**kept, **meta})
        new._added, new._count = self._added, self._count
        if "items" in self.__dict__:
            new.items = self.items
        return new

    def disable(self, reasons: Mapping[int, str]) -> Self:
        """Return the set with the rows of `reasons` disabled, the reason in ``fail_reason``; the first reason of a row stays."""
        present = {"enabled": pl.lit(True), "fail_reason": pl.lit("")}
        frame = self.items.with_columns([value.alias(name) for name, value in present.items() if name not in self.items.columns])
        why = pl.DataFrame({"id": list(reasons), "why": list(reasons.values())}, schema={"id": pl.Int64, "why": pl.String})
        frame = frame.select("id", "enabled", "fail_reason").join(why, on="id", how="left", maintain_order="left")
        frame = frame.select(
            "id",
            enabled=pl.col("enabled") & pl.col("why").is_null(),
            fail_reason=pl.when(pl.col("fail_reason") == "").then(pl.coalesce("why", "fail_reason")).otherwise("fail_reason"),
        )
        return self.with_columns(frame)

    def _copy(self, optics: Iterable[Mapping[str, Any]] | None, meta: Mapping[str, Any]) -> Self:
        new = type(self)(None, self.root, optics=self.optics if optics is None else optics, meta=meta, stored=self._stored)
        new._ids = self._ids
        return new

    # -- storage ------------------------------------------------------------------------------------------------

    @property
    def stored(self) -> TableRef | None:
        """Return where the rows are on disk; None when some of them, or some columns, are not."""
        return None if self._added or self._ids is not None else self._stored

    @property
    def table(self) -> TableRef | None:
        """Return the table whose columns the set has and some or all of whose rows; None when it has others too."""
        return None if self._added else self._stored

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: a set that is stored travels as its reference, and its rows are read where they are asked for."""
        state = dict(self.__dict__)
        if self.stored is not None:
            state.pop("items", None)
        return state

    def save(self, folder: Path, name: str, *, hashed: Mapping[str, Hashed] | None = None) -> dict[str, Any]:
        """Write what is not stored yet into `folder` and return the set's manifest, with its ``hash``.

        `hashed` tells the hashes of files by their path relative to the project, as far as they are known; only the others, and those
        that have changed since, are read.
        """
        stored = self._stored
        if stored is None:
            path = folder / f"{name}.parquet"
            write_frame(self.items, path)
            stored = TableRef(base=(FileRef.of(path, self.root),))
        else:
            for number, columns in enumerate(self._added, 1):
                path = folder / f"{name}.columns{number}.parquet"
                write_frame(columns, path)
                stored = TableRef(stored.base, (*stored.sidecars, FileRef.of(path, self.root)), stored.ids)
            if self._ids is not None:
                path = folder / f"{name}.ids.parquet"
                write_frame(self._ids, path)
                stored = TableRef(stored.base, stored.sidecars, FileRef.of(path, self.root))
        own = folder.relative_to(self.root).as_posix() + "/"
        files = {path: (hashed or {}).get(path) for path in self._data_files() if path.startswith(own)}
        content = {path: each if each and each.holds(self.root / path) else Hashed.of(self.root / path) for path, each in files.items()}
        manifest: dict[str, Any] = {
            "kind": self.kind,
            "count": len(self),
            "table": stored.to_json(),
            "optics": self.optics,
            "meta": self.meta,
            "files": [each.listed(path) for path, each in content.items()],
        }
        manifest["hash"] = blake3(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        return manifest

    def _data_files(self) -> list[str]:
        """Return the files that the rows name; of a set that is stored already, those that only its new columns name."""
        paths: set[str] = set()
        for frame in [self.items] if self._stored is None else self._added:
            for name in frame.columns:
                if name.endswith("_path") and frame[name].dtype == pl.String:
                    paths.update(value for value in frame[name].unique().to_list() if value)
        return sorted(paths)

    @staticmethod
    def load(manifest: Mapping[str, Any], root: Path) -> "Dataset":
        """Open a set from the manifest that `save` returned; rows are read on first use."""
        kind = dataset_kind(manifest["kind"])
        found = kind(None, root, optics=manifest["optics"], meta=manifest["meta"], stored=TableRef.from_json(manifest["table"]))
        found._count = manifest["count"]
        return found
