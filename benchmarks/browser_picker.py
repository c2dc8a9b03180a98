"""How long large micrographs take to be seen, and a pick to be marked among thousands, in headless chromium on a served project.

``python -m benchmarks.browser_picker [--sides 4096x4096 11520x8184] [--picks 2000]``; needs playwright and chromium (``CRYOLOOM_CHROMIUM``).
WebGL is by software there, which is slower than any graphics card. Wall time: close other programs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cryoloom
from benchmarks.browser import CHROMIUM, FLAGS, served
from cryoloom.formats.mrc import write_mrc
from cryoloom.spec import Failure

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
SIZE = 1.0
"""Å/px."""
CLICKS = 20

# From the release of the button until the work of the frame in which the count has changed and the mark is drawn is done. (To read pixels back would
# take longer than to draw them.) When the screen shows that frame is a matter of the machine's compositor.
MARKED = """() => new Promise(done => {
    const told = document.querySelector('[aria-label="Picks on this micrograph"]'), before = told.textContent;
    addEventListener('pointerup', () => {
        const began = performance.now();
        const look = () => told.textContent === before ? requestAnimationFrame(look)
            : setTimeout(() => done(performance.now() - began), 0);
        requestAnimationFrame(look);
    }, {once: true, capture: true});
})"""


def plant(projects: Path, width: int, height: int, picks: int) -> None:
    """Make a project of two micrographs of noise, the first of them with picks, whose second run waits for somebody who picks."""
    rng = np.random.default_rng(1)
    folder = projects.parent / f"data-{width}"
    folder.mkdir()
    for number in (1, 2):
        write_mrc(folder / f"m{number}.mrc", rng.normal(100, 20, (height, width)).astype(np.float32), SIZE)
    project = cryoloom.create_project(projects / f"of-{width}")
    acquisition = {"pixel_size": SIZE, "voltage": 300, "cs": 2.7, "amplitude_contrast": 0.1}
    imported = project.run("import.micrographs", pattern=str(folder / "*.mrc"), threads=1, **acquisition)
    try:
        project.run("pick.manual", micrographs=imported.outputs.micrographs, diameter=width / 60, threads=1)
    except Failure as waits:
        assert waits.code == "run-needs-you", waits  # noqa: PT017 (any other failure is one)
    places = np.stack([rng.uniform(0, width - 1, picks), rng.uniform(0, height - 1, picks)], axis=1)
    project.picking("r002").add_many(1, places.tolist())


def measure(page: Any, origin: str, name: str) -> dict[str, float]:
    """Return seconds until a micrograph is seen, coarse and at 1:1, first and when the server has made it before, and those of a mark."""
    told: dict[str, float] = {}
    settled = '.image-canvas[aria-busy="false"]'
    seen = partial(
        page.wait_for_function, "each => document.querySelector(each) !== null", polling="raf"
    )  # a locator looks every 0.5 s only
    for which in ("first", "again"):
        began = time.perf_counter()
        page.goto(f"{origin}/p/{name}/pick/r002?m=2", wait_until="commit")
        seen(arg='.image-canvas[data-binning="4"]')
        told[f"page asked for to first view, {which}"] = time.perf_counter() - began
        seen(arg=settled)
        began = time.perf_counter()
        with page.expect_response(lambda answer: "/micrographs/1/view" in answer.url):
            page.get_by_role("button", name="Previous micrograph").click()
        seen(arg='.image-canvas[data-binning="4"]')
        told[f"next micrograph to first view, {which}"] = time.perf_counter() - began
        began = time.perf_counter()
        page.locator(".image-surface").press("1")
        seen(arg='.image-canvas[data-binning="1"][aria-busy="false"]')
        told[f"1:1 in full detail, {which}"] = time.perf_counter() - began
    page.locator(".image-surface").press("0")
    page.wait_for_timeout(2000)
    box = page.locator(".image-surface").bounding_box()
    marks = []
    for number in range(CLICKS):
        marking = page.evaluate_handle(f"() => {{ window.marked = ({MARKED})() }}")
        page.mouse.click(box["x"] + box["width"] / 2 + 9 * number - 90, box["y"] + box["height"] / 2 + 7 * (number % 5))
        marks.append(page.evaluate("() => window.marked"))
        marking.dispose()
        page.wait_for_timeout(300)
    told["click to mark, median, ms"], told["click to mark, slowest, ms"] = statistics.median(marks), max(marks)
    return {label: round(value, 3 if value < 10 else 1) for label, value in told.items()}


def main(words: list[str]) -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", default=["4096x4096", "11520x8184"])
    parser.add_argument("--picks", type=int, default=2000)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        projects = Path(folder) / "projects"
        os.environ["XDG_CACHE_HOME"] = folder  # so that "first" is so
        sides = [tuple(map(int, each.split("x"))) for each in given.sides]
        for width, height in sides:
            plant(projects, width, height, given.picks)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*FLAGS, *WEBGL])
        with served(projects) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(120_000)
            page.goto(address)
            for width, _ in sides:
                sys.stdout.write(json.dumps({f"of-{width}": measure(page, address.split("/login")[0], f"of-{width}")}, indent=1) + "\n")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
