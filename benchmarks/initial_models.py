"""How often a first map is found, and how good: ``python -m benchmarks.initial_models FOLDER [CASE…] [--seeds FIRST LAST]``.

Every case is a set of ``s1`` with changes; the whole protocol runs with its defaults from another random start for each seed, and its map is
laid on the truth in either hand. Sets and projects stay in FOLDER.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alignment.judge import found_map
from benchmarks.alignment.ours import project_of
from benchmarks.alignment.sets import truth_of
from cryoloom.app.simulation import simulate
from cryoloom.formats.mrc import read_mrc

GOOD = 20.0
"""Å to which a map must agree with the truth to count as found."""


@dataclass(frozen=True)
class Case:
    """Changes of the preset ``s1``, and the mask's diameter in Å; the symmetry of the phantom is given to the protocol."""

    changes: dict[str, Any]
    mask_diameter: float = 170.0


CASES = {
    "s1": Case({"particles": 2000}),
    "s1-all": Case({}),
    "snr05": Case({"particles": 1500, "snr": 0.05}),
    "c4": Case({"particles": 1000, "symmetry": "C4"}),
    "d2": Case({"particles": 1000, "symmetry": "D2"}),
    "o": Case({"particles": 1000, "symmetry": "O"}),
    "i1": Case({"particles": 1000, "symmetry": "I1"}),
    "cluster": Case({"particles": 1000, "phantom_seed": 9, "phantom_diameter": 150}, 165.0),
    "rod": Case({"particles": 1000, "phantom_seed": 7, "phantom_diameter": 200, "phantom_shape": "rod"}, 220.0),
    "ring": Case({"particles": 1000, "phantom_seed": 11, "phantom_diameter": 190, "phantom_shape": "ring"}, 210.0),
}


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 9), metavar=("FIRST", "LAST"))
    given = parser.parse_args()
    sys.stdout.write("| case | found | median, worst (Å) | CPU s |\n|---|---|---|---|\n")
    for name in given.cases:
        case, place = CASES[name], given.folder / name
        if not (place / "particles.star").exists():
            simulate(place, "s1", 3, overrides=case.changes, threads=1)
        project, truth = project_of(place), truth_of(place)
        particles = project.find("particles").outputs.particles
        reached, seconds = [], []
        for seed in range(given.seeds[0], given.seeds[1] + 1):
            done = project.run(
                "initial.sgd", particles=particles, mask_diameter=case.mask_diameter, symmetry=case.changes.get("symmetry", "C1"),
                seed=seed, threads=1, again=True,
            )  # fmt: skip
            volume = done.outputs.volume
            reached.append(found_map(read_mrc(volume.file(volume.items["volume_path"][0])).data, truth, case.mask_diameter))
            seconds.append(done.spent["cpu_seconds"])
        found = sum(one <= GOOD for one in reached)
        figures = f"{np.median(reached):.1f}, {max(reached):.1f} | {np.median(seconds):.0f}"
        sys.stdout.write(f"| {name} | {found} of {len(reached)} | {figures} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
