"""The demo: movies simulated, then processed by the plan that fits them.

``python -m cryoloom.app.demo PROJECT`` carries the plan out, in a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from cryoloom.app.process import Plan, process
from cryoloom.app.session import Project, create_project, open_project
from cryoloom.spec import Failure

PRESET, SEED = "demo", 1
SIMULATION = ("-m", "cryoloom.cli.main", "simulate")


def plan_of(data: Path) -> Plan:
    """Return the plan for simulated movies in the folder `data`."""
    told = json.loads((data / "acquisition.json").read_text(encoding="utf-8"))
    return Plan(
        movies=(os.path.abspath(data / "movies" / "*"),),
        gain=os.path.abspath(data / told["gain"]) if told["gain"] else "",
        **{name: told[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "diameter", "dose_per_frame")},
    )


def begin(folder: Path) -> Project:
    """Make a project at `folder`, with its simulated movies in ``data``, and start to process them in another process.

    What was interrupted before it had a plan is gone on with; a demo that was begun is returned as it is. Takes half a minute.

    Raises
    ------
    WrongUse
        ``project-exists`` when something else is there.
    Failure
        ``no-demo``: what the simulation said.
    """
    project = open_project(folder) if (folder / "project.json").exists() else create_project(folder, "Demo")
    if project.runs() or Plan.read(project):
        return project
    data = folder / "data"
    if not data.exists():
        # Another process, for this one has others to answer meanwhile.
        made = subprocess.run(
            [sys.executable, *SIMULATION, str(data), "--preset", PRESET, "--seed", str(SEED)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise Failure("no-demo", f"The demo's movies could not be simulated: {made.stderr.strip()[-500:]}", "Run `cryoloom doctor`.")
    plan_of(data).write(project)
    start(folder)
    return project


def start(folder: Path) -> None:
    """Carry out the plan of the project in `folder`, in a process that outlives this one."""
    with (folder / "demo.log").open("ab") as log:
        words = [sys.executable, "-m", "cryoloom.app.demo", str(folder)]
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def main(folder: str) -> None:
    """Carry out the plan of the project in `folder`."""
    project = open_project(folder)
    plan = Plan.read(project)
    assert plan is not None, "begin writes it"
    for _ in process(project, plan, resuming=True):
        pass


if __name__ == "__main__":
    main(sys.argv[1])
