"""The same tasks by the product, through the run that a user would start, on one thread."""

from pathlib import Path

import cryoloom
from benchmarks.alignment.peer import Cost
from benchmarks.alignment.sets import MASK_DIAMETER, Case
from cryoloom.app.session import Project, Run


def project_of(place: Path) -> Project:
    """Return the project of a set, its particles and the truth as reference imported."""
    folder = place / "project"
    project = cryoloom.open_project(folder) if (folder / "project.json").exists() else cryoloom.create_project(folder)
    project.run("import.particles", path=str(place / "particles.star"), name="particles")
    project.run("import.volume", path=str(place / "truth/volume.mrc"), name="truth")
    return project


def run(place: Path, case: Case, threads: int = 1, seed: int = 0) -> tuple[Run, Cost]:
    """Do the task of a case anew, and return its run and its cost."""
    project = project_of(place)
    particles = project.find("particles").outputs.particles
    symmetry = {"symmetry": case.changes["symmetry"]} if "symmetry" in case.changes else {}
    from_map = {"reference": project.find("truth").outputs.volume, "initial_lowpass": case.lowpass, **symmetry}
    protocol, values = {
        "refine": ("refine.auto", from_map),
        "classify3d": ("classify3d.em", {"classes": case.classes, **from_map}),
        "classify2d": ("classify2d.em", {"classes": case.classes}),
        "initial": ("initial.sgd", symmetry),
    }[case.task]
    done = project.run(
        protocol, particles=particles, mask_diameter=MASK_DIAMETER, seed=seed, threads=threads, again=True, **values
    )  # fmt: skip
    return done, Cost(done.spent["cpu_seconds"], done.spent["peak_memory_mb"])
