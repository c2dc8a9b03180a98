"""Slurm as this program needs it: submit, look at the queue, cancel, and read from a job's log how it ended.

Nothing of Slurm's accounting is used: many sites have none. A job is known by its name, which says project, run and attempt, so that
a submission whose answer was lost is found again.
"""

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryoloom.engine.processes import TOKEN
from cryoloom.engine.site import Site
from cryoloom.engine.state import State
from cryoloom.spec.errors import Failure, WrongUse

PATIENCE = 60.0
"""Seconds that a question to the controller may take."""


@dataclass(frozen=True)
class Job:
    """A job in the queue: its number, Slurm's word for its state, and the reason it waits or the node it runs on."""

    number: str
    state: str
    about: str


def header(site: Site, *, name: str, log: Path, threads: int, after: Sequence[str] = ()) -> list[str]:
    """Return the lines of a batch script that say what the job asks for."""
    named = {"partition": site.partition, "account": site.account, "qos": site.qos, "gres": site.gres}
    options = [
        f"--job-name={name}", f"--output={log}", "--open-mode=append", "--no-requeue", "--nodes=1", "--ntasks=1",
        f"--cpus-per-task={threads}", f"--mem-per-cpu={site.memory}", f"--time={site.time}",
        *(f"--{option}={value}" for option, value in named.items() if value),
        *([f"--dependency=afterany:{':'.join(after)}"] if after else []),
        *site.directives,
    ]  # fmt: skip
    return [f"#SBATCH {option}" for option in options]


def script(site: Site, command: Sequence[str], *, name: str, log: Path, threads: int, after: Sequence[str] = ()) -> str:
    """Return the batch script of an attempt; signals reach the command, which takes the shell's place."""
    asked = header(site, name=name, log=log, threads=threads, after=after)
    return "\n".join(["#!/bin/bash", *asked, *site.prologue, f"exec {shlex.join(command)}"]) + "\n"


def of_nodes(name: str) -> str:
    """Return the name of the jobs of the other nodes that work for the job `name`."""
    return f"{name}-nodes"


def submit(text: str, folder: Path) -> str:
    """Hand a batch script over and return the job's number.

    Raises
    ------
    WrongUse
        ``no-slurm``.
    Failure
        ``not-submitted``, with what Slurm says.
    """
    if shutil.which("sbatch") is None:
        raise WrongUse("no-slurm", "There is no sbatch on this computer.", "Run on a submit host of the cluster, or use --target local.")
    environment = {name: value for name, value in os.environ.items() if name != TOKEN}
    done = subprocess.run(
        ["sbatch", "--parsable", "--chdir", str(folder)], input=text, env=environment, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"code {done.returncode}"
        raise Failure("not-submitted", f"sbatch refused the run: {said}", "See `cryoloom cluster check` and cluster.toml.")
    _seen.clear()
    return done.stdout.strip().partition(";")[0]


def cancel(name: str) -> None:
    """Cancel the jobs of a name and of the nodes that work for it; none there is no error."""
    for each in (name, of_nodes(name)):  # scancel takes one name at a time
        subprocess.run(["scancel", f"--name={each}"], capture_output=True, timeout=PATIENCE, check=False)
    _seen.clear()


_seen: dict[str, Any] = {}


def queue(poll: float) -> tuple[float, Mapping[str, Job]] | None:
    """Return when the queue was last looked at (seconds since 1970) and the user's jobs by name; None while nobody answers.

    Asked again after `poll` seconds at the earliest, once for all runs.
    """
    now = time.time()
    if not _seen or not 0 <= now - _seen["t"] < poll:
        _seen.update(t=now, jobs=_ask())
    return None if _seen["jobs"] is None else (_seen["t"], _seen["jobs"])


def _ask() -> dict[str, Job] | None:
    try:
        done = subprocess.run(
            ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%N|%j"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    jobs = {}
    for line in done.stdout.splitlines():
        number, state, reason, node, name = line.strip().split("|", 4)
        jobs[name] = Job(number, state, node or reason)
    return jobs


_ENDINGS = (
    (r"exceeded (?:job |step )?memory limit|oom[-_ ]kill|out of memory handler", "out-of-memory", "it used more memory than the job was given",
     "Give it more in cluster.toml ([protocols.\"{protocol}\"] memory = …), or use fewer threads, then resume; what is finished is kept."),
    (r"DUE TO TIME LIMIT", "time-limit", "it reached the job's time limit", "Resume goes on from what is finished; `time` in cluster.toml sets the limit."),
    (r"DUE TO PREEMPTION", "preempted", "another job took its place", "Resume goes on from what is finished."),
    (r"DUE TO NODE FAILURE", "node-failed", "its node failed", "Resume goes on from what is finished."),
)  # fmt: skip
"""What Slurm writes into a job's log when it ends it; with code, reason and cure."""

NOT_ITS_FAULT = ("node-failed", "preempted")
"""Codes of ends after which the same may be tried again."""


def ending(log: Path, protocol: str) -> dict[str, Any] | None:
    """Return the exit record of an attempt that left none, as far as its log tells why; Slurm writes that there itself."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - (1 << 16)))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    said = "\n".join(line for line in lines if re.match(r"(?:slurmstepd|slurmd|srun)\S*: ", line))
    for pattern, code, reason, cure in _ENDINGS:
        if re.search(pattern, said, re.IGNORECASE):
            return {"state": State.FAILED, "error": code, "message": f"{reason}.", "cure": cure.format(protocol=protocol)}
    if re.search(r"CANCELLED AT", said):
        return {"state": State.STOPPED, "message": "its job was cancelled"}
    return None
