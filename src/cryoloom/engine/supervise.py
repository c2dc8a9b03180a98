"""The supervisor of one attempt: claims it, waits for its inputs, starts the run process, and records its end if that could not.

Run as ``python -m cryoloom.engine.supervise RUN_FOLDER ATTEMPT THREADS COMMAND...``. It loads nothing heavy: a blocked run costs a sleeping
interpreter. Killing it does not harm the run process, which writes its own exit record.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from uuid import uuid4

from cryoloom import files
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.processes import GRACE, TOKEN, ProcessId, end_marked
from cryoloom.engine.state import ACTIVE, State

ALREADY_CLAIMED = 3
ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"), "1"
)
"""Parallelism is over items and blocks, in fixed order; a library that splits sums over its own threads would change the bits."""


class StopAsked(BaseException):
    """SIGTERM arrived."""


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StopAsked


def supervise(run: RunFolder, attempt: int, threads: int, command: Sequence[str]) -> int:
    """Carry out one attempt from claim to exit record; return the exit code of the supervisor."""
    signal.signal(signal.SIGTERM, _stop)
    token = uuid4().hex
    os.environ[TOKEN] = token
    if not files.claim(run.file("claim", attempt), {"supervisor": ProcessId.current().to_json(), "token": token, "threads": threads}):
        return ALREADY_CLAIMED
    child: subprocess.Popen[bytes] | None = None
    try:
        _end_earlier(run, attempt)
        if not _wait_for_inputs(run, attempt):
            return 0
        environment = {**os.environ, **ONE_THREAD, TOKEN: token, "CRYOLOOM_ATTEMPT": str(attempt), "CRYOLOOM_THREADS": str(threads)}
        child = subprocess.Popen([*command, str(run.path)], env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        child.wait()
        asked = False
    except StopAsked:
        asked = True
        if child is not None:
            _end(child)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_marked(token)
    (run.path / f"reserve.{attempt}").unlink(missing_ok=True)
    superseded = run.file("claim", attempt + 1).exists()
    if run.of_attempt("exit", attempt) is None and run.published() is None and not superseded:
        code = child.returncode if child else None
        asked = asked or run.file("stop", attempt).exists()
        files.write_json(run.file("exit", attempt), _exit_record(code, asked))
    return 0


def _end_earlier(run: RunFolder, attempt: int) -> None:
    """Kill what earlier attempts left behind, and remove the files they were writing; an orphan must not publish beside this attempt."""
    for number in range(1, attempt):
        claim = run.of_attempt("claim", number)
        if claim and ProcessId.from_json(claim["supervisor"]).here:
            end_marked(claim["token"])
    for unfinished in run.path.rglob(".*.tmp") if attempt > 1 else ():
        unfinished.unlink(missing_ok=True)


def _wait_for_inputs(run: RunFolder, attempt: int) -> bool:
    """Wait for the runs that make the inputs; a node of a cluster is not kept for those that have ended without them."""
    while absent := run.waiting_for():
        with suppress(OSError):
            (run.path / f"heartbeat.{attempt}").touch()
        if run.file("launch", attempt).exists() and not any(RunFolder(run.path.parent / name).is_state(*ACTIVE) for name in absent):
            message = f"{', '.join(absent)}, which it takes from, ended without an output."
            record = {"state": State.FAILED, "error": "input-missing", "message": message, "cure": "Resume that one first, then this."}
            files.write_json(run.file("exit", attempt), record)
            return False
        time.sleep(1.0)
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE - 2)  # leaves the one who asked time to see the exit record
        return
    child.kill()
    child.wait()


def _exit_record(code: int | None, asked: bool) -> dict[str, object]:
    if asked:
        return {"state": State.STOPPED, "message": "stopped on request", "code": code}
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "linux" else 1e9)
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        cure = "If nobody killed it, the computer ran out of memory: use fewer threads. Resume keeps what is finished."
        message = f"The run process was killed by signal {-code} ({name}); its largest memory was {peak:.2f} GB."
        return {"state": State.FAILED, "error": "killed", "message": message, "cure": cure, "code": code, "signal": -code}
    message = f"The run process ended with code {code} and said nothing."
    return {"state": State.FAILED, "error": "ended-silently", "message": message, "cure": "Its log may tell more.", "code": code}


if __name__ == "__main__":
    folder, attempt, threads, *command = sys.argv[1:]
    sys.exit(supervise(RunFolder(Path(folder)), int(attempt), int(threads), command))
