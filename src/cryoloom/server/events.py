"""What happens in a project, told to every browser that looks at it: one thread a project compares what is on disk with what it told last."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from cryoloom.app.outputs import OutputRef
from cryoloom.app.references import kind_of
from cryoloom.app.runs import Run
from cryoloom.engine import annotations
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE
from cryoloom.server.layout import Place, layout
from cryoloom.spec import CryoloomError

POLL = 0.35
"""Seconds between looks at what is at work or has changed; a look that takes long is followed by ten times as long a rest."""
SWEEP = 5.0
"""Seconds between looks at everything: a label, or another computer's doing, changes no folder's time."""
KEPT, KEPT_BYTES = 512, 4 << 20
"""Changes, and bytes of them, that are kept for browsers whose connection broke; older ones cost a full snapshot."""
BEHIND = 64
"""Changes that a browser may be behind; one that is further behind is told everything anew."""
HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it lives."""


def node_of(run: Run) -> dict[str, Any]:
    """Return what a box on the canvas says of a run."""
    heads = run.folder.heads()
    if heads is None:
        outputs = [{"name": output.name, "kind": kind_of(output).kind, "count": None, "resolution": None} for output in _promised(run)]
    else:
        told = _resolutions(run.folder) if any(head["kind"] == "volume" for head in heads.values()) else {}
        outputs = [
            {"name": name, "kind": head["kind"], "count": head["count"], "resolution": told.get(name)} for name, head in heads.items()
        ]
    return {
        **run.brief(),
        "created": run.created,
        "inputs": [
            {"name": name, "run": reference["run"], "output": reference["output"]}
            for name, given in run.inputs.items()
            for reference in (given if isinstance(given, list) else [given])
        ],
        "outputs": outputs,
        "watches": run.watches,
    }


def _resolutions(folder: RunFolder) -> dict[str, float]:
    status = os.stat(folder.path / "outputs.json")
    return _read_resolutions(folder.place, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=1 << 12)
def _read_resolutions(place: str, _inode: int, _changed: int) -> dict[str, float]:
    published = RunFolder(place).published() or {"outputs": {}}
    found = {name: manifest["meta"].get("resolution") for name, manifest in published["outputs"].items()}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class Change:
    """What browsers are told: its number, ``runs`` or ``snapshot``, and JSON, which is made once for all of them."""

    id: int
    event: str
    text: bytes


@dataclass(eq=False)
class Listener:
    """A browser that listens: what it has not been told yet. Belongs to the event loop; other threads go through `loop`."""

    loop: asyncio.AbstractEventLoop
    waiting: deque[Change] = field(default_factory=deque)
    lost: bool = False
    over: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, change: Change) -> None:
        """Tell of a change, unless it is so far behind that it must be told everything."""
        if len(self.waiting) >= BEHIND:
            self.lost = True
            self.waiting.clear()
        self.waiting.append(change)
        self._news.set()

    def end(self) -> None:
        """Have its stream end."""
        self.over = True
        self._news.set()

    async def news(self) -> bool:
        """Wait for something to tell, at most until a sign of life is due; return whether there is something."""
        if not self.waiting and not self.over:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), HEARTBEAT)
        return bool(self.waiting)


def _promised(run: Run) -> list[OutputRef]:
    try:
        return list(run.outputs)
    except CryoloomError:  # of a protocol that is not installed here: the box says which
        return []


