"""What happens in a project, told to every browser that looks at it: one thread a project compares what is on disk with what it told last."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from cryoloom.app.references import kind_of
from cryoloom.app.runs import Run
from cryoloom.engine import annotations
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.state import ACTIVE
from cryoloom.server.layout import Place, layout
from cryoloom.spec import WrongUse

POLL = 0.35
"""Seconds between looks at what is at work or has changed; a look that takes long is followed by ten times as long a rest."""
SWEEP = 5.0
"""Seconds between looks at everything: a label, or another computer's doing, changes no folder's time."""
KEPT = 512
"""Changes that are kept for browsers whose connection broke; older ones cost a full snapshot."""
HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it lives."""


def node_of(run: Run) -> dict[str, Any]:
    """Return what a box on the canvas says of a run."""
    heads = run.folder.heads()
    if heads is None:
        outputs = _to_come(run)
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


def _to_come(run: Run) -> list[dict[str, Any]]:
    try:
        return [{"name": output.name, "kind": kind_of(output).kind, "count": None, "resolution": None} for output in run.outputs]
    except WrongUse:  # a protocol that is not installed here, or does not load
        return []


def _resolutions(folder: RunFolder) -> dict[str, float]:
    status = os.stat(folder.path / "outputs.json")
    return _read_resolutions(folder.place, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=1 << 12)
def _read_resolutions(place: str, _inode: int, _changed: int) -> dict[str, float]:
    published = RunFolder(place).published() or {"outputs": {}}
    found = {name: manifest["meta"].get("resolution") for name, manifest in published["outputs"].items()}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


class Watch:
    """The runs of a project as last seen, and who wants to hear of changes.

    Memory: one node (about 1 kB) a run, `KEPT` changes.
    """

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project
        self.nodes: dict[str, dict[str, Any]] = {}
        self.places: dict[str, Place] = {}
        self.number = int(time.time() * 1000)  # grows over restarts: a browser never takes old for new
        self._moved: dict[str, Place] = {}
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._changes: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[dict[str, Any]]]] = set()
        self._lock = threading.RLock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._swept = 0.0
        self.look()
        threading.Thread(target=self._follow, name=f"watch {project.path.name}", daemon=True).start()

    # -- looking ------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._over.is_set():
            began = time.thread_time()  # of the processor: waiting for a busy machine is no reason to rest
            with suppress(OSError):  # the disk is away for a moment, or a run is being deleted: the next look will tell
                self.look()
            spent = time.thread_time() - began
            self._wake.wait(max(POLL, 10 * spent) if self._listeners else SWEEP)
            self._wake.clear()

    def look(self) -> None:
        """Look at what may have changed, and tell of it."""
        with self._lock:
            everything = time.monotonic() - self._swept > SWEEP
            if everything:
                self._swept = time.monotonic()
            folders = {folder.id: folder for folder in self.project.runs()}
            changed = {}
            for name, folder in folders.items():
                stamp = _stamp(folder)
                known = self.nodes.get(name)
                if known and not everything and self._stamps.get(name) == stamp and known["state"] not in ACTIVE:
                    continue
                node = node_of(Run(folder))
                self._stamps[name] = stamp
                if node != known:
                    changed[name] = self.nodes[name] = node
            removed = [name for name in self.nodes if name not in folders]
            for name in removed:
                del self.nodes[name], self._stamps[name]
            if removed or any(name not in self.places for name in changed):
                self._place()
            if changed or removed:
                self._tell({"changed": list(changed.values()), "removed": removed, "places": self._moved})
                self._moved = {}

    def _place(self) -> None:
        ordered = sorted(self.nodes.values(), key=lambda node: (node["created"], node["run"]))
        places = layout({node["run"]: [each["run"] for each in node["inputs"]] for node in ordered})
        self._moved = {name: place for name, place in places.items() if self.places.get(name) != place}
        self.places = places

    def _tell(self, change: dict[str, Any]) -> None:
        self.number += 1
        change = {"id": self.number, "event": "runs", "data": change}
        self._changes.append(change)
        for loop, queue in list(self._listeners):
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(_put, queue, change)

    def hurry(self) -> None:
        """Look again now: something was done here."""
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._wake.set()

    # -- telling ------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return all nodes, where they stand, and the number of the last change among them."""
        with self._lock:
            return {"number": self.number, "nodes": list(self.nodes.values()), "places": self.places}

    async def stream(self, after: int | None) -> AsyncIterator[dict[str, Any]]:
        """Yield ``{id, event, data}``: what came after a change that was heard, or everything (``snapshot``), then what comes.

        Data that are None are a sign of life.
        """
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=KEPT)
        listener = (asyncio.get_running_loop(), queue)
        with self._lock:
            self._listeners.add(listener)
            first = self._since(after)
        self.hurry()
        try:
            for change in first:
                yield change
            while True:
                try:
                    change = await asyncio.wait_for(queue.get(), HEARTBEAT)
                except TimeoutError:
                    change = {"id": None, "event": "alive", "data": None}
                yield change
        finally:
            self._listeners.discard(listener)

    def _since(self, after: int | None) -> list[dict[str, Any]]:
        oldest = self._changes[0]["id"] if self._changes else self.number + 1
        if after is not None and oldest - 1 <= after <= self.number:
            return [change for change in self._changes if change["id"] > after]
        snapshot = self.snapshot()
        return [{"id": self.number, "event": "snapshot", "data": snapshot}]


def _put(queue: asyncio.Queue[dict[str, Any]], change: dict[str, Any]) -> None:
    if queue.full():  # a browser that fell asleep; it will see that numbers are missing
        queue.get_nowait()
    queue.put_nowait(change)


def _stamp(folder: RunFolder) -> tuple[int, ...]:
    found = [os.stat(folder.place).st_mtime_ns]
    for name in ("labels.jsonl", annotations.FILE):
        try:
            found.append(os.stat(f"{folder.place}/{name}").st_mtime_ns)
        except FileNotFoundError:
            found.append(0)
    return tuple(found)
