"""Starting and stopping: the launcher may die at any time, the attempt belongs to its supervisor."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec

from cryoloom import files
from cryoloom.engine import slurm
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.processes import GRACE, TOKEN, ProcessId, end_marked, marked
from cryoloom.engine.site import read_site
from cryoloom.engine.state import ACTIVE, Life, State, derive
from cryoloom.spec.errors import CryoloomError, Failure, WrongUse

NODES_LOST = 3
"""Attempts in a row that may be lost with the cluster's nodes."""
CANCELLING = 90.0
"""Seconds that a cluster has to end a job that was cancelled: its own grace and more."""


TARGETS = ("local", "slurm")


def start(run: RunFolder, command: Sequence[str], *, threads: int, target: str = "", nodes: int = 0) -> int:
    """Start the next attempt of a run and return its number once its supervisor has claimed it, or the cluster has taken it.

    Parameters
    ----------
    run
        Not active and not finished.
    command
        Program and arguments of the run process; the run's folder is appended.
    threads
        Worker processes and threads that the run may use, on each of its nodes.
    target
        Where it runs, one of `TARGETS`; where it ran before when empty.
    nodes
        Of the cluster; as many as before when 0.

    Raises
    ------
    WrongUse
        ``run-active``: it is at work, or somebody else started it at the same moment. ``run-finished``: nothing is left to do.
        ``run-needs-you``: something has to be decided first. ``nodes-local``, ``nodes-missing``: several nodes without a cluster, or without
        the packages for it.
    Failure
        ``not-started``: the supervisor ended before it could claim the run. ``not-submitted``: the cluster refused it.
    """
    facts = run.facts()
    state = derive(facts).state
    if state is State.FINISHED:
        raise WrongUse("run-finished", f"{run.id} has finished; there is nothing left to do.", "Start a new run with other parameters.")
    if state in ACTIVE:
        raise WrongUse("run-active", f"{run.id} is {state}.", "Wait for it, or stop it first.")
    if facts.needs:
        cure = "Make it anew with what is missing; runs are never changed."
        raise WrongUse("run-needs-you", f"{run.id} cannot be started: {'; '.join(facts.needs)}.", cure)
    target = target or target_of(run)
    if target not in TARGETS:
        raise WrongUse("unknown-target", f"There is no target {target!r}.", f"Targets are {' and '.join(TARGETS)}.")
    attempt = facts.attempt + 1
    supervision = [sys.executable, "-P", "-m", "cryoloom.engine.supervise", str(run.path), str(attempt), str(threads), *command]
    if target == "slurm":
        _submit(run, attempt, supervision, threads, _checked_nodes(nodes or nodes_of(run)))
    elif nodes > 1:
        raise WrongUse("nodes-local", f"{nodes} nodes are of a cluster; this run stays on one computer.", "Add --target slurm.")
    else:
        _start_here(run, attempt, supervision)
    return attempt


def target_of(run: RunFolder) -> str:
    """Return where the last attempt of a run ran; ``local`` before the first."""
    return "slurm" if run.of_attempt("launch", run.attempt()) else "local"


def nodes_of(run: RunFolder) -> int:
    """Return on how many nodes the last attempt of a run ran."""
    return (run.of_attempt("launch", run.attempt()) or {}).get("nodes", 1)


def _checked_nodes(nodes: int) -> int:
    """Return `nodes`, if there is what several take."""
    if nodes > 1 and (absent := [name for name in ("dask_jobqueue", "distributed", "cryptography") if find_spec(name) is None]):
        raise WrongUse(
            "nodes-missing", f"{nodes} nodes take {', '.join(absent)}, not installed.", "pip install 'cryoloom[cluster]', or use --nodes 1."
        )
    return nodes


def lost_with_node(run: RunFolder) -> bool:
    """Return whether a cluster's node, not the run, is to blame for its end, and it may be tried again."""
    facts = run.facts()
    if derive(facts).state is not State.LOST and (facts.exit or {}).get("error") not in slurm.NOT_ITS_FAULT:
        return False
    attempts = itertools.takewhile(
        lambda attempt: run.file("launch", attempt).exists() and not run.file("exit", attempt).exists(), range(run.attempt(), 0, -1)
    )
    return 0 < sum(1 for _ in attempts) < NODES_LOST


def _start_here(run: RunFolder, attempt: int, supervision: Sequence[str]) -> None:
    with files.storage_errors(run.path), run.log(attempt).open("ab") as log:
        supervisor = subprocess.Popen(
            supervision,
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


def _submit(run: RunFolder, attempt: int, supervision: Sequence[str], threads: int, nodes: int) -> None:
    """Hand an attempt to Slurm; it waits there for the runs of the cluster that make its inputs."""
    site = read_site(run.root).of(run.record["protocol"])
    makers = [RunFolder(run.path.parent / name) for name in run.waiting_for()]
    launches = {maker.id: maker.of_attempt("launch", maker.attempt()) or {} for maker in makers}
    if here := [maker.id for maker in makers if maker.is_state(*ACTIVE) and not launches[maker.id]]:
        raise WrongUse(
            "input-open", f"{run.id} takes from {', '.join(here)}, at work on this computer.", "Wait for it, or use --target local."
        )
    if earlier := run.of_attempt("launch", attempt - 1):
        slurm.cancel(earlier["job_name"])  # a ghost must not go on beside this attempt
    project = files.read_json(run.root / "project.json") or {"uuid": "unnamed"}
    name = f"cryoloom-{project['uuid'][:8]}-{run.id}-{attempt}"
    log, before = run.log(attempt), [launch["job"] for launch in launches.values() if launch.get("job")]
    text = slurm.script(site, supervision, name=name, log=log, threads=threads, after=before)
    record = {
        "target": "slurm",
        "job_name": name,
        "threads": threads,
        "nodes": nodes,
        "t": time.time(),
        "by": ProcessId.current().to_json(),
    }
    if not files.claim(run.file("launch", attempt), record):
        raise WrongUse("run-active", f"Somebody else started {run.id} at the same moment.", "Wait for it, or stop it first.")
    try:
        job = slurm.submit(text, run.path)
    except CryoloomError:
        run.file("launch", attempt).unlink()
        raise
    files.write_json(run.file("launch", attempt), {**record, "job": job, "t": time.time()})


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
    if not run.is_state(*ACTIVE):
        return False
    if launch := run.of_attempt("launch", attempt):
        _cancel(run, attempt, launch["job_name"])
        return True
    claim = run.of_attempt("claim", attempt)
    if claim is None:
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


def _cancel(run: RunFolder, attempt: int, name: str) -> None:
    """Cancel the job of an attempt and see that it is gone."""
    files.write_json(run.file("stop", attempt), {"by": ProcessId.current().to_json()})
    slurm.cancel(name)
    deadline = time.monotonic() + CANCELLING
    while time.monotonic() < deadline:
        seen = slurm.queue(0.0)
        if seen is not None and not {name, slurm.of_nodes(name)} & seen[1].keys():
            return
        time.sleep(0.5)
    raise Failure(
        "not-stopped", f"{run.id}: the cluster has not ended its job {name} after {CANCELLING:.0f} s.", "Ask for it again: squeue --me."
    )


def settle(run: RunFolder, *, patience: float = 5.0) -> None:
    """Wait until the processes of a run that has ended are gone; its supervisor looks around for a moment after the last record."""
    deadline = time.monotonic() + patience
    while Life.ALIVE in run.lives(run.attempt()) and time.monotonic() < deadline:
        time.sleep(0.02)