class Watch:
    """The runs of a project as last seen, and who wants to hear of changes. While nobody does, nobody looks.

    Memory: one node (about 1 kB) a run, `KEPT_BYTES` of changes, `BEHIND` references to changes a listener.
    """

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project
        self.nodes: dict[str, dict[str, Any]] = {}
        self.places: dict[str, Place] = {}
        self.number = int(time.time() * 1000)  # grows over restarts: a browser never takes old for new
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._changes: deque[Change] = deque()
        self._bytes = 0
        self._listeners: set[Listener] = set()
        # One looks at the disk, which may take long; what is told is guarded apart, for the event loop must never wait for a disk.
        self._looking, self._lock = threading.Lock(), threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._swept = 0.0
        self.look()
        threading.Thread(target=self._follow, name=f"watch {project.path.name}", daemon=True).start()

    # -- looking ------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._over.is_set():
            began = time.thread_time()  # of the processor: waiting for a busy machine is no reason to rest
            with suppress(OSError):  # the disk is away for a moment: the next look will tell
                self.look()
            spent = time.thread_time() - began
            self._wake.wait(max(POLL, 10 * spent) if self._listeners else None)
            self._wake.clear()

    def look(self) -> None:
        """Look at what may have changed, and tell of it."""
        with self._looking:
            everything = time.monotonic() - self._swept > SWEEP
            if everything:
                self._swept = time.monotonic()
            folders = {folder.id: folder for folder in self.project.runs()}
            found = {name: self._seen(folder, everything=everything) for name, folder in folders.items()}
            changed = {name: node for name, node in found.items() if node is not None and node != self.nodes.get(name)}
            removed = [name for name in self.nodes if name not in folders]
            if not changed and not removed:
                return
            nodes = {name: node for name, node in self.nodes.items() if name in folders} | changed
            places = self.places if not removed and changed.keys() <= self.nodes.keys() else _places(nodes)
            for name in removed:
                self._stamps.pop(name, None)
            self._tell(nodes, places, list(changed.values()), removed)

    def _seen(self, folder: RunFolder, *, everything: bool) -> dict[str, Any] | None:
        """Return the node of a run that may have changed, None where there is nothing new, or nothing that can be read."""
        known = self.nodes.get(folder.id)
        try:
            stamp = _stamp(folder)
            if known and not everything and self._stamps.get(folder.id) == stamp and known["state"] not in ACTIVE:
                return None
            node = node_of(Run(folder))
            _json(node)
        except (OSError, ValueError, KeyError, TypeError, CryoloomError):  # it is being deleted, or damaged: no harm to the others
            return None
        self._stamps[folder.id] = stamp
        return node

    def _tell(self, nodes: dict[str, dict[str, Any]], places: dict[str, Place], changed: list[dict[str, Any]], removed: list[str]) -> None:
        moved = {name: place for name, place in places.items() if self.places.get(name) != place}
        text = _json({"changed": changed, "removed": removed, "places": moved})
        with self._lock:
            self.nodes, self.places = nodes, places
            self.number += 1
            change = Change(self.number, "runs", text)
            self._changes.append(change)
            self._bytes += len(text)
            while len(self._changes) > KEPT or (self._bytes > KEPT_BYTES and len(self._changes) > 1):
                self._bytes -= len(self._changes.popleft().text)
            listeners = list(self._listeners)
        for listener in listeners:
            with suppress(RuntimeError):  # its loop has ended
                listener.loop.call_soon_threadsafe(listener.put, change)

    def hurry(self) -> None:
        """Look again now: something was done here."""
        self._wake.set()

    def close(self) -> None:
        """End the thread, and every stream."""
        self._over.set()
        self._wake.set()
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            with suppress(RuntimeError):
                listener.loop.call_soon_threadsafe(listener.end)

    # -- telling ------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return all nodes, where they stand, and the number of the last change among them; looks first if nobody else makes it look."""
        if not self._listeners:
            self.look()
        return self._everything()

    def _everything(self) -> dict[str, Any]:
        with self._lock:
            return {"number": self.number, "nodes": list(self.nodes.values()), "places": self.places}

    async def stream(self, after: int | None, listener: Listener | None = None) -> AsyncIterator[Change | None]:
        """Yield what came after a change that was heard, or everything (``snapshot``), then what comes; None is a sign of life.

        `listener`, of the running loop, is for whoever may end the stream; whoever lags behind is told everything anew.
        """
        listener = listener or Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
            known = self._since(after)
        self.hurry()
        try:
            told = after or 0
            for change in known if known is not None else [self._snapshot()]:
                told = change.id
                yield change
            while not listener.over:
                if not await listener.news():
                    if not listener.over:
                        yield None
                    continue
                if listener.lost:
                    listener.lost = False
                    listener.waiting.clear()
                    change = self._snapshot()
                else:
                    change = listener.waiting.popleft()
                if change.id > told:  # not what a snapshot has told already
                    told = change.id
                    yield change
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _snapshot(self) -> Change:
        told = self._everything()
        return Change(told["number"], "snapshot", _json(told))

    def _since(self, after: int | None) -> list[Change] | None:
        """Return the changes after one that was heard, None where they are not kept."""
        oldest = self._changes[0].id if self._changes else self.number + 1
        if after is None or not oldest - 1 <= after <= self.number:
            return None
        return [change for change in self._changes if change.id > after]


def _json(told: dict[str, Any]) -> bytes:
    return orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS)


def _places(nodes: dict[str, dict[str, Any]]) -> dict[str, Place]:
    ordered = sorted(nodes.values(), key=lambda node: (node["created"], node["run"]))
    return layout({node["run"]: [each["run"] for each in node["inputs"]] for node in ordered})


def _stamp(folder: RunFolder) -> tuple[int, ...]:
    found = [os.stat(folder.place).st_mtime_ns]
    for name in ("labels.jsonl", annotations.FILE):
        try:
            found.append(os.stat(f"{folder.place}/{name}").st_mtime_ns)
        except FileNotFoundError:
            found.append(0)
    return tuple(found)
