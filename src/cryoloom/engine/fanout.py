"""`Job.map`: every item once, in worker processes, whatever dies on the way.

Workers publish parts; this side only counts. A worker that dies takes its own item with it, which is tried again; a pool that
breaks is replaced. What was published is never computed again, in this attempt or a later one.
"""

import io
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from blake3 import blake3
from pebble import ProcessExpired

from cryoloom import files
from cryoloom.engine.events import Journal
from cryoloom.engine.item import Ticket
from cryoloom.engine.parts import SHARD, Failed, Parts, key_of, write_failure
from cryoloom.engine.reuse import Reuse
from cryoloom.engine.workers import OwnWorkers, Workers
from cryoloom.spec.errors import Failure
from cryoloom.spec.job import Item, ItemFunction, MapResult
from cryoloom.tables import Dataset, Hashed
from cryoloom.tables.storage import FileRef, TableRef, write_frame

if TYPE_CHECKING:
    from cryoloom.engine.nodes import Nodes

ATTEMPTS = 5
"""Times that an item is tried whose worker died: more than processes killed at random from outside hit one item. One that raised is not tried again."""
BESIDE = 2
"""How many of them are beside other items; the others are alone, when all else is done, so that what needs too much memory ends no more workers of others."""
HOPELESS = 3
"""Items given up after which each of the others is tried alone once only: so many die of what they are, not by chance."""
BREAKDOWNS = 3
"""Pools that may break one after the other without any item finished between."""
STALL = 300.0
"""Seconds without any task at work after which a pool counts as broken; cold network disks take a minute to start Python."""

TOLD = 3
"""Failed items whose reasons are told in a warning; the others' stand in their rows and in the log."""

Verdict = tuple[int, Failed | None]
"""Position of an item and, if it failed, why."""


def item_seed(seed: int, name: str, item: int) -> int:
    """Return the seed of an item: 63 bits that depend on run seed, map and item only."""
    return int.from_bytes(blake3(f"{seed}/{name}/{item}".encode()).digest(8), "big") >> 1


class _Sender(pickle.Pickler):
    """Pickles one set in place of another, wherever it occurs."""

    def __init__(self, buffer: io.BytesIO, mapped: Dataset, sent: Dataset) -> None:
        super().__init__(buffer, protocol=5)
        self._mapped, self._sent = mapped, sent

    def reducer_override(self, obj: Any) -> Any:
        return self._sent.__reduce_ex__(5) if obj is self._mapped and obj is not self._sent else NotImplemented


