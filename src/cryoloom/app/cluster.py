"""Where runs can work, and a trial of the cluster: one short job from submission to the file it leaves behind."""

import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryoloom.engine import slurm
from cryoloom.engine.site import read_site
from cryoloom.spec import Failure, WrongUse

PROBE = """
import json, os, pathlib, socket, sys
import cryoloom.engine.supervise
answer = {"node": socket.gethostname(), "python": sys.version.split()[0], "cores": len(os.sched_getaffinity(0))}
pathlib.Path(sys.argv[1]).write_text(json.dumps(answer))
"""


@dataclass(frozen=True)
class Target:
    """A place where runs can work: its name in `Run.start`, what people call it, and why it cannot be used, if so."""

    name: str
    title: str
    reason: str = ""


def targets(project: Path) -> list[Target]:
    """Return the places there are for the runs of a project; whether the cluster takes a job only a `trial` tells."""
    return [Target("local", "this computer"), Target("slurm", "cluster (Slurm)", _why_no_cluster(project))]


def _why_no_cluster(project: Path) -> str:
    if shutil.which("sbatch") is None:
        return "The command sbatch is not installed here."
    try:
        read_site(project)
    except WrongUse as error:
        return f"{error.message} {error.cure}"
    return ""


def trial(project: str, patience: float) -> dict[str, Any]:
    """Send a job that writes a file into the folder `project`, and return what it says of its node, with the settings used.

    Raises
    ------
    WrongUse
        ``no-slurm``, ``bad-cluster-file``, ``not-a-folder``.
    Failure
        ``not-submitted``; ``trial-failed``: the job ended without its file, with what its log says; ``trial-waits``: it is still in the queue.
    """
    folder = Path(project).resolve()
    if not folder.is_dir():
        raise WrongUse("not-a-folder", f"{project} is not a folder.", "Give a project, or any folder on a disk that the nodes see.")
    site = read_site(folder)
    name = f"cryoloom-trial-{uuid4().hex[:8]}"
    answer, log = folder / f".{name}.json", folder / f".{name}.log"
    command = [sys.executable, "-P", "-c", PROBE, str(answer)]
    began = time.monotonic()
    try:
        number = slurm.submit(slurm.script(site, command, name=name, log=log, threads=1), folder)
        state = "PENDING"
        while not answer.exists():
            seen = slurm.queue(1.0)
            if seen is not None and name not in seen[1] and not answer.exists():
                said = log.read_text(errors="replace").strip()[-500:] if log.exists() else "nothing"
                raise Failure(
                    "trial-failed", f"Job {number} ended without its file; it said: {said}", "See that the nodes see this folder."
                )
            state = seen[1][name].state if seen and name in seen[1] else state
            if time.monotonic() - began > patience:
                slurm.cancel(name)
                raise Failure("trial-waits", f"Job {number} is {state} after {patience:.0f} s.", "Give --wait more, or another partition.")
            time.sleep(0.5)
        told = json.loads(answer.read_text(encoding="utf-8"))
    finally:
        answer.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
    settings = {key: value for key, value in asdict(site).items() if value and key != "protocols"}
    return {"settings": settings, "job": number, **told, "seconds": round(time.monotonic() - began, 1)}
