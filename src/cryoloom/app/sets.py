"""Looking at sets without making a run: what a form would keep, and a page of a table, sorted and filtered."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.app import catalogue, forms, references
from cryoloom.app.suggest import did_you_mean
from cryoloom.data import column_named
from cryoloom.spec import WrongUse
from cryoloom.tables import Dataset
from cryoloom.tables.expression import columns_used, parse_rule

if TYPE_CHECKING:
    from cryoloom.app.runs import OutputRef
    from cryoloom.app.session import Project

KEPT_BYTES = 512 << 20
"""Memory that columns read for pages may hold, over all tables of this process."""
KEPT_TABLES = 8
KEPT_ORDERS = 8
"""Orders of rows that are kept for each table: a page turned, or a column added, sorts nothing again."""


def preview(project: "Project", protocol_id: str, values: Mapping[str, Any]) -> dict[str, int]:
    """Return what a run with these values would give, in counts, as far as its protocol can tell; nothing is made.

    Raises
    ------
    WrongUse
        As for a run; also ``input-not-there``, while an input is still being made.
    """
    protocol = catalogue.protocol(protocol_id)
    given, wanted = forms.sort_values(protocol, values)
    taken = references.resolve_inputs(project, protocol, wanted)
    for name, reference in taken.items():
        for each in reference if isinstance(reference, list) else [reference]:
            if not each["hash"]:
                raise WrongUse("input-not-there", f"{protocol.id}: input {name} is still being made by {each['run']}.", "Wait for it.")
    built = forms.build(protocol, given, references.open_inputs(project, protocol, taken))
    forms.refuse_hints(built)
    return dict(built.preview())


def page(
    output: "OutputRef",
    *,
    columns: Sequence[str] = (),
    where: str = "",
    sort: str = "",
    descending: bool = False,
    offset: int = 0,
    limit: int = 1000,
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

    Returns
    -------
    dict
        ``output``, ``of`` (rows of the set), ``count`` (those that follow the rule), ``offset``, ``columns`` (``name``, ``type``, ``unit``,
        ``meaning`` of each) and ``rows`` (a list of values each; None where there is none).

    Raises
    ------
    WrongUse
        ``unknown-column``, ``bad-page``, or what is wrong with the rule.
    """
    if offset < 0 or limit < 0:
        raise WrongUse("bad-page", f"Rows from {offset}, {limit} of them: there are none such.", "Count from 0.")
    with _LOCK:
        return _page(output, _table(output), columns, where, sort, descending, offset, limit)


def _page(
    output: "OutputRef", table: "_Table", columns: Sequence[str], where: str, sort: str, descending: bool, offset: int, limit: int
) -> dict[str, Any]:
    names = [table.name(each) for each in columns] or [name for name, kind in table.schema.items() if not kind.is_nested()]
    order = table.order(where.strip(), table.name(sort) if sort else "", descending)
    chosen = order[offset : offset + limit] if order is not None else pl.int_range(offset, min(offset + limit, table.height), eager=True)
    rows = pl.DataFrame([table.column(name).gather(chosen) for name in names])
    rows = rows.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    return {
        "output": str(output),
        "of": table.height,
        "count": table.height if order is None else len(order),
        "offset": offset,
        "columns": [_described(name, table.schema[name]) for name in names],
        "rows": [list(row) for row in rows.rows()],
    }


def _described(name: str, kind: pl.DataType) -> dict[str, str]:
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

    def column(self, name: str) -> pl.Series:
        """Return a whole column."""
        if name not in self.columns:
            self.columns[name] = self.dataset.scan([name]).select(name).collect()[name].rechunk()
            _make_room()
        self.columns.move_to_end(name)
        return self.columns[name]

    def order(self, where: str, sort: str, descending: bool) -> pl.Series | None:
        """Return the places of the rows that follow a rule, in order; None for all rows as they stand."""
        key = (where, sort, descending)
        if key not in self.orders:
            self.orders[key] = self._ordered(self._following(where), sort, descending)
            while len(self.orders) > KEPT_ORDERS:
                self.orders.popitem(last=False)
        self.orders.move_to_end(key)
        return self.orders[key]

    def _following(self, where: str) -> pl.Series | None:
        if not where:
            return None
        rule = parse_rule(where, self.schema, canonical=_canonical)
        used = pl.DataFrame([self.column(name) for name in columns_used(rule)] or [self.column("id")])
        return used.with_row_index("place").filter(rule)["place"]

    def _ordered(self, places: pl.Series | None, sort: str, descending: bool) -> pl.Series | None:
        if not sort:
            return places
        values = self.column(sort)
        values = values.fill_nan(None) if values.dtype.is_float() else values
        values = values if places is None else values.gather(places)
        order = pl.DataFrame({"value": values}).select(pl.arg_sort_by("value", descending=descending, nulls_last=True, maintain_order=True))
        return order.to_series() if places is None else places.gather(order.to_series())


_LOCK = threading.Lock()
_TABLES: OrderedDict[tuple[str, str], _Table] = OrderedDict()
"""Tables by project and hash of content, the one used last at the end. Outputs never change, so what is kept here is never wrong."""


def _table(output: "OutputRef") -> _Table:
    key = (str(output.run.folder.root), output.hash)
    if key not in _TABLES:
        dataset = output.dataset
        _TABLES[key] = _Table(dataset, len(dataset), dataset.schema)
    _TABLES.move_to_end(key)
    while len(_TABLES) > KEPT_TABLES:
        _TABLES.popitem(last=False)
    return _TABLES[key]


def _make_room() -> None:
    """Forget the columns that are held beyond `KEPT_BYTES`: those of tables used longest ago first, the one just read last."""
    held = sum(int(column.estimated_size()) for table in _TABLES.values() for column in table.columns.values())
    current = next(reversed(_TABLES.values()))
    for table in _TABLES.values():
        while held > KEPT_BYTES and len(table.columns) > (table is current):
            _, dropped = table.columns.popitem(last=False)
            held -= int(dropped.estimated_size())


def _canonical(name: str) -> str:
    column = column_named(name)
    return column.name if column else name