class Fanout:
    """One map of one run.

    Parameters
    ----------
    run, root
        The run's folder and the project's.
    name
        Of the map; its parts lie in ``parts/<name>``.
    function, items
        As in `Job.map`.
    seed
        Of the run.
    reuse
        What earlier runs have to offer, if anything is to be taken over from them.
    checked
        Given by a run that follows its inputs: parts of items whose content has changed since are dropped; those seen to be right are
        noted here with their key.

    Attributes
    ----------
    hashed
        The hashes of the items' files, once `compute` has returned.
    """

    def __init__(
        self,
        run: Path,
        root: Path,
        name: str,
        function: ItemFunction,
        items: Dataset,
        seed: int,
        reuse: Reuse | None = None,
        checked: dict[Path, str] | None = None,
    ) -> None:
        self.run, self.root, self.name, self.function, self.items, self.reuse = run, root, name, function, items, reuse
        self.checked = checked
        self.hashed: dict[str, Hashed] = {}
        self.frame = items.enabled()
        self.ids: list[int] = self.frame["id"].to_list()
        if len(set(self.ids)) != len(self.ids):
            twice = [item for item, count in Counter(self.ids).items() if count > 1]
            raise Failure("ids-twice", f"{items.kind}: ids occur twice: {twice[:5]}.", "Ids tell rows apart; this set was made wrongly.")
        self.seeds = [item_seed(seed, name, item) for item in self.ids]
        self.parts = Parts(run / "parts" / name, self.ids)
        self.folder = run / "items" if name == "items" else run / "items" / name
        self._given_up = 0

    def compute(self, journal: Journal, threads: int, nodes: "Nodes | None" = None) -> MapResult:
        """Compute what is not there yet and return the rows of all; with more items than `threads`, on all `nodes`.

        Raises
        ------
        Failure
            ``all-failed``: no item could be computed.
        """
        if self.checked is not None:
            self._drop_outdated(self.checked)
        done, failed = self.parts.present()
        done &= set(self.ids)
        failed = {item: why for item, why in failed.items() if not why.crash}
        todo = [position for position, item in enumerate(self.ids) if item not in done and item not in failed]
        todo = self._adopt(todo, done, journal)
        journal.progress(self.name, len(self.ids) - len(todo), len(self.ids), unit="items")
        for position, why in self._compute(todo, threads, nodes if len(todo) > threads else None) if todo else ():
            item = self.ids[position]
            if why:
                failed[item] = why
                journal.write("item-failed", name=self.name, id=item, message=why.reason)
            else:
                done.add(item)
            journal.progress(self.name, len(done) + len(failed), len(self.ids), unit="items")
        if self.ids and not done:
            for position in range(len(self.ids)):  # what failed all of them may be put right before the run is resumed
                self.parts.failure_path(position).unlink(missing_ok=True)
            message = self.account({item: why.reason for item, why in failed.items()})
            raise Failure("all-failed", message, "`cryoloom log` shows the full account of each.")
        self.hashed = self.parts.hashed(done)
        return MapResult(self.parts.rows(done), {item: failed[item].reason for item in self.ids if item in failed})

    def account(self, failed: Mapping[int, str]) -> str:
        """Return one sentence on the items that failed, with the reasons of the first few."""
        count = f"All {len(failed)}" if 1 < len(failed) == len(self.ids) else f"{len(failed)} of {len(self.ids)}"
        told = [self._told(item, failed[item].rstrip(".")) for item in [item for item in self.ids if item in failed][:TOLD]]
        rest = f"; and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
        return f"{count} {self.name} failed: {'; '.join(told)}{rest}."

    def _told(self, item: int, reason: str) -> str:
        """Return a reason that begins with what people call the item: its first name, if it has one."""
        named = (name for name, kind in self.frame.schema.items() if name.endswith("_name") and kind == pl.String)
        row = self.frame.row(self.ids.index(item), named=True)
        called = next((row[name] for name in named if row[name]), f"item {item}")
        return reason if called in reason.partition(" ")[0] else f"{called}: {reason}"

    @cached_property
    def keys(self) -> list[str]:
        """Return the content key of every item."""
        if self.reuse is None:
            return [""] * len(self.ids)
        return self.reuse.keys(self.name, self.function, self.items, self.frame.iter_rows(named=True), self.seeds)

    def _drop_outdated(self, checked: dict[Path, str]) -> None:
        """Remove the parts of items whose content is not what it was when they were published."""
        published = self.parts.published()
        for position, item in enumerate(self.ids):
            path, key = published.get(item), self.keys[position] if self.reuse else ""
            if path is None or not key or checked.get(path) == key:
                continue
            if key_of(path) == key:
                checked[path] = key
            else:
                path.unlink()

    def _adopt(self, todo: list[int], done: set[int], journal: Journal) -> list[int]:
        """Take over from earlier runs what they have, and return the positions that are left."""
        if self.reuse is None:
            return todo
        taken: Counter[str] = Counter()
        for position in todo:
            if donor := self.reuse.adopt(self.name, self.ids[position], self.keys[position], self.parts.path(position)):
                done.add(self.ids[position])
                taken[donor] += 1
        for donor, count in taken.items():
            journal.write("reused", name=self.name, run=donor, count=count)
        return [position for position in todo if self.ids[position] not in done]

    def _compute(self, todo: list[int], threads: int, nodes: "Nodes | None") -> Iterator[Verdict]:
        function, rows = self.parts.folder / "function.pkl", self.parts.folder / "set.parquet"
        with files.replacing(function) as handle:
            handle.write(self._pickled(rows))
        deaths: Counter[int] = Counter()

        def workers(most: int) -> Workers:
            if nodes is None:
                return OwnWorkers(min(most, threads))
            from cryoloom.engine.nodes import NodeWorkers

            return NodeWorkers(nodes, most)

        yield from self._work_off(todo[::-1], deaths, function, workers)
        alone = [position for position in todo if deaths[position] == BESIDE and not self.parts.path(position).exists()]
        yield from self._work_off(alone[::-1], deaths, function, lambda most: workers(1))
        for temporary in (function, rows):
            temporary.unlink(missing_ok=True)

    def _work_off(self, waiting: list[int], deaths: "Counter[int]", function: Path, workers: Callable[[int], Workers]) -> Iterator[Verdict]:
        """Compute the items at the positions `waiting`, the last one first, with as many sets of `workers` as it takes."""
        breakdowns = 0
        while waiting:
            before = len(waiting)
            yield from self._one_set(waiting, deaths, function, workers(before))
            breakdowns = breakdowns + 1 if len(waiting) == before else 0
            if breakdowns == BREAKDOWNS:
                raise Failure(
                    "workers-die", f"Worker processes of map {self.name!r} die before they take an item.", "The log may tell why."
                )

    def _one_set(self, waiting: list[int], deaths: "Counter[int]", function: Path, workers: Workers) -> Iterator[Verdict]:
        """Work until `waiting` is empty or the workers can do no more; what is unfinished then is back in `waiting`."""
        running: dict[Any, int] = {}
        stalled_since = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < workers.room:
                    ticket = self._ticket(waiting[-1], function)
                    try:
                        running[workers.schedule(ticket)] = waiting[-1]
                    except RuntimeError:
                        return  # pebble's word for a pool that is no more
                    waiting.pop()
                finished, _ = wait(running, timeout=5.0, return_when=FIRST_COMPLETED)
                for future in sorted(finished, key=lambda future: running[future]):
                    yield from self._collect(future, running.pop(future), waiting, deaths)
                if finished or workers.busy(running):
                    stalled_since = time.monotonic()
                if not workers.able or time.monotonic() - stalled_since > STALL:
                    return
        finally:
            waiting.extend(sorted(running.values(), reverse=True))
            workers.end()

    def _collect(self, future: "Future[str]", position: int, waiting: list[int], deaths: "Counter[int]") -> Iterator[Verdict]:
        try:
            reason = future.result()
        except ProcessExpired as death:
            deaths[position] += 1
            if self.parts.path(position).exists():
                yield position, None  # it died after its work was done
            elif deaths[position] >= (ATTEMPTS if self._given_up < HOPELESS else BESIDE + 1):
                self._given_up += 1
                yield position, self._died(position, deaths[position], death)
            elif deaths[position] != BESIDE:  # one that has died so often waits until it can be alone
                waiting.append(position)
        except (RuntimeError, CancelledError):
            waiting.append(position)
        else:
            yield position, Failed(reason) if reason else None

    def _died(self, position: int, times: int, death: ProcessExpired) -> Failed:
        code = death.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"code {code}"
        failed = Failed(f"its worker process died {times} times ({how}): out of memory, or a fault in native code", crash=True)
        write_failure(self.parts.failure_path(position), failed)
        return failed

    def _ticket(self, position: int, function: Path) -> Ticket:
        folder = self.folder if len(self.ids) <= SHARD else self.folder / f"{position // SHARD:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        row = self.frame.row(position, named=True)
        item = Item(row, self.root, folder, self.seeds[position])
        return Ticket(item, function, self.run, self.parts.path(position), self.parts.failure_path(position), self.keys[position])

    def _pickled(self, rows: Path) -> bytes:
        """Return function and set; a set that is not stored goes to `rows`, so that workers read it only if the function asks for it."""
        buffer, items = io.BytesIO(), self.items
        if items.stored is None:
            write_frame(items.items, rows)
            table = TableRef(base=(FileRef.of(rows, self.root),))
            items = type(items)(None, self.root, optics=items.optics, meta=items.meta, stored=table)
        try:
            _Sender(buffer, self.items, items).dump((self.function, self.items))
            return buffer.getvalue()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise Failure(
                "not-picklable",
                f"The function of map {self.name!r} cannot be sent to worker processes: {error}.",
                "Use a module-level function or a method of the protocol, not a lambda or a local function.",
            ) from error
