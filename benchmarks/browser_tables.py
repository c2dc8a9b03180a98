"""Tables and galleries in a real browser: ``python -m benchmarks.browser_tables [--rows N] [--json]``.

A table of N particles (a million) with 40 columns and a gallery of 128 classes of 128 px, in headless chromium at 1280 × 720 on a server of its own.
Seconds from the gesture to what it asks for on screen, the browser's driver included; the first of its kind, and the best of three that follow.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from playwright.sync_api import Page, expect, sync_playwright

import cryoloom
from benchmarks.tables import particles, publish
from cryoloom.data import Classes2D
from cryoloom.formats.stack import write_stack

CHROMIUM = os.environ.get("CRYOLOOM_CHROMIUM", "/usr/bin/chromium")
CLASSES, BOX = 128, 128
COLUMNS = ["id", "micrograph_name", "score", "class_id", "defocus_u", "x", "y", "match", "rot", "tilt", "psi"]


def plant(folder: Path, count: int) -> None:
    """Make the project: the table is ``r003.particles``, the classes ``r004.classes2d``."""
    project = cryoloom.create_project(folder / "large")
    made, layers = particles(project.root, count)
    (project.root / "data").mkdir()
    write_stack(project.root / "data/stack.mrcs", np.zeros((4, 16, 16), np.float32), 1.34)
    name = publish(project, made)
    for columns in layers:
        name = publish(project, project.output(name).dataset.with_columns(columns))
    stack = np.random.default_rng(1).normal(size=(CLASSES, BOX, BOX)).astype(np.float32)
    write_stack(project.root / "data/averages.mrcs", stack, 1.34)
    ids = list(range(1, CLASSES + 1))
    rows = {"id": ids, "class_id": ids, "count": ids, "stack_path": ["data/averages.mrcs"] * CLASSES, "stack_index": list(range(CLASSES))}
    publish(project, Classes2D(pl.DataFrame(rows), project.root))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder of projects and yield the address that lets in."""
    words = [sys.executable, "-m", "cryoloom.cli.main", "serve", str(folder), "--port", "0", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        try:
            printed = next(line for line in process.stdout or () if "login?token=" in line)
            yield printed.split()[0]
        finally:
            process.terminate()


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something took."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 2)


def row(page: Page, number: int) -> Any:
    """Return a row of the table, from 1, once it has its values."""
    return page.locator(f'[role="row"][aria-rowindex="{number + 1}"]').filter(has_text="FoilHole")


def measure(page: Page, count: int) -> dict[str, list[float]]:
    """Return all figures: of each gesture the first time, and the best of those that follow."""
    found: dict[str, list[float]] = {}

    def take(words: str, *gestures: Callable[[], Any]) -> None:
        first, *rest = (seconds(gesture) for gesture in gestures)
        found[words] = [first, min(rest, default=first)]

    def jump(number: int) -> None:
        page.get_by_label("Go to row").fill(str(number))
        page.keyboard.press("Enter")
        expect(row(page, number)).to_be_visible()

    def sort(name: str, state: str) -> None:
        head = page.get_by_role("columnheader").filter(has=page.get_by_role("button", name=re.compile(f"^{name}\\b")))
        before = page.locator('[role="row"][aria-rowindex="2"]').inner_text()
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", state)
        expect(row(page, 1)).not_to_have_text(before)
        expect(row(page, 1)).to_be_visible()

    def wheel() -> None:
        page.get_by_role("grid").hover()
        first = int(page.locator(".grid-row:not(.head)").nth(8).get_attribute("aria-rowindex") or 2)
        for _ in range(20):
            page.mouse.wheel(0, 280)
        expect(row(page, first + 200)).to_be_visible()

    def keep(rule: str) -> None:
        button = page.get_by_role("button", name=re.compile("^Select all"))
        before = button.inner_text()
        page.get_by_label("Filter", exact=True).fill(rule)
        expect(button).not_to_have_text(before)
        expect(row(page, 1)).to_be_visible()

    page.evaluate("names => localStorage.setItem('cryoloom-columns:particles', JSON.stringify(names))", COLUMNS)
    table = "/p/large/analyze/r003/particles/table"
    take("open the table", *[lambda: (page.goto(table), expect(row(page, 1)).to_be_visible())] * 3)
    take("jump to a row", *[lambda number=number: jump(number) for number in (count // 2, count, count // 3, 7)])
    take("turn the wheel by 200 rows", wheel, wheel, wheel)
    jump(1)
    take("sort by score, then downwards", lambda: sort("score", "ascending"), lambda: sort("score", "descending"))
    take("jump in what is sorted", *[lambda number=number: jump(number) for number in (count // 2, count, count // 3)])
    take("filter by a rule (0.5 s are a pause in typing)", lambda: keep("score > 0.25"), lambda: keep("score > 0.75 and class_id < 9"))
    page.goto(table)
    plots = "/p/large/analyze/r003/particles/plots"

    def drawn() -> None:
        page.goto(plots)
        expect(page.locator(".histogram canvas")).to_have_count(5)

    take("open linked histograms of 5 columns", drawn, drawn)

    def gallery() -> None:
        page.goto("/p/large/analyze/r004/classes2d/gallery")
        expect(page.get_by_role("listbox").get_by_role("option")).to_have_count(CLASSES)
        while not page.evaluate(
            "() => performance.getEntriesByType('resource').some(each => /sprite\\?/.test(each.name) && each.responseEnd > 0)"
        ):
            time.sleep(0.01)

    take("open a gallery of 128 classes", gallery, gallery, gallery)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cryoloom-browser-") as name, sync_playwright() as playwright:
        plant(Path(name), wanted.rows)
        with served(Path(name)) as address:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=["--no-sandbox", "--disable-dev-shm-usage"])
            expect.set_options(timeout=60_000)
            page = browser.new_page(viewport={"width": 1280, "height": 720}, base_url=address.partition("/login")[0])
            page.goto(address)
            found = measure(page, wanted.rows)
            browser.close()
    if wanted.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    for words, (first, later) in found.items():
        sys.stdout.write(f"{first:7.2f} s {later:7.2f} s  {words}\n")


if __name__ == "__main__":
    main()
