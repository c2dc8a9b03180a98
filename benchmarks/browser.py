"""How long a project of many runs takes to be there and to answer, in headless chromium on a served project.

``python -m benchmarks.browser [--runs 500 2000]``; needs playwright and chromium (``CRYOLOOM_CHROMIUM``). Wall time: close other programs.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("CRYOLOOM_CHROMIUM", "/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update")


def plant(projects: Path, runs: int) -> None:
    """Make a project of finished runs that branch as those of people do: copies of one run, each of which takes from a recent one."""
    from cryoloom.app.session import create_project

    project = create_project(projects / f"of-{runs}")
    source = project.run("benchmark.count", count=3, threads=1)
    model = project.run("benchmark.nothing", numbers=source.outputs.numbers, threads=1).folder.path
    draw = random.Random(1)
    for number in range(3, runs + 1):
        name = f"r{number:03d}"
        target = model.with_name(name)
        target.mkdir()
        for path in model.iterdir():
            if path.is_file():
                text = path.read_bytes()
                (target / path.name).write_bytes(text.replace(b"r002", name.encode()) if path.suffix == ".json" else text)
        record = json.loads((target / "run.json").read_text())
        record["inputs"]["numbers"]["run"] = f"r{draw.randint(max(1, number - 12), number - 1):03d}"
        record["created"] += number
        (target / "run.json").write_text(json.dumps(record))


@contextmanager
def served(projects: Path) -> Iterator[str]:
    """Serve the projects while the context lasts; yields the address that lets in."""
    words = [sys.executable, "-m", "cryoloom.cli.main", "serve", str(projects), "--port", "0", "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout
        address = next(found[0] for line in process.stdout if (found := re.search(r"http\S+/login\?token=\S+", line)))
        yield address
    finally:
        process.terminate()
        process.wait()


def measure(page: Any, address: str, projects: Path, runs: int) -> dict[str, float]:
    """Return seconds from asking for the page until boxes are there, until one that is clicked shows its panel, and more."""
    origin, folder = address.split("/login")[0], f"of-{runs}"
    newest = page.locator(f'.react-flow__node[data-id="r{runs:03d}"]')
    told: dict[str, float] = {}
    for which in ("first", "again"):
        began = time.perf_counter()
        page.goto(f"{origin}/p/{folder}", wait_until="commit")
        newest.wait_for()
        told[f"boxes there, {which}"] = time.perf_counter() - began
        newest.click()
        page.locator(".run-head").get_by_text(f"r{runs:03d}").wait_for()
        told[f"a click answered, {which}"] = time.perf_counter() - began
    page.locator(".run-head").get_by_label("Close the panel").click()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "cryoloom.cli.main", "label", str(projects / folder), f"r{runs:03d}", "seen"], check=True)
    changed = time.perf_counter()
    newest.get_by_text("seen").wait_for()
    told["a change seen, after it was made"] = time.perf_counter() - changed
    told["(the command itself)"] = changed - began
    began = time.perf_counter()
    page.get_by_label("List").click()
    page.locator(".run-list .item").first.wait_for()
    told["list in place of canvas"] = time.perf_counter() - began
    return {name: round(seconds, 2) for name, seconds in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[500, 2000])
    options = parser.parse_args()
    os.environ["CRYOLOOM_PLUGINS"] = "benchmarks.engine_protocols"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    from playwright.sync_api import sync_playwright

    projects = Path(tempfile.mkdtemp())
    try:
        for runs in options.runs:
            plant(projects, runs)
        with served(projects) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(address)
            print(json.dumps({f"{runs} runs": measure(page, address, projects, runs) for runs in options.runs}, indent=1))
            browser.close()
    finally:
        shutil.rmtree(projects)


if __name__ == "__main__":
    main()
