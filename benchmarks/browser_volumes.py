"""How long the browser takes to show maps: ``python -m benchmarks.browser_volumes [--box 256] [--json]``.

A simulated map in a temporary project, `cryoloom serve` in a process of its own with nothing kept, and headless chromium that draws by software. Seconds of
the wall, and of the processors in server and browser together, from the click or the address on: the page with the first surface (128³ of the map's
voxels), the surface in full detail, a new level of either, three slices, and the views of a million particles.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
from playwright.sync_api import sync_playwright
from scipy.ndimage import gaussian_filter

import cryoloom
from benchmarks.pictures import published
from cryoloom.data import Particles, Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.geometry.euler import matrix_to_euler, random_rotations

CHROMIUM = os.environ.get("CRYOLOOM_CHROMIUM", "/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage")
PARTICLES = 1_000_000
Taken = tuple[float, float]
"""Seconds of the wall and of the processors."""
LONGEST = 120.0
"""Seconds that anything is waited for."""


def chain(box: int) -> np.ndarray:
    """Return the density ``(box, box, box)`` of a chain that wanders within half the box, in noise."""
    rng = np.random.default_rng(1)
    place, volume = np.zeros(3), rng.normal(0, 0.02, (box,) * 3).astype(np.float32)
    points = np.zeros((box,) * 3, dtype=np.float32)
    for _ in range(20 * box):
        step = place + rng.normal(0, box / 60, 3)
        place = step if np.linalg.norm(step) < box / 4 else 0.9 * place
        points[tuple(np.rint(place).astype(int) + box // 2)] += 1.0
    smooth = gaussian_filter(points, box / 100)
    return volume + smooth / smooth.max()


def workplace(folder: Path, box: int) -> None:
    """Make a project ``maps`` with a map (r001) and a million particles with views (r002)."""
    project = cryoloom.create_project(folder / "maps")
    (project.root / "data").mkdir()
    write_mrc(project.root / "data/map.mrc", chain(box), 1.0, volume=True)
    rows = pl.DataFrame({"id": [1], "volume_path": ["data/map.mrc"], "box_size": [box]})
    published(project, Volume(rows, project.root, meta={"pixel_size": 1.0}))
    rot, tilt, _ = matrix_to_euler(random_rotations(PARTICLES, np.random.default_rng(2)))
    some = {"micrograph_id": 1, "stack_path": "data/p.mrcs", "optics_group": 1}
    rows = (
        pl.DataFrame({"rot": rot, "tilt": tilt})
        .with_row_index("id", 1)
        .with_columns(pl.lit(value).alias(name) for name, value in some.items())
    )
    rows = rows.with_columns(pl.col("id").cast(pl.Int64), stack_index=pl.col("id").cast(pl.Int64))
    published(project, Particles(rows, project.root, optics=[{"optics_group": 1, "pixel_size": 1.0}]))


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the projects of a folder, and give the address with the token."""
    words = (sys.executable, "-m", "cryoloom.cli.main", "serve", str(folder), "--port", "0", "--no-browser")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(folder.parent / "cache")}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert process.stdout
        yield next(found[0] for line in process.stdout if (found := re.search(r"http://\S+/login\?token=\S+", line)))
    finally:
        process.terminate()
        process.wait(20)


def until(page: Any, condition: str) -> None:
    """Wait until an expression of the page is true; Playwright's own waiting needs what the page's policy forbids."""
    latest = time.perf_counter() + LONGEST
    while not page.evaluate(f"() => Boolean({condition})"):
        if time.perf_counter() > latest:
            raise TimeoutError(condition)
        page.wait_for_timeout(20)


def processor_seconds() -> float:
    """Return what this process and all that it has started have taken."""
    total, this = 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total


def measure(page: Any, origin: str) -> Iterator[tuple[str, Taken]]:
    """Yield what was done and how many seconds it took."""

    def timed(act: Callable[[], Any], condition: str) -> Taken:
        start, before = time.perf_counter(), processor_seconds()
        act()
        until(page, condition)
        return time.perf_counter() - start, processor_seconds() - before

    surface = "document.querySelector('.stage canvas[data-triangles]')?.dataset"
    triangles = f"Number({surface}?.triangles)"
    level = page.get_by_role("spinbutton", name="Level")

    def new_level(factor: float) -> tuple[Taken, str]:
        before = page.evaluate(f"() => {triangles}")
        wanted = str(float(level.input_value()) * factor)
        detail = page.evaluate(f"() => {surface}.detail")
        return timed(lambda: level.fill(wanted), f"{triangles} > 0 && {triangles} !== {before} && {surface}.detail === '{detail}'"), detail

    yield "address to first surface", timed(lambda: page.goto(f"{origin}/p/maps/analyze/r001/volume/surface"), f"{triangles} > 0")
    taken, detail = new_level(1.2)
    yield f"another level, {detail}³", taken
    full = page.get_by_role("button", name="Full detail")
    if full.count():
        yield "full detail", timed(full.click, f"Number({surface}?.detail) > 128")
        taken, detail = new_level(0.9)
        yield f"another level, {detail}³", taken
    slices = "[...document.querySelectorAll('.pane .picture canvas')].filter(each => each.width > 16 && each.width !== 300).length === 3"
    yield "three slices", timed(lambda: page.get_by_role("tab", name="Slices").click(), slices)
    views = "document.querySelector('output[aria-label=Summary]')"
    yield f"views of {PARTICLES:,} particles", timed(lambda: page.goto(f"{origin}/p/maps/analyze/r002/particles/orientations"), views)


def main(arguments: list[str]) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.browser_volumes")
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "projects"
        workplace(folder, chosen.box)
        with serving(folder) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(address)
            found = dict(measure(page, address.split("/login")[0]))
            browser.close()
    lines = [f"{label:32s} {wall:7.2f} s {processors:7.2f} s of processors" for label, (wall, processors) in found.items()]
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if chosen.json else "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
