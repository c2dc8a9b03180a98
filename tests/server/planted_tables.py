"""A project with tables to choose from: picks with scores that are known, and classes with their members."""

import numpy as np
import polars as pl
from planted import publish, written

from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project
from cryoloom.data import Classes2D, Coordinates, CTFs, Micrographs, Particles
from cryoloom.formats.stack import write_stack

OPTICS = [{"optics_group": 1, "pixel_size": 1.5, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
MICROGRAPHS = 10
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
"""The name of the second micrograph, as a STAR file from elsewhere may have it."""


def names() -> list[str]:
    """Return the names of the micrographs."""
    return ["m1", HOSTILE, *(f"m{number}" for number in range(3, MICROGRAPHS + 1))]


def micrographs(project: Project) -> OutputRef:
    """Plant small micrographs of noise."""
    ids = list(range(1, MICROGRAPHS + 1))
    noise = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    paths = [written(project, f"m{each}.mrc", noise) for each in ids]
    rows = {
        "id": ids, "micrograph_name": names(), "micrograph_path": paths, "width": [64] * MICROGRAPHS,
        "height": [64] * MICROGRAPHS, "optics_group": [1] * MICROGRAPHS, "enabled": [each != 3 for each in ids],
        "fail_reason": ["" if each != 3 else "no signal" for each in ids], "motion_total": [10.0 * each for each in ids],
    }  # fmt: skip
    return publish(project, Micrographs(pl.DataFrame(rows), project.root, optics=OPTICS), "motion.correlation")


def ctfs(project: Project, source: OutputRef) -> OutputRef:
    """Plant their transfer functions; the resolution of micrograph n is n + 2 Å, unknown of the last."""
    ids = list(range(1, MICROGRAPHS + 1))
    rows = {
        "id": ids, "micrograph_id": ids, "micrograph_name": names(), "defocus_u": [15000.0] * MICROGRAPHS, "defocus_v": [14000.0] * MICROGRAPHS,
        "defocus_angle": [30.0] * MICROGRAPHS, "phase_shift": [0.0] * MICROGRAPHS,
        "ctf_resolution": [*(each + 2.0 for each in ids[:-1]), None], "optics_group": [1] * MICROGRAPHS,
    }  # fmt: skip
    return publish(project, CTFs(pl.DataFrame(rows), project.root, optics=OPTICS), "ctf.estimate", [source])


def coordinates(project: Project, source: OutputRef, count: int = 1000) -> OutputRef:
    """Plant picks: the score of pick n of N is n / N, so that ``score > 0.75`` are a quarter; each tenth has no strength."""
    ids = np.arange(1, count + 1)
    which = (ids - 1) % MICROGRAPHS
    rows = {
        "id": ids, "micrograph_id": which + 1, "micrograph_name": np.array(names())[which], "x": (ids * 37.0) % 4000, "y": (ids * 91.0) % 4000,
        "score": ids / count, "strength": np.where(ids % 10 == 0, np.nan, ids % 7), "optics_group": np.ones(count, dtype=int),
    }  # fmt: skip
    table = pl.DataFrame(rows).with_columns(pl.col("strength").fill_nan(None))
    meta = {"diameter": 60.0, "id_space": "planted"}
    return publish(project, Coordinates(table, project.root, optics=OPTICS, meta=meta), "pick.blob", [source])


def classes(project: Project, number: int = 12, box: int = 32) -> tuple[OutputRef, OutputRef]:
    """Plant class averages and their members: class n has n of them, and the odd ones are called good."""
    (project.root / "data").mkdir(exist_ok=True)
    yy, xx = np.indices((box, box)) - box / 2
    stack = np.stack([np.exp(-(xx**2 + yy**2) / (10.0 + each)) for each in range(number)]).astype(np.float32)
    write_stack(project.root / "data/averages.mrcs", stack, 3.0)
    ids = list(range(1, number + 1))
    rows = {
        "id": ids, "class_id": ids, "count": ids, "stack_path": ["data/averages.mrcs"] * number, "stack_index": list(range(number)),
        "resolution": [8.0 + each for each in ids], "quality": [each / number for each in ids], "good": [each % 2 == 1 for each in ids],
    }  # fmt: skip
    whole = Classes2D(pl.DataFrame(rows), project.root)
    member = [each for each in ids for _ in range(each)]
    count = len(member)
    write_stack(project.root / "data/particles.mrcs", stack[np.array(member) - 1], 3.0)
    particles = {
        "id": list(range(1, count + 1)), "micrograph_id": [1] * count, "micrograph_name": ["m1"] * count, "optics_group": [1] * count,
        "stack_path": ["data/particles.mrcs"] * count, "stack_index": list(range(count)), "x": [0.0] * count, "y": [0.0] * count,
        "origin_x": [0.0] * count, "origin_y": [0.0] * count, "class_id": member, "enabled": [True] * count, "fail_reason": [""] * count,
    }  # fmt: skip
    optics = [{**OPTICS[0], "box_size": box}]
    members = Particles(pl.DataFrame(particles), project.root, optics=optics, meta={"id_space": "planted"})
    run = publish(project, whole, "classify2d.em", beside={"particles": members}, name="classes").run
    return run.outputs["classes"], run.outputs["particles"]
