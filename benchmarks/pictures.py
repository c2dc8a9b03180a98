"""How long the browser waits for pictures: ``python -m benchmarks.pictures [--json]``.

Micrographs of 4k and 11k px, maps of 256³ to 512³ and 128 class averages of noise, float32, in a temporary folder. Seconds of the wall: the first time,
with nothing kept, and the best of three afterwards. Files have been read before, as those that were just written have.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

import cryoloom
from cryoloom import files
from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project
from cryoloom.data import Classes2D, Micrographs, Volume
from cryoloom.engine.identity import Work
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.server.render import bricks, micrographs, sprites, volumes
from cryoloom.server.render.asset import Asset
from cryoloom.server.render.cache import rendered
from cryoloom.tables import Dataset

CAMERAS = {"4k": (4096, 4096), "11k": (8184, 11520)}
BOXES = (256, 384, 512)


def published(project: Project, dataset: Dataset) -> OutputRef:
    """Store a set as the output of a finished run."""
    run = project.folder.new_run(Work("import.particles", 1, {}, seed=len(project.runs())), {})
    said = {"outputs": {dataset.kind: dataset.save(run.path, dataset.kind)}, "summary": {}, "warnings": [], "failed_items": {}}
    files.write_json(run.path / "outputs.json", {**said, "inputs": {}, "fingerprint": None})
    return project.find(run.id).outputs[dataset.kind]


def cases(project: Project) -> Iterator[tuple[str, Callable[[], Asset]]]:
    """Make the outputs, and yield what is asked for by a name."""
    rng = np.random.default_rng(0)
    (project.root / "data").mkdir()
    for number, (name, shape) in enumerate(CAMERAS.items(), 1):
        write_mrc(project.root / f"data/{name}.mrc", rng.normal(10.0, 3.0, shape).astype(np.float32), 1.0)
        row = {"id": number, "micrograph_name": name, "micrograph_path": f"data/{name}.mrc", "height": shape[0], "width": shape[1]}
        rows = pl.DataFrame([{**row, "optics_group": 1, "enabled": True, "fail_reason": ""}])
        output = published(project, Micrographs(rows, project.root, optics=[{"optics_group": 1, "pixel_size": 1.0}]))
        for binning in (4, 2):
            yield (
                f"{name}, binned by {binning}",
                lambda b=binning, o=output, n=number: micrographs.view(micrographs.find(o, n), b, 0.0, "raw"),
            )
        yield f"{name}, binned by 4, low-passed", lambda o=output, n=number: micrographs.view(micrographs.find(o, n), 4, 20.0, "raw")
        yield f"{name}, first tile at full size", lambda o=output, n=number: micrographs.tile(micrographs.find(o, n), 1, 2, 3)
        yield f"{name}, next tile", lambda o=output, n=number: micrographs.tile(micrographs.find(o, n), 1, 3, 3)
        yield f"{name}, thumbnail", lambda o=output, n=number: micrographs.thumbnail(micrographs.find(o, n))
    for box in BOXES:
        write_mrc(project.root / f"data/{box}.mrc", rng.standard_normal((box, box, box), dtype=np.float32), 1.0, volume=True)
        rows = pl.DataFrame({"id": [1], "volume_path": [f"data/{box}.mrc"], "box_size": [box]})
        output = published(project, Volume(rows, project.root, meta={"pixel_size": 1.0}))
        yield f"{box}³, its numbers", lambda o=output: volumes.described(o)
        yield f"{box}³, slice", lambda o=output: volumes.section(volumes.find(o), "z", None, "png")
        for size in (128, 256):
            yield f"{box}³, brick of {size}", lambda o=output, s=size: bricks.brick(volumes.find(o), s, "u1")
    write_stack(project.root / "data/averages.mrcs", rng.standard_normal((128, 128, 128), dtype=np.float32), 3.0)
    rows = pl.DataFrame({"class_id": range(1, 129), "stack_index": range(128)}).with_columns(
        id="class_id", count=pl.lit(1), stack_path=pl.lit("data/averages.mrcs")
    )
    output = published(project, Classes2D(rows, project.root))
    yield "128 class averages", lambda: sprites.picture(sprites.sheet(output, sprites.Wish()))


def seconds(wanted: Callable[[], Asset]) -> float:
    """Return how long it takes to find and render an asset."""
    start = time.perf_counter()
    rendered(wanted())
    return time.perf_counter() - start


def main(arguments: list[str]) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.pictures")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = str(Path(name) / "cache")
        project = cryoloom.create_project(Path(name) / "project")
        for label, wanted in cases(project):
            found[label] = {"first": seconds(wanted), "again": min(seconds(wanted) for _ in range(3))}
    lines = [f"{label:32s} {1e3 * each['first']:8.1f} ms {1e3 * each['again']:8.1f} ms" for label, each in found.items()]
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if chosen.json else "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
