"""What the engine costs beside the work: processor time of a mapped item, and of looking at a project of many runs.

``python -m benchmarks.engine [--runs 2000] [--items 2000]``; processor seconds, because wall time depends on who else is at work.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(words: list[str]) -> tuple[float, float]:
    """Return wall and processor seconds of a command, the least of three."""
    best = (1e9, 1e9)
    for _ in range(3):
        began, before = time.perf_counter(), children()
        subprocess.run([sys.executable, "-m", "cryoloom.cli.main", *words], check=True, stdout=subprocess.DEVNULL)
        best = min(best, (time.perf_counter() - began, children() - before))
    return best


def multiply(project: Path, runs: int) -> None:
    """Fill a project of two runs with copies of them, ids and paths of their own."""
    for number in range(3, runs + 1):
        source = project / "runs" / f"r{2 - number % 2:03d}"
        target = project / "runs" / f"r{number:03d}"
        target.mkdir()
        for path in source.iterdir():
            if path.is_file():
                text = path.read_bytes()
                (target / path.name).write_bytes(
                    text.replace(source.name.encode(), target.name.encode()) if path.suffix == ".json" else text
                )


def per_item(project: object, items: int) -> float:
    """Return processor milliseconds an item of a map costs beside its work, all processes counted."""
    spent = []
    for count in (items // 10, items):
        source = project.run("benchmark.count", count=count)
        run = project.run("benchmark.nothing", numbers=source.outputs.numbers, threads=1, again=True)
        spent.append(run.spent["cpu_seconds"])
    return 1e3 * (spent[1] - spent[0]) / (items - items // 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--items", type=int, default=2000)
    options = parser.parse_args()
    os.environ["CRYOLOOM_PLUGINS"] = "benchmarks.engine_protocols"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    from cryoloom.app.session import create_project, open_project

    folder = Path(tempfile.mkdtemp())
    try:
        result = {"ms a mapped item": round(per_item(create_project(folder / "items"), options.items), 2)}
        many = create_project(folder / "many")
        source = many.run("benchmark.count", count=3)
        many.run("benchmark.nothing", numbers=source.outputs.numbers, threads=1)
        multiply(many.root, options.runs)
        wall, processor = timed(["status", str(many.root)])
        base = timed(["--version"])[1]
        result |= {
            "runs": options.runs,
            "status: s wall": round(wall, 2),
            "status: s processor": round(processor, 2),
            "of which starting": round(base, 2),
        }
        for which in ("first", "later"):
            opened = open_project(many.root)
            before = time.process_time()
            found = opened.compatible("benchmark.nothing", "numbers")
            result[f"compatible, {which} time: ms"] = round(1e3 * (time.process_time() - before), 1)
            assert len(found) == options.runs
        print(json.dumps(result, indent=1))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
