"""The run process: from ``run.json`` to ``outputs.json`` and an exit record."""

import faulthandler
import json
import logging
import math
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from cryoloom import files
from cryoloom.engine.checkpoint import remove_all
from cryoloom.engine.environment import record_environment
from cryoloom.engine.events import Journal
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.inputs import laid_open, open_inputs
from cryoloom.engine.item import describe
from cryoloom.engine.job import RunJob
from cryoloom.engine.processes import ProcessId
from cryoloom.engine.reuse import Reuse
from cryoloom.engine.state import State
from cryoloom.engine.stream import Stream, clear
from cryoloom.spec.errors import CryoloomError, Failure
from cryoloom.spec.protocol import Protocol

if TYPE_CHECKING:
    from cryoloom.engine.nodes import Nodes

LOG = logging.getLogger("cryoloom.run")
HEARTBEAT = 15.0
"""Seconds between two signs of life, which readers on other computers look for."""
SUPERSEDED = 4
"""Exit code of a run process in whose place a later attempt has begun."""
RESERVE = 1 << 16
"""Bytes kept aside while a run works, so that on a full disk it can still say what happened."""


class Stopped(BaseException):
    """SIGTERM arrived; not an `Exception`, so that no protocol catches it by accident."""


def execute(run: RunFolder, find: Callable[[str], type[Protocol]]) -> int:
    """Carry out this process's attempt of a run; return the exit code.

    Parameters
    ----------
    run
        Its ``run.json`` says what to do; the environment variables ``CRYOLOOM_ATTEMPT`` and ``CRYOLOOM_THREADS`` are the supervisor's.
    find
        Returns the protocol of an id.
    """
    began = time.monotonic()
    attempt, threads = int(os.environ["CRYOLOOM_ATTEMPT"]), int(os.environ["CRYOLOOM_THREADS"])
    files.write_json(run.file("proc", attempt), ProcessId.current().to_json())
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    faulthandler.enable()
    reserve = run.path / f"reserve.{attempt}"
    outcome: dict[str, Any]
    try:
        reserve.write_bytes(bytes(RESERVE))
        journal = Journal(run.path / f"events.{attempt}.jsonl")
        _start_heartbeat(run, attempt)
        with _nodes_of(run, attempt, threads) as nodes:
            _carry_out(run, find, attempt, threads, journal, nodes)
        outcome = {"state": State.FINISHED}
    except Stopped:
        outcome = {"state": State.STOPPED, "message": "stopped on request"}
    except Exception as error:
        LOG.exception("the run failed")
        outcome = _failure(run, error)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reserve.unlink(missing_ok=True)
    files.write_json(run.file("exit", attempt), {**outcome, "spent": _spent(time.monotonic() - began)})
    return 0 if outcome["state"] == State.FINISHED else 1


def _spent(elapsed: float) -> dict[str, float]:
    """Return what the attempt took: seconds, processor seconds of all its processes, and the memory in MB of the largest one."""
    mine, workers = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = max(mine.ru_maxrss, workers.ru_maxrss) / (1e3 if sys.platform == "linux" else 1e6)
    return {
        "seconds": round(elapsed, 2),
        "cpu_seconds": round(sum(each.ru_utime + each.ru_stime for each in (mine, workers)), 2),
        "peak_memory_mb": round(peak),
    }


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _start_heartbeat(run: RunFolder, attempt: int) -> None:
    """Touch a file again and again for readers on other computers; end at once when a later attempt has begun.

    A cluster may give a node up, and the run be tried elsewhere, while the node only lost its network and works on.
    """
    path, pause = run.path / f"heartbeat.{attempt}", threading.Event()

    def beat() -> None:
        while not pause.wait(HEARTBEAT):
            with suppress(OSError):
                path.touch()
            if run.file("claim", attempt + 1).exists():
                LOG.warning("attempt %d has taken over; this one ends", attempt + 1)
                os._exit(SUPERSEDED)

    path.touch()
    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def _failure(run: RunFolder, error: Exception) -> dict[str, Any]:
    if isinstance(error, OSError):
        error = files.storage_failure(error, run.path) or error
    if isinstance(error, CryoloomError):
        state = State.NEEDS_YOU if error.code == "needs-you" else State.FAILED
        return {"state": state, "error": error.code, "message": error.message, "cure": error.cure}
    if isinstance(error, MemoryError):
        cure = "Use fewer threads, smaller boxes or a computer with more memory, then resume."
        return {"state": State.FAILED, "error": "out-of-memory", "message": "The computer's memory is not enough.", "cure": cure}
    return {
        "state": State.FAILED,
        "error": "unexpected",
        "message": f"{describe(error)}.",
        "cure": "`cryoloom log` shows the full account.",
    }


@contextmanager
def _nodes_of(run: RunFolder, attempt: int, threads: int) -> "Iterator[Nodes | None]":
    """Give the nodes of an attempt that has several, and let them go in the end."""
    count = (run.of_attempt("launch", attempt) or {}).get("nodes", 1)
    if count == 1:
        yield None
        return
    from cryoloom.engine.nodes import Nodes  # brings Dask

    nodes = Nodes(run, attempt, count, threads)
    try:
        yield nodes
    finally:
        nodes.close()


def _carry_out(
    run: RunFolder, find: Callable[[str], type[Protocol]], attempt: int, threads: int, journal: Journal, nodes: "Nodes | None"
) -> None:
    record = run.record
    journal.write("state", state=State.RUNNING, attempt=attempt, threads=threads, environment=record_environment(run.root))
    protocol_class = find(record["protocol"])
    if protocol_class.version != record["version"]:
        raise Failure(
            "other-version",
            f"{run.id} was made for version {record['version']} of {record['protocol']}; this program has version {protocol_class.version}.",
            "Start a new run; its results will differ.",
        )
    rounds = Stream(run, find, journal, threads, nodes) if protocol_class.streams else None
    if rounds:
        rounds.follow()
    inputs, hashes = open_inputs(run, find)
    protocol = protocol_class(**record["parameters"], **inputs)
    for hint in protocol.check():
        if hint.error:
            raise Failure("bad-parameter", f"{record['protocol']}: {hint.parameter} {hint.message}.")
    known = all(reference["hash"] for reference in run.references()) and not laid_open(run.path)
    fingerprint = record["fingerprint"] if known else json.loads(json.dumps(protocol.fingerprint()))
    # What depends on more than the project holds is not taken over item by item.
    reuse = Reuse(run) if fingerprint is None else None
    checked = rounds.checked if rounds else None
    job = RunJob(run.path, run.root, seed=record["seed"], threads=threads, journal=journal, nodes=nodes, reuse=reuse, checked=checked)
    out = protocol.run(job)
    outputs = {name: dataset.save(run.path, name, hashed=job.hashed) for name, dataset in out.named().items()}
    published = {
        "outputs": outputs,
        "summary": {label: _plain(value) for label, value in protocol.summary(out).items()},
        "warnings": job.warnings,
        "failed_items": job.failed_items,
        "inputs": hashes,
        "fingerprint": fingerprint,
    }
    files.write_json(run.path / "outputs.json", published)
    remove_all(run.path)
    clear(run)


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return value if isinstance(value, str | int | float | bool | None) else str(value)
