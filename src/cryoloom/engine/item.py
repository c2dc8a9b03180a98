"""The inside of a worker process: compute one item, publish its part, answer with a word."""

import faulthandler
import logging
import pickle
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom import files
from cryoloom.engine.parts import Failed, hash_files, write_failure, write_part
from cryoloom.engine.processes import die_with_parent
from cryoloom.spec.errors import CryoloomError, Failure
from cryoloom.spec.job import Item, ItemFunction
from cryoloom.tables import Dataset

LOG = logging.getLogger("cryoloom.map")


@dataclass(frozen=True)
class Ticket:
    """All that a worker needs to compute one item; results go to files, never through the pipe.

    Attributes
    ----------
    item
        The row.
    function
        Pickle of the function and the set it is mapped over.
    run
        The run's folder.
    part, failure
        Where to publish.
    key
        Of the content that the item depends on, unless the function looks at other rows of the set.
    """

    item: Item
    function: Path
    run: Path
    part: Path
    failure: Path
    key: str


def enter_worker() -> None:
    """Prepare a worker process: it must not outlive the run process, whatever kills that."""
    faulthandler.enable()
    die_with_parent()
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), name="parent watch", daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s")


def _watch(sentinel: int) -> None:
    # Where the kernel does not kill for us: the pipe ends when the parent does.
    connection.wait([sentinel])
    signal.raise_signal(signal.SIGKILL)


def compute(ticket: Ticket) -> str:
    """Compute an item and publish its part or its failure; return the reason of a failure, otherwise an empty text.

    Raises
    ------
    Failure
        The disk is full or not writable: that is no fault of the item.
    """
    try:
        function, mapped = _loaded(ticket.function)
        rows = as_rows(function(ticket.item), ticket.item)
        hashed = hash_files(rows, ticket.run, ticket.item.root)
        write_part(ticket.part, rows, key="" if "items" in vars(mapped) else ticket.key, hashed=hashed)
    except Exception as error:
        fault = error if isinstance(error, Failure) and error.code in {"disk-full", "not-writable"} else None
        if isinstance(error, OSError):
            fault = files.storage_failure(error, ticket.part)
        if fault is not None:
            raise fault from error
        reason = describe(error)
        LOG.exception("item %s failed: %s", ticket.item.id, reason)
        write_failure(ticket.failure, Failed(reason, crash=isinstance(error, MemoryError)))
        return reason
    return ""


@lru_cache(maxsize=1)
def _loaded(path: Path) -> tuple[ItemFunction, Dataset]:
    # The set has no rows until the function asks for them (`Dataset.items` reads them then, and keeps them).
    return pickle.loads(path.read_bytes())


def describe(error: BaseException) -> str:
    """Return one line saying what went wrong."""
    if isinstance(error, CryoloomError):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def as_rows(result: Mapping[str, Any] | list[dict[str, Any]] | pl.DataFrame, item: Item) -> pl.DataFrame:
    """Return what an item function gave as a table: a mapping is one row and gets the item's ``id``, rows are taken as they are.

    Paths become text relative to the project.

    Raises
    ------
    TypeError, ValueError
        The result is none of these; a path lies outside the project; the mapping has another ``id``.
    """
    if isinstance(result, pl.DataFrame):
        return result
    if isinstance(result, Mapping):
        if result.get("id", item.id) != item.id:
            raise ValueError(f"the result of item {item.id} has id {result['id']}")
        return _frame([{"id": item.id, **result}], item)
    if isinstance(result, list):
        return _frame(result, item)
    raise TypeError(f"an item function returns a mapping, a list of rows or a DataFrame, not {type(result).__name__}")


def _frame(rows: list[dict[str, Any]], item: Item) -> pl.DataFrame:
    plain = [{name: _plain(name, value, item) for name, value in row.items()} for row in rows]
    frame = pl.DataFrame(plain, infer_schema_length=None)
    return frame.with_columns(pl.col("id").cast(pl.Int64)) if "id" in frame.columns else frame


def _plain(name: str, value: Any, item: Item) -> Any:
    if not isinstance(value, Path):
        # numpy numbers and arrays as Python's, so that a column has one type whatever the item computed with
        return value.tolist() if hasattr(value, "tolist") else value
    if not name.endswith("_path"):
        raise ValueError(f"column {name} holds a path; its name must end in _path")
    if not value.is_relative_to(item.root):
        raise ValueError(f"{name}: {value} lies outside the project {item.root}")
    return value.relative_to(item.root).as_posix()
