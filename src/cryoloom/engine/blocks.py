"""Stages of a long computation, block by block on all nodes of a run; the results come in order and are the same bits wherever they are made.

What a stage needs is written once for all nodes (`parcels`); a node keeps what the blocks of a part share. A block whose node is lost is computed
on another.
"""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from pebble import ProcessExpired

from cryoloom.engine.parcels import Parcels, hand_over, receive, take
from cryoloom.spec.errors import Failure

if TYPE_CHECKING:
    from cryoloom.engine.nodes import Nodes

GROUP = 4
"""Blocks a task: seconds of work, so that handing it out costs nothing."""
ATTEMPTS = 3
"""Nodes that may be lost over one task."""
PATIENCE = 5.0
"""Seconds between two looks for new nodes while nothing comes back."""


class Stage(Protocol):
    """Work cut into parts and blocks, see `cryoloom.numerics.parallel.Stage`."""

    @property
    def parts(self) -> list[list[slice]]: ...  # noqa: D102

    def prepare(self, number: int, /) -> Any: ...  # noqa: D102

    def compute(self, prepared: Any, block: slice, /) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Task:
    """Some consecutive blocks of a part of a stage."""

    part: int
    place: int
    blocks: tuple[slice, ...]


class NodeBlocks:
    """A workplace of `cryoloom.numerics.parallel`: all nodes of a run, each with as many threads as it has."""

    def __init__(self, nodes: "Nodes") -> None:
        self._nodes = nodes
        self._parcels: Parcels | None = None

    def results(self, stage: Stage, at_once: int = 2) -> Iterator[list[Any]]:
        """Yield the results of the blocks of each part, in order; a node prepares at most `at_once` parts at a time.

        Raises
        ------
        Failure
            ``nodes-die``: several nodes were lost over the same blocks.
        """
        self._nodes.workers()  # their folder is made when they are asked for
        self._parcels = self._parcels or Parcels(self._nodes.folder)
        parcel = self._parcels.send(stage)
        try:
            yield from _Round(self._nodes, parcel, stage, at_once).parts()
        finally:
            self._parcels.recall(parcel)


class _Round:
    """One stage on its way."""

    def __init__(self, nodes: "Nodes", parcel: Path, stage: Stage, at_once: int) -> None:
        self._nodes, self._parcel, self._at_once = nodes, parcel, max(at_once, 1)
        self._waiting = [deque(_tasks(number, blocks)) for number, blocks in enumerate(stage.parts)]
        self._found: list[dict[int, Path]] = [{} for _ in stage.parts]
        self._counts = [len(tasks) for tasks in self._waiting]
        self._running: dict[Future[Path], tuple[str, Task]] = {}
        self._ended: SimpleQueue[Future[Path]] = SimpleQueue()
        self._losses: Counter[tuple[int, int]] = Counter()

    def parts(self) -> Iterator[list[Any]]:
        for number, count in enumerate(self._counts):
            while len(self._found[number]) < count:
                self._hand_out()
                try:
                    self._collect(self._ended.get(timeout=PATIENCE))
                except Empty:
                    continue
            yield [result for place in sorted(self._found[number]) for result in take(self._found[number].pop(place))]

    def _hand_out(self) -> None:
        """Give every node as much as it has threads for."""
        for worker, threads in sorted(self._nodes.workers().items()):
            while (task := self._next(worker, threads)) is not None:
                future = self._nodes.submit(compute_blocks, self._parcel, task, self._at_once, worker=worker)
                self._running[future] = worker, task
                future.add_done_callback(self._ended.put)

    def _next(self, worker: str, threads: int) -> Task | None:
        """Return what a node is to do next: more of the part it is at, else of one that none is at, else of the one with most left."""
        at_work = [(where, task.part) for where, task in self._running.values()]
        own = [part for where, part in at_work if where == worker]
        if len(own) >= threads:
            return None
        left = [number for number, tasks in enumerate(self._waiting) if tasks and (number in own or len(set(own)) < self._at_once)]
        if not left:
            return None
        taken = {part for _, part in at_work}
        best = min(
            left, key=lambda number: (number not in own, number in taken, -len(self._waiting[number]) if number in taken else number)
        )
        return self._waiting[best].popleft()

    def _collect(self, future: "Future[Path]") -> None:
        _, task = self._running.pop(future)
        try:
            self._found[task.part][task.place] = future.result()
        except ProcessExpired as lost:
            self._losses[task.part, task.place] += 1
            if self._losses[task.part, task.place] == ATTEMPTS:
                cure = "Give nodes more memory or time in cluster.toml; the logs of the nodes may tell more."
                raise Failure("nodes-die", f"{ATTEMPTS} nodes were lost over the same images; the last: {lost}.", cure) from lost
            self._waiting[task.part].appendleft(task)


def _tasks(part: int, blocks: list[slice]) -> Iterator[Task]:
    for start in range(0, len(blocks), GROUP):
        yield Task(part, start, tuple(blocks[start : start + GROUP]))


def compute_blocks(parcel: Path, task: Task, at_once: int) -> Path:
    """Compute some blocks, on the node that calls this; return where the list of their results lies, for `parcels.take`."""
    opened = _opened(parcel)
    prepared = opened.prepared(task.part, at_once)
    return hand_over(parcel.parent, [opened.stage.compute(prepared, block) for block in task.blocks])


class _Opened:
    """A stage on a node, with what was prepared of it last."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._lock = Lock()
        self._parts: dict[int, _Prepared] = {}

    def prepared(self, number: int, at_once: int) -> Any:
        """Return what the blocks of a part share, prepared by who asks first; the least recent is forgotten."""
        with self._lock:
            part = self._parts.pop(number, None) or _Prepared()
            self._parts[number] = part
            while len(self._parts) > at_once:
                del self._parts[next(iter(self._parts))]
        with part.lock:
            if not part.done:
                part.value, part.done = self.stage.prepare(number), True
        return part.value


class _Prepared:
    def __init__(self) -> None:
        self.lock, self.done, self.value = Lock(), False, None


_opening = Lock()


def _opened(parcel: Path) -> _Opened:
    with _opening:  # once, whoever asks first
        return _read(parcel)


@lru_cache(maxsize=1)
def _read(parcel: Path) -> _Opened:
    return _Opened(receive(parcel))
