"""Several sets as one, stored again only where it cannot be helped."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from cryoloom.tables.dataset import Dataset
from cryoloom.tables.storage import TableRef, read_ids


def union(parts: Sequence[Dataset], *, optics: Iterable[Mapping[str, Any]], meta: Mapping[str, Any]) -> Dataset:
    """Return the rows of sets of one kind as one set; no id may be in two of them.

    Parts of one stored table are that table and an id list, in the table's order. Tables whose rows have ids of their own throughout are
    bases beside each other, with the columns of all of them laid over. Everything else becomes a table of its own, the parts after each
    other; images stay where they are.
    """
    first = parts[0]
    reference = _one_table(parts) or _tables_beside(parts)
    if reference is None:
        rows = pl.concat([part.items for part in parts], how="diagonal_relaxed")
        return type(first)(rows, first.root, optics=optics, meta=meta)
    whole = type(first)(None, first.root, optics=optics, meta=meta, stored=reference)
    ids = pl.concat([part.ids() for part in parts])
    return whole if len(whole) == len(ids) else whole.select(ids)


def _one_table(parts: Sequence[Dataset]) -> TableRef | None:
    """Return the table that all parts are rows of."""
    tables = {None if table is None else TableRef(table.base, table.sidecars) for table in (part.table for part in parts)}
    return tables.pop() if len(tables) == 1 else None


def _tables_beside(parts: Sequence[Dataset]) -> TableRef | None:
    """Return the tables of all parts side by side, if no id is in two of their files."""
    tables = [table for table in (part.table for part in parts) if table is not None]
    base = tuple(file for table in tables for file in table.base)
    if len(tables) < len(parts) or len(set(base)) < len(base):
        return None
    root = parts[0].root
    ids = pl.concat([read_ids(file, root) for file in base])
    return TableRef(base, tuple(file for table in tables for file in table.sidecars)) if ids.is_unique().all() else None
