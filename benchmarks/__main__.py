"""All benchmarks on what they simulate in a temporary folder, one thread, some minutes: ``python -m benchmarks``."""

import json
import sys
import tempfile
import time
from pathlib import Path

import cryoloom
from benchmarks import against_truth, tables
from benchmarks.movies import __main__ as movies
from cryoloom.app.process import Plan, process
from cryoloom.app.simulation import simulate

MOTION_SETS = ("demo", "small", "five-frames", "camera", "no-gain-slow", "low-dose", "local")


def chain(folder: Path) -> None:
    """Process a small set of movies from import to map and compare it with its truth."""
    data = folder / "data"
    simulate(data, "demo", 1, overrides={"movies": 6, "frames": 8}, threads=1)
    acquisition = json.loads((data / "acquisition.json").read_text())
    plan = Plan(
        movies=(str(data / acquisition["pattern"]),),
        gain=str(data / acquisition["gain"]),
        **{name: acquisition[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame", "diameter")},
    )
    project = cryoloom.create_project(folder / "project")
    start = time.perf_counter()
    for step in process(project, plan, threads=1):
        sys.stderr.write(f"{time.perf_counter() - start:6.0f} s  {step.run.protocol}\n")
    figures = {"seconds": round(time.perf_counter() - start, 1)} | against_truth.evaluate(data, project)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.stdout.write("Motion against truth\n\n")
        movies.main([str(folder), *MOTION_SETS])
        sys.stdout.write("\nA small set, movies to map, against truth\n\n")
        chain(folder)
        sys.stdout.write("\nTables of a million rows\n\n")
        tables.main([])
