"""The server under strain: 50 browsers that watch, 10 people who act, on a project of some hundred runs.

``python -m benchmarks.server_load [--seconds 180] [--watchers 50] [--actors 10] [--runs 300] [--json]``; everything on 127.0.0.1, in a temporary
folder. The program that asks shares the processors with the server, so latencies are upper bounds.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import psutil

import cryoloom
from cryoloom import files
from cryoloom.app.session import Project
from cryoloom.data import Micrographs, Volume
from cryoloom.engine.events import append_line
from cryoloom.engine.identity import Work
from cryoloom.formats.mrc import write_mrc

NAME = "busy"
THOUGHT = (0.2, 1.0)
"""Seconds, from and to, between two things that a person does."""
WRITES = 0.5
"""Seconds between two changes on disk whose way to the browsers is timed."""
LATE = 20.0
"""Seconds after which a change that a browser has not heard of counts as lost."""


# -- the project ------------------------------------------------------------------------------------------------


def make_project(folder: Path, runs: int, *, side: int = 1024) -> Project:
    """Make a project of finished runs: micrographs of noise, `side` px, a map, and runs that took the micrographs."""
    project = cryoloom.create_project(folder / NAME)
    rng = np.random.default_rng(0)
    (project.root / "data").mkdir()
    for number in range(1, 5):
        write_mrc(project.root / f"data/m{number}.mrc", rng.normal(10.0, 3.0, (side, side)).astype(np.float32), 1.0)
    rows = {
        "id": [1, 2, 3, 4], "micrograph_name": [f"m{n}" for n in range(1, 5)], "micrograph_path": [f"data/m{n}.mrc" for n in range(1, 5)],
        "height": [side] * 4, "width": [side] * 4, "optics_group": [1] * 4, "enabled": [True] * 4, "fail_reason": [""] * 4,
    }  # fmt: skip
    micrographs = Micrographs(
        pl.DataFrame(rows),
        project.root,
        optics=[{"optics_group": 1, "pixel_size": 1.0, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}],
    )
    write_mrc(project.root / "data/map.mrc", rng.standard_normal((64, 64, 64), dtype=np.float32), 1.0, volume=True)
    volume = Volume(pl.DataFrame({"id": [1], "volume_path": ["data/map.mrc"], "box_size": [64]}), project.root, meta={"pixel_size": 1.0})
    _published(project, "import.micrographs", micrographs)
    _published(project, "import.volume", volume)
    made = project.find("r001").outputs.micrographs
    taken = {"items": {"run": "r001", "output": "micrographs", "hash": made.manifest["hash"]}}
    for _ in range(runs - 2):
        _published(project, "sets.select", micrographs, taken)
    return project


def _published(project: Project, protocol: str, dataset: Any, inputs: dict[str, Any] | None = None) -> None:
    run = project.folder.new_run(Work(protocol, 1, {}, seed=len(project.folder.runs())), inputs or {})
    said = {"outputs": {dataset.kind: dataset.save(run.path, dataset.kind)}, "summary": {}, "warnings": [], "failed_items": {}}
    files.write_json(run.path / "outputs.json", {**said, "inputs": {}, "fingerprint": None})


# -- the server -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """A server in a process of its own, and the address that lets in."""

    process: psutil.Process
    address: str
    complaints: Path  # what it printed that it should not have

    @property
    def origin(self) -> str:
        return self.address.partition("/login")[0]

    @property
    def memory(self) -> float:
        """Return its resident memory in MB."""
        return self.process.memory_info().rss / 1e6


@contextmanager
def serving(folder: Path, home: Path) -> Iterator[Served]:
    """Run ``cryoloom serve`` on a folder of projects; its tokens and what it keeps of pictures are in `home`."""
    words = [sys.executable, "-m", "cryoloom.cli.main", "serve", str(folder), "--port", "0", "--no-browser"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    home.mkdir(parents=True, exist_ok=True)
    complaints = home / "serve.err"
    with complaints.open("w") as to:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=to, env=environment, text=True)
    assert process.stdout is not None
    try:
        printed = re.search(r"http://127\.0\.0\.1:\d+/login\?token=\S+", process.stdout.readline())
        if printed is None:
            raise RuntimeError(f"cryoloom serve has printed no address, but: {complaints.read_text()}")
        yield Served(psutil.Process(process.pid), printed[0], complaints)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


# -- who is there -----------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What happened.

    Attributes
    ----------
    latency
        Seconds of every answer, by kind of request.
    errors
        Answers that should not have been, and broken connections.
    lag
        Seconds from a change on disk to each browser that was told of it.
    written
        When each change was made, by its label.
    heard
        The labels that each browser has heard of.
    memory
        Resident MB of the server: before, in the middle, at the end.
    """

    latency: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    written: dict[str, float] = field(default_factory=dict)
    heard: list[set[str]] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Return how many changes did not come to a browser."""
        return sum(len(self.written.keys() - heard) for heard in self.heard)


async def strain(served: Served, project: Project, seconds: float, *, watchers: int, actors: int) -> Seen:
    """Have `watchers` browsers watch a project and `actors` people act in it for a while."""
    seen = Seen()
    over = asyncio.Event()
    ready = [asyncio.Event() for _ in range(watchers)]
    watching = [asyncio.create_task(_watch(served, seen, number, ready[number])) for number in range(watchers)]
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in ready)), 120)
    seen.memory.append(served.memory)
    acting = [asyncio.create_task(_act(served, seen, over, number)) for number in range(actors)]
    acting.append(asyncio.create_task(_write(project, seen, over)))
    await asyncio.sleep(seconds / 2)
    seen.memory.append(served.memory)
    await asyncio.sleep(seconds / 2)
    over.set()
    await asyncio.gather(*acting)
    latest = time.monotonic() + LATE
    while seen.lost and time.monotonic() < latest:
        await asyncio.sleep(0.1)
    seen.memory.append(served.memory)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return seen


def _client(served: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=served.origin, headers={"origin": served.origin}, timeout=60, trust_env=False)


async def _watch(served: Served, seen: Seen, number: int, ready: asyncio.Event) -> None:
    heard: set[str] = set()
    seen.heard.append(heard)
    async with _client(served) as client:
        await client.get(served.address)
        last = 0
        while True:
            try:
                async for told, event, data in _events(client, last):
                    last = told
                    ready.set()
                    now = time.time()
                    for node in data["nodes" if event == "snapshot" else "changed"]:
                        if (label := node["label"]) in seen.written and label not in heard:
                            heard.add(label)
                            seen.lag.append(now - seen.written[label])
                seen.errors.append(f"watcher {number}: the stream has ended")
            except httpx.HTTPError as error:
                seen.errors.append(f"watcher {number}: {type(error).__name__} {error}")
            await asyncio.sleep(1)


async def _events(client: httpx.AsyncClient, last: int) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    headers = {"last-event-id": str(last)} if last else {}
    async with client.stream("GET", f"/api/projects/{NAME}/events", headers=headers) as answer:
        answer.raise_for_status()
        given: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                given[name] = value
            elif "id" in given:
                yield int(given["id"]), given["event"], json.loads(given["data"])
                given = {}


async def _write(project: Project, seen: Seen, over: asyncio.Event) -> None:
    """Rename runs as somebody at a terminal does: on disk, not through the server."""
    runs = project.folder.runs()
    for number in count():
        label = f"written-{number}"
        run = runs[number % len(runs)]
        seen.written[label] = time.time()
        await asyncio.to_thread(append_line, run.path / "labels.jsonl", {"label": label, "show": True})
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), WRITES)
        if over.is_set():
            return


async def _act(served: Served, seen: Seen, over: asyncio.Event, number: int) -> None:
    chance = random.Random(number)
    async with _client(served) as client:
        await client.get(served.address)
        while not over.is_set():
            async for _ in _errand(client, seen, chance, number):
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), chance.uniform(*THOUGHT))
                if over.is_set():
                    break


async def _errand(client: httpx.AsyncClient, seen: Seen, chance: random.Random, number: int) -> AsyncIterator[None]:
    """Do what somebody does at the page, one request after the other."""
    at = f"/api/projects/{NAME}"

    async def ask(kind: str, method: str, path: str, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = await client.request(method, at + path, **more)
        except httpx.HTTPError as error:
            seen.errors.append(f"{kind}: {type(error).__name__} {error}")
            return None
        seen.latency[kind].append(time.perf_counter() - began)
        if answer.is_error:
            seen.errors.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer.json() if "json" in answer.headers.get("content-type", "") else None

    values = {"micrographs": "r001.micrographs", "min_defocus": chance.randrange(2000, 9000)}
    await ask("graph", "GET", "/graph")
    yield
    await ask("form check", "POST", "/forms/ctf.estimate/check", json={"values": values})
    yield
    await ask("offers", "GET", "/forms/ctf.estimate/offers/micrographs")
    yield
    made = await ask("make", "POST", "/runs", json={"protocol": "ctf.estimate", "values": values, "start": False, "again": True})
    yield
    if made:
        run = f"/runs/{made['run']}"
        await ask("label", "PATCH", run, json={"label": f"actor {number}", "note": "as asked"})
        yield
        await ask("tag", "PATCH", run, json={"tag": ["mine"]})
        yield
        await ask("run", "GET", run)
        yield
        await ask("delete", "DELETE", run)
        yield
        await ask("restore", "POST", f"/trash/{made['run']}/restore", json={})
        yield
        await ask("delete", "DELETE", run)
        yield
    await ask("page of a table", "GET", "/outputs/r001.micrographs/page", params={"limit": 100})
    yield
    await ask(
        "micrograph", "GET", f"/outputs/r001.micrographs/micrographs/{chance.randint(1, 4)}/view", params={"bin": chance.choice((1, 2, 4))}
    )
    yield
    await ask(
        "tile",
        "GET",
        f"/outputs/r001.micrographs/micrographs/{chance.randint(1, 4)}/tile",
        params={"level": 1, "x": chance.randrange(2), "y": 1},
    )
    yield
    await ask("slice", "GET", "/outputs/r002.volume/slice", params={"i": chance.randrange(64)})
    yield
    await ask("log", "GET", "/runs/r001/log")
    yield


# -- the figures ------------------------------------------------------------------------------------------------


def figures(seen: Seen) -> dict[str, Any]:
    """Return what came out, times in milliseconds."""
    return {
        "requests": sum(map(len, seen.latency.values())),
        "errors": seen.errors,
        "changes on disk": len(seen.written),
        "changes not heard of": seen.lost,
        "lag": _spread(seen.lag),
        "memory at start, middle, end: MB": [round(each, 1) for each in seen.memory],
        "latency": {kind: _spread(values) for kind, values in sorted(seen.latency.items())},
    }


def _spread(values: list[float]) -> dict[str, float]:
    found = np.percentile(values, (50, 95, 100)) * 1e3 if values else [float("nan")] * 3
    return {name: round(float(value), 1) for name, value in zip(("p50", "p95", "max"), found, strict=True)} | {"n": len(values)}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.server_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--actors", type=int, default=10)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        project = make_project(Path(name) / "projects", chosen.runs)
        with serving(Path(name) / "projects", Path(name) / "home") as served:
            before = served.process.cpu_times()
            seen = asyncio.run(strain(served, project, chosen.seconds, watchers=chosen.watchers, actors=chosen.actors))
            after = served.process.cpu_times()
            seen.errors += served.complaints.read_text().splitlines()
    found = figures(seen) | {"processors used": round((after.user + after.system - before.user - before.system) / chosen.seconds, 2)}
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    for kind, spread in ({"lag of events": found["lag"]} | found["latency"]).items():
        print(f"{kind:18s} p50 {spread['p50']:8.1f} ms   p95 {spread['p95']:8.1f} ms   max {spread['max']:8.1f} ms   n {spread['n']}")
    for label in ("requests", "changes on disk", "changes not heard of", "memory at start, middle, end: MB", "processors used"):
        print(f"{label}: {found[label]}")
    print(f"errors: {len(seen.errors)}", *seen.errors[:20], sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
