"""Starting and stopping: the launcher may die at any time, the attempt belongs to its supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from cryoloom import files
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.processes import GRACE, TOKEN, ProcessId, end_marked, marked
from cryoloom.engine.state import ACTIVE, Life, State, derive
from cryoloom.spec.errors import Failure, WrongUse


def start(run: RunFolder, command: Sequence[str], *, threads: int) -> int:
    """Start the next attempt of a run and return its number once its supervisor has claimed it.

    Parameters
    ----------
    run
        Not active and not finished.
    command
        Program and arguments of the run process; the run's folder is appended.
    threads
        Worker processes and threads that the run may use.

    Raises
    ------
    WrongUse
        ``run-active``: it is at work, or somebody else started it at the same moment. ``run-finished``: nothing is left to do.
        ``run-needs-you``: something has to be decided first.
    Failure
        ``not-started``: the supervisor ended before it could claim the run.
    """
    facts = run.facts()
    state = derive(facts).state
    if state is State.FINISHED:
        raise WrongUse("run-finished", f"{run.id} has finished; there is nothing left to do.", "Start a new run with other parameters.")
    if state in ACTIVE:
        raise WrongUse("run-active", f"{run.id} is {state}.", "Wait for it, or stop it first.")
    if facts.needs:
        cure = "Decide that in a new run, or import the workflow again with --set."
        raise WrongUse("run-needs-you", f"{run.id} cannot be started: {'; '.join(facts.needs)}.", cure)
    attempt = facts.attempt + 1
    with files.storage_errors(run.path), run.log(attempt).open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "cryoloom.engine.supervise", str(run.path), str(attempt), str(threads), *command],
            cwd=run.path,
            env={name: value for name, value in os.environ.items() if name != TOKEN},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    mine = run.file("claim", attempt)
    while not mine.exists() and supervisor.poll() is None:
        time.sleep(0.01)
    # Collect the supervisor when it ends, so that it does not stay behind as a zombie of a long-lived launcher.
    threading.Thread(target=supervisor.wait, name=f"supervisor of {run.id}", daemon=True).start()
    claim = run.of_attempt("claim", attempt)
    if claim is None:
        tail = run.log(attempt).read_text(errors="replace").strip()[-500:]
        raise Failure(
            "not-started", f"The supervisor of {run.id} ended with code {supervisor.returncode}: {tail}", "Run `cryoloom doctor`."
        )
    if claim["supervisor"]["pid"] != supervisor.pid:
        raise WrongUse("run-active", f"Somebody else started {run.id} at the same moment.", "Wait for it, or stop it first.")
    return attempt


def stop(run: RunFolder, *, grace: float = GRACE) -> bool:
    """End the run's attempt and everything it started; False when there was nothing to end.

    The run process gets `grace` seconds to end by itself; what is still there afterwards is killed, and seen to be gone.

    Raises
    ------
    WrongUse
        ``run-elsewhere``: its processes live on another computer.
    Failure
        ``not-stopped``: a process survived being killed (the kernel is waiting for a disk, usually).
    """
    attempt = run.attempt()
    claim = run.of_attempt("claim", attempt)
    if claim is None or not run.is_state(*ACTIVE):
        return False
    supervisor = ProcessId.from_json(claim["supervisor"])
    record = run.of_attempt("proc", attempt)
    process = ProcessId.from_json(record) if record else None
    if not (process or supervisor).here:
        raise WrongUse("run-elsewhere", f"{run.id} runs on {supervisor.host}.", f"Stop it there: cryoloom stop … {run.id}.")
    files.write_json(run.file("stop", attempt), {"by": ProcessId.current().to_json()})
    for target in (process, supervisor):
        if target and target.alive:
            with suppress(ProcessLookupError):
                os.kill(target.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while Life.ALIVE in run.lives(attempt) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not end_marked(claim["token"]):
        survivors = ", ".join(str(pid) for pid in marked(claim["token"]))
        raise Failure(
            "not-stopped", f"{run.id}: processes {survivors} cannot be killed.", "Wait for the file system, or restart the computer."
        )
    return True


def settle(run: RunFolder, *, patience: float = 5.0) -> None:
    """Wait until the processes of a run that has ended are gone; its supervisor looks around for a moment after the last record."""
    deadline = time.monotonic() + patience
    while Life.ALIVE in run.lives(run.attempt()) and time.monotonic() < deadline:
        time.sleep(0.02)
