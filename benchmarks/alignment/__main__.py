"""Run the comparison and print one line a case: ``python -m benchmarks.alignment FOLDER [CASE…] [--without-peer]``.

Sets, RELION's results and the product's projects stay in FOLDER; RELION's are used again, the product's runs are made anew. What RELION's map
could be at best, from the true poses by ``relion_reconstruct``, is printed of every refinement: it takes a minute where RELION takes hours.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.alignment import judge, ours, peer
from benchmarks.alignment.sets import CASES, LONG, made, truth_of


def line(*cells: Any) -> None:
    """Print one row of a Markdown table."""
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


def main() -> None:
    """Compare the cases named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--without-peer", action="store_true")
    given = parser.parse_args()
    compare = peer.there() and not given.without_peer
    line("case", "program", "CPU s", "ratio", "memory, MB", "figures")
    line(*("---",) * 6)
    for name in given.cases:
        case = (CASES | LONG)[name]
        place = made(name, case, given.folder)
        truth = truth_of(place)
        done, cost = ours.run(place, case)
        line(name, "cryoloom", f"{cost.seconds:.1f}", "", f"{cost.memory:.0f}", _words(judge.of_ours(done, case, truth)))
        if case.task == "refine" and peer.there():
            line(name, "RELION at the true poses", "", "", "", _words(judge.of_peer_at_truth(place, truth)))
        if compare:
            theirs = peer.run(place, case)
            ratio = f"{theirs.seconds / cost.seconds:.1f}"
            line(name, "RELION 3.1.3", f"{theirs.seconds:.1f}", ratio, f"{theirs.memory:.0f}", _words(judge.of_peer(place, case, truth)))


def _words(figures: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in figures.items())


if __name__ == "__main__":
    main()
