"""A page of a table, sorted and filtered: columns are read when they are asked for, and kept while there is room."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from cryoloom.app.suggest import did_you_mean
from cryoloom.data import canonical_name, column_named
from cryoloom.spec import WrongUse
from cryoloom.tables import Dataset
from cryoloom.tables.expression import columns_used, parse_rule
from cryoloom.tables.storage import limited

KEPT_BYTES = 512 << 20
"""Memory that columns read for pages may hold, over all tables of this process."""
KEPT_TABLES = 8
KEPT_ORDERS = 8
"""Orders of rows that are kept for each table: a page turned, or a column added, sorts nothing again."""


class Stored(Protocol):
    """What a page is of: an output of a run."""

    run: Any

    @property
    def hash(self) -> str:
        """Return the hash of its content."""
        ...

    @property
    def dataset(self) -> Dataset:
        """Return the set."""
        ...


def page(
    output: Stored,
    *,
    columns: Sequence[str] = (),
    where: str = "",
    sort: str = "",
    descending: bool = False,
    offset: int = 0,
    limit: int = 1000,
    mark: str | None = None,
) -> dict[str, Any]:
    """Return some rows of an output as plain data.

    Parameters
    ----------
    columns
        In this order; all that hold single values by default. Names of other programs are understood, here, in `where` and in `sort`.
    where
        A rule that the rows follow.
    sort, descending
        The column whose values order the rows; rows without a value come last, equal ones stay in the set's order.
    offset, limit
        Which of the rows.
    mark
        Another rule: whether each row follows it is told too.

    Returns
    -------
    dict
        ``output``, ``of`` (rows of the set), ``count`` (those that follow the rule), ``offset``, ``columns`` (``name``, ``type``, ``unit``,
        ``meaning`` of each) and ``rows`` (a list of values each; None where there is none); with `mark` also ``marked`` (a truth each).

    Raises
    ------
    WrongUse
        ``unknown-column``, ``bad-page``, or what is wrong with the rule.
    """
    if offset < 0 or limit < 0:
        raise WrongUse("bad-page", f"Rows from {offset}, {limit} of them: there are none such.", "Count from 0.")
    with _LOCK:
        try:
            return _page(output, _table(output), columns, where, sort, descending, offset, limit, mark)
        finally:
            _make_room()


def columns_of(output: Stored, names: Sequence[str], *, where: str = "") -> tuple[list[pl.Series], pl.Series | None]:
    """Return whole columns of an output, named in our way, and the places of the rows that follow a rule; None where all do.

    Raises
    ------
    WrongUse
        ``unknown-column``, or what is wrong with the rule.
    """
    with _LOCK:
        try:
            table = _table(output)
            ours = [table.name(name) for name in names]
            order = table.order(where.strip(), "", False)
            table.read(ours)
            return [table.columns[name] for name in ours], order
        finally:
            _make_room()


def _page(
    output: Stored,
    table: "_Table",
    columns: Sequence[str],
    where: str,
    sort: str,
    descending: bool,
    offset: int,
    limit: int,
    mark: str | None,
) -> dict[str, Any]:
    names = [table.name(each) for each in columns] or [name for name, kind in table.schema.items() if not kind.is_nested()]
    order = table.order(where.strip(), table.name(sort) if sort else "", descending)
    rows = table.rows(names, order, offset, limit)
    rows = rows.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    marked = {} if mark is None else {"marked": table.follow(mark.strip(), order, offset, limit)}
    return {
        **marked,
        "output": str(output),
        "of": table.height,
        "count": table.height if order is None else len(order),
        "offset": offset,
        "columns": [described(name, table.schema[name]) for name in names],
        "rows": [list(row) for row in rows.rows()],
    }


def described(name: str, kind: pl.DataType) -> dict[str, str]:
    """Return ``name``, ``type``, ``unit`` and ``meaning`` of a column."""
    column = column_named(name)
    known = {"unit": column.unit, "meaning": column.meaning} if column and column.name == name else {"unit": "", "meaning": ""}
    word = "number" if kind.is_numeric() else "yes/no" if kind == pl.Boolean else "list" if kind.is_nested() else "text"
    return {"name": name, "type": word, **known}


@dataclass
class _Table:
    """A stored table whose columns are read when they are asked for, and kept while there is room."""

    dataset: Dataset
    height: int
    schema: dict[str, pl.DataType]
    columns: OrderedDict[str, pl.Series] = field(default_factory=OrderedDict)
    orders: OrderedDict[tuple[str, str, bool], pl.Series | None] = field(default_factory=OrderedDict)

    def name(self, given: str) -> str:
        """Return our name of a column."""
        column = column_named(given)
        for name in (given, column.name if column else ""):
            if name in self.schema:
                return name
        cure = did_you_mean(given, self.schema) or f"There are {', '.join(self.schema)}."
        raise WrongUse("unknown-column", f"The {self.dataset.kind} have no column {given!r}.", cure)

    def rows(self, names: list[str], order: pl.Series | None, offset: int, limit: int) -> pl.DataFrame:
        """Return rows `offset` to `offset` + `limit` of an order of the table, or of the table as it stands."""
        if order is None:
            return self._window(names, offset, limit)
        self.read(names)
        return pl.DataFrame([self.columns[name].gather(order[offset : offset + limit]) for name in names])

    def _window(self, names: list[str], offset: int, limit: int) -> pl.DataFrame:
        """Return rows that stand together: nothing is searched, so little more is read than what is shown."""
        self.read(["id"])
        ids = self.columns["id"][offset : offset + limit]
        if ids.is_empty():
            return pl.DataFrame(schema={name: self.schema[name] for name in names})
        near = self.dataset.scan(names, within=(ids.min(), ids.max()))  # pyright: ignore[reportArgumentType] (ids are whole numbers)
        return limited(near, pl.LazyFrame({"id": ids})).select(names).collect()

    def read(self, names: Iterable[str]) -> None:
        """Have whole columns at hand."""
        missing = [name for name in dict.fromkeys(names) if name not in self.columns]
        if missing:
            self.columns.update({column.name: column.rechunk() for column in self.dataset.scan(missing).select(missing).collect()})
        for name in names:
            self.columns.move_to_end(name)

    def order(self, where: str, sort: str, descending: bool) -> pl.Series | None:
        """Return the places of the rows that follow a rule, in order; None for all rows as they stand."""
        key = (where, sort, descending)
        if key not in self.orders:
            self.orders[key] = self._following(where, self.order("", sort, descending)) if where else self._sorted(sort, descending)
            while len(self.orders) > KEPT_ORDERS:
                self.orders.popitem(last=False)
        self.orders.move_to_end(key)
        return self.orders[key]

    def follow(self, rule: str, order: pl.Series | None, offset: int, limit: int) -> list[bool]:
        """Return whether rows `offset` to `offset` + `limit` of an order follow a rule."""
        shown = (pl.int_range(self.height, eager=True) if order is None else order)[offset : offset + limit]
        followed = self.order(rule, "", False)
        return [True] * len(shown) if followed is None else shown.is_in(followed.cast(shown.dtype).implode()).to_list()

    def _sorted(self, sort: str, descending: bool) -> pl.Series | None:
        if not sort:
            return None
        self.read([sort])
        values = self.columns[sort].fill_nan(None) if self.columns[sort].dtype.is_float() else self.columns[sort]
        by = pl.arg_sort_by("value", descending=descending, nulls_last=True, maintain_order=True)
        return pl.DataFrame({"value": values}).select(by).to_series()

    def _following(self, where: str, order: pl.Series | None) -> pl.Series:
        rule = parse_rule(where, self.schema, canonical=canonical_name)
        used = columns_used(rule) or ["id"]
        self.read(used)
        kept = pl.DataFrame([self.columns[name] for name in used]).select(pl.repeat(True, pl.len()) & rule).to_series()
        return kept.arg_true() if order is None else order.filter(kept.gather(order))


_LOCK = threading.Lock()
_TABLES: OrderedDict[tuple[str, str], _Table] = OrderedDict()
"""Tables by project and hash of content, the one used last at the end. Outputs never change, so what is kept here is never wrong."""


def _table(output: Stored) -> _Table:
    key = (str(output.run.folder.root), output.hash)
    if key not in _TABLES:
        dataset = output.dataset
        _TABLES[key] = _Table(dataset, len(dataset), dataset.schema)
    _TABLES.move_to_end(key)
    while len(_TABLES) > KEPT_TABLES:
        _TABLES.popitem(last=False)
    return _TABLES[key]


def _make_room() -> None:
    """Forget columns beyond `KEPT_BYTES`, those used longest ago first; the table used last keeps one of its own."""
    held = sum(int(column.estimated_size()) for table in _TABLES.values() for column in table.columns.values())
    for number, table in enumerate(_TABLES.values(), 1):
        while held > KEPT_BYTES and len(table.columns) > (number == len(_TABLES)):
            _, dropped = table.columns.popitem(last=False)
            held -= int(dropped.estimated_size())
