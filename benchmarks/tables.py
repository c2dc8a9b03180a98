"""Sets of a million rows: ``python -m benchmarks.tables [--rows N] [--json]``.

A table of N particles (a million) with 40 columns, stored as refinement leaves it: base, and two layers of columns over it. Seconds are those of
the wall, the best of three; `cold` is the first time in this process, `warm` what follows, as in a browser that stays open. Each figure is measured
in one process, whose largest memory is given at the end.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import cryoloom
from cryoloom import files
from cryoloom.app.session import Project
from cryoloom.data import Particles
from cryoloom.data.identity import new_id_space
from cryoloom.engine.identity import Work
from cryoloom.formats.relion import export_relion
from cryoloom.formats.stack import write_stack
from cryoloom.protocols.sets.join import Join
from cryoloom.protocols.sets.select import Select
from cryoloom.protocols.sets.split import Split
from cryoloom.protocols.sets.subset import Subset
from cryoloom.tables import Dataset

EACH = 500
"""Particles on a micrograph."""
OPTICS = {
    "optics_group": 1, "optics_group_name": "opticsGroup1", "pixel_size": 1.34, "micrograph_pixel_size": 1.34, "box_size": 16, "voltage": 300.0,
    "cs": 2.0, "amplitude_contrast": 0.1, "contrast": "bright", "phase_flipped": False, "ctf_premultiplied": False,
}  # fmt: skip


class Quiet:
    """A job that nobody listens to."""

    seed = 1

    def warn(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")


QUIET: Any = Quiet()


def particles(root: Path, count: int) -> tuple[Particles, list[pl.DataFrame]]:
    """Return a set as extraction leaves it, and the columns that a classification and a refinement lay over it."""
    rng = np.random.default_rng(1)
    number = np.arange(count)
    micrograph = number // EACH + 1
    items = pl.DataFrame(
        {
            "id": (micrograph << 20) + number % EACH, "micrograph_id": micrograph,
            "micrograph_name": pl.Series([f"FoilHole_{m:06d}_Data" for m in range(1, count // EACH + 2)]).gather(micrograph - 1),
            "stack_path": ["data/stack.mrcs"] * count, "stack_index": number % 4, "optics_group": np.ones(count, np.int64),
            "enabled": np.ones(count, bool), "fail_reason": [""] * count,
            **{name: rng.uniform(100, 4000, count) for name in ("x", "y", "defocus_u", "defocus_v", "defocus_angle")},
            "phase_shift": np.zeros(count), "score": rng.random(count),
            **{f"measure_{k}": rng.normal(size=count) for k in range(13)},
        }
    )  # fmt: skip
    classes = {
        "class_id": rng.integers(1, 51, count),
        **{n: rng.normal(size=count) for n in ("match", "log_likelihood", "max_probability")},
    }
    poses = {name: rng.uniform(-90, 90, count) for name in ("rot", "tilt", "psi", "origin_x", "origin_y", "grey_scale")}
    poses |= {"half_set": rng.integers(1, 3, count), "distance": rng.random(count)}
    frames = [pl.DataFrame({"id": items["id"], **columns}) for columns in (classes, poses)]
    return Particles(items, root, optics=[OPTICS], meta={"id_space": new_id_space(items)}), frames


def publish(project: Project, dataset: Dataset) -> str:
    """Store a set as the output of a finished run, and return its name."""
    run = project.folder.new_run(Work("import.particles", 1, {}, seed=len(project.runs())), {})
    manifest = dataset.save(run.path, dataset.kind)
    said = {"outputs": {dataset.kind: manifest}, "summary": {}, "warnings": [], "failed_items": {}, "inputs": {}, "fingerprint": None}
    files.write_json(run.path / "outputs.json", said)
    return f"{run.id}.{dataset.kind}"


def seconds(work: Callable[[], Any], times: int = 3) -> float:
    """Return the least seconds of some attempts."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return round(min(taken), 4)


def pages(project: Project, name: str) -> dict[str, float]:
    """Return the seconds of pages of 1 000 rows: the first of its kind, and one further on."""
    few = ["id", "micrograph_name", "score", "class_id", "defocus_u", "rot", "tilt", "psi"]
    kinds: dict[str, dict[str, Any]] = {
        "all columns": {},
        "8 columns, sorted": {"columns": few, "sort": "score", "descending": True},
        "8 columns, sorted, filtered": {"columns": few, "sort": "score", "where": "class_id in (1, 4, 7) and defocus_u < 3000"},
        "all columns, sorted by name": {"sort": "micrograph_name", "descending": True},
    }
    found = {}
    for words, wanted in kinds.items():
        found[f"page, {words}, cold"] = seconds(lambda wanted=wanted: project.page(name, **wanted), times=1)
        found[f"page, {words}, warm"] = seconds(lambda wanted=wanted: project.page(name, offset=20_000, **wanted))
    rules = iter(f"score > 0.{n}" for n in range(30, 40))
    found["page, 8 columns, sorted, a new rule, warm"] = seconds(lambda: project.page(name, columns=few, sort="score", where=next(rules)))
    return found


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Return all figures."""
    project = cryoloom.create_project(folder / "project")
    made, layers = particles(project.root, count)
    (project.root / "data").mkdir()
    write_stack(project.root / "data" / "stack.mrcs", np.zeros((4, 16, 16), np.float32), 1.34)
    name = publish(project, made)
    for columns in layers:
        name = publish(project, project.output(name).dataset.with_columns(columns))
    del made, layers, columns

    def opened() -> Any:
        return project.output(name).dataset

    def selected() -> Any:
        return Select(items=opened(), where="score > 0.75").run(QUIET).particles

    rule = "score > 0.75 and class_id in (1, 4, 7) and defocus_u < 30000"
    found: dict[str, Any] = {"rows": count, "columns": len(opened().items.columns), **pages(project, name)}
    found["count a rule"] = seconds(lambda: project.preview("sets.select", items=name, where=rule))
    numbers = iter(range(900, 999))
    found["select by rule, id list stored"] = seconds(lambda: selected().save(project.root / "runs" / f"r{next(numbers)}", "particles"))
    quarter = project.output(publish(project, selected())).dataset
    foreign = quarter.with_meta(only=())
    for operation in ("intersection", "difference", "union"):
        found[f"{operation} with a quarter"] = seconds(
            lambda operation=operation: Subset(items=opened(), others=(quarter,), operation=operation).run(QUIET)
        )
    found["compare places of equal ids"] = seconds(lambda: list(Subset(items=opened(), others=(foreign,)).check()))
    found["random half"] = seconds(lambda: Subset(items=opened(), random=True, fraction=0.5).run(QUIET))
    found["split into halves"] = seconds(lambda: Split(items=opened()).run(QUIET))
    parts = Split(items=opened()).run(QUIET).parts
    found["join the halves"] = seconds(lambda: Join(items=parts).run(QUIET))
    found["read the whole set"] = seconds(lambda: opened().items)
    found["largest memory before the export, GiB"] = peak()
    found["export to STAR"] = seconds(lambda: export_relion(opened(), "particles", folder / "out", related={}), times=1)
    found["STAR file, MB"] = round((folder / "out" / "particles.star").stat().st_size / 1e6)
    found["largest memory, GiB"] = peak()
    return found


def peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20), 2)


def main(words: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.rows)
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for words_of, figure in found.items():
        sys.stdout.write(f"{words_of:<45} {figure:>10}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
