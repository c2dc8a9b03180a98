"""A project of ten runs and its server, whose processes are killed at random moments: all that was published stays, nothing of it is
done twice, the end is the same.

``CRYOLOOM_KILLS=100 CRYOLOOM_SEED=7 python -m pytest tests/engine/test_kill_storm.py`` makes it a hundred kills of another seed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from cryoloom.app.session import Project, Run, create_project
from cryoloom.engine.processes import marked
from cryoloom.engine.state import ACTIVE, State

KILLS = int(os.environ.get("CRYOLOOM_KILLS", "12"))
SEED = int(os.environ.get("CRYOLOOM_SEED", "1"))


class Server:
    """`cryoloom serve` for a project, started again whenever it was killed."""

    def __init__(self, project: Project, settings: Path) -> None:
        self.project, self.settings = project, settings
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "cryoloom.cli.main", "serve", str(self.project.root), "--port", "0", "--no-browser"]
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.settings)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout
        address, _, self.token = self.process.stdout.readline().strip().partition("/login?token=")
        self.place = address.removeprefix("http://")

    def start(self, run: Run) -> None:
        """Ask it to start a run; it may die over that."""
        if self.process.poll() is not None:
            self._start()
        path = f"/api/projects/{self.project.root.name}/runs/{run.id}/start"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with suppress(OSError, HTTPException):
            connection = HTTPConnection(self.place, timeout=30)
            connection.request("POST", path, "{}", headers)
            answer = connection.getresponse()
            assert answer.status == 200 or b"CL-run-" in (text := answer.read()), text

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def ten_runs(project: Project, pause: float) -> list:
    """Start ten runs that rest on one another; return them."""
    first = project.run("toy.source", count=7, wait=False)
    second = project.run("toy.source", count=5, seed=2, wait=False)
    one = project.run("toy.add", things=f"{first.id}.things", pause=pause, threads=2, wait=False)
    two = project.run("toy.add", things=f"{second.id}.things", pause=pause, amount=3.0, threads=2, wait=False)
    half = project.run("toy.halve", things=f"{one.id}.things", threads=1, wait=False)
    grown = project.run("toy.grow", steps=8, pause=pause, wait=False)
    other = project.run("toy.grow", steps=5, pause=pause, seed=9, wait=False)
    joined = project.run("toy.join", things=f"{half.id}.things", more=[f"{two.id}.things"], wait=False)
    last = project.run("toy.join", things=f"{grown.id}.things", more=[f"{other.id}.things"], wait=False)
    shell = project.run("toy.shell", script="sleep 0.3; echo done", wait=False)
    return [first, second, one, two, half, grown, other, joined, last, shell]


def hashes(runs: list) -> dict[str, list[str]]:
    return {run.id: [output.hash for output in run.outputs] for run in runs}


def published(runs: list) -> dict[Path, int]:
    """Return how often each item that is published now has been computed."""
    counts = {}
    for run in runs:
        for part in (run.folder.path / "parts").rglob("*.parquet"):
            call = run.folder.path / "calls" / part.stem
            if part.stem.isdigit() and call.exists():
                counts[call] = call.stat().st_size
    return counts


def tokens(runs: list) -> list[str]:
    claims = (run.folder.of_attempt("claim", attempt) for run in runs for attempt in range(1, run.folder.attempt() + 1))
    return [claim["token"] for claim in claims if claim]


def test_a_storm_of_kills_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    calm = ten_runs(create_project(tmp_path / "calm"), 0.0)
    for run in calm:
        run.wait()
    project = create_project(tmp_path / "storm")
    server = Server(project, tmp_path / "settings")
    try:
        _storm(server, ten_runs(project, max(0.25, KILLS / 80)), calm)
    finally:
        server.end()


def _storm(server: Server, runs: list[Run], calm: list[Run]) -> None:
    chance, kills, done_then = random.Random(SEED), 0, {}  # noqa: S311
    deadline = time.monotonic() + 120 + 5 * KILLS
    while any(run.state is not State.FINISHED for run in runs):
        assert time.monotonic() < deadline, {run.id: (run.state, run.reason) for run in runs}
        alive = [pid for token in tokens(runs) for pid in marked(token)]
        alive += [server.process.pid] if alive and server.process.poll() is None else []
        if alive and kills < KILLS:
            time.sleep(chance.random() * 0.3)
            before = published(runs)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(alive), signal.SIGKILL)
                kills += 1
            done_then.update(before)
        for run in runs:
            if run.state not in {*ACTIVE, State.FINISHED}:
                server.start(run) if chance.random() < 0.5 else run.start()
        time.sleep(0.05)
    assert kills > KILLS // 3, "the storm was over before it began"
    assert hashes(runs) == hashes(calm)
    for call, count in done_then.items():
        assert call.stat().st_size == count, f"{call} was computed again after it had been published"
    end = time.monotonic() + 30
    while left := [pid for token in tokens(runs) for pid in marked(token)]:
        assert time.monotonic() < end, left
        time.sleep(0.2)
