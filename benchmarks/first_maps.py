"""How often `initial.significant` finds a map: ``python -m benchmarks.first_maps [CASE…] [--seeds FIRST LAST] [--iterations N] [--starts N]``.

Every seed is another random particle of 150 Å, other views and another beginning: 60 averages of 48 px of 5 Å, exact projections with a little noise,
off-centre by some ångström. The search is the protocol's, at 16 Å, and its map is laid on the truth in either hand.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.alignment.judge import found_map
from benchmarks.alignment.sets import MASK_DIAMETER, Truth
from cryoloom.numerics.align import significant
from cryoloom.numerics.align.significant import Plan, Schedule, State
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.simulate.phantom import random_phantom, symmetrised
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import density, project

BOX, PIXEL_SIZE, FINEST = 48, 5.0, 16.0
GOOD = 25.0
"""Å to which a map must agree with the truth to count as found."""


@dataclass(frozen=True)
class Case:
    """Symmetry of the particle, given to the search; number of averages; variance of their signal over that of the noise."""

    symmetry: str = "C1"
    count: int = 60
    snr: float = 4.0


CASES = {"c1": Case(), "c4": Case("C4"), "d2": Case("D2"), "o": Case("O"), "noisy": Case(snr=1.0), "few": Case(count=25)}


def made(case: Case, seed: int) -> tuple[np.ndarray, Truth]:
    """Return averages and their truth."""
    rng = np.random.default_rng(seed)
    phantom = symmetrised(random_phantom(seed, 150.0), case.symmetry)
    poses = np.stack([pose_matrix(*angles) for angles in uniform_poses(case.count, rng)])
    origins = rng.normal(size=(case.count, 2)) * 0.6 * PIXEL_SIZE
    images = np.stack([project(phantom, pose, BOX, PIXEL_SIZE, -origin) for pose, origin in zip(poses, origins, strict=True)])
    images += rng.normal(size=images.shape) * np.sqrt(images.var(axis=(1, 2)).mean() / case.snr)
    nothing = np.zeros(case.count, np.int64)
    return images.astype(np.float32), Truth(poses, origins, nothing, nothing > 0, density(phantom, BOX, PIXEL_SIZE), PIXEL_SIZE)


def searched(plan: Plan, start: np.ndarray | None = None) -> State:
    """Return the last state of a search."""
    state = significant.begin(plan, start)
    while state["iteration"] < plan.schedule.iterations:
        state = significant.iterate(plan, state)
    return state


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 9), metavar=("FIRST", "LAST"))
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--starts", type=int, default=6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write("| case | found | median, worst (Å) | CPU s |\n|---|---|---|---|\n")
    for name in given.cases:
        case, reached, seconds = CASES[name], [], []
        for seed in range(given.seeds[0], given.seeds[1] + 1):
            images, truth = made(case, seed)
            begun = time.process_time()
            schedule = Schedule(given.iterations, 0.2, 0.005, 5.0)
            radius = MASK_DIAMETER / 2 / PIXEL_SIZE
            plan = Plan(images, radius, round(BOX * PIXEL_SIZE / FINEST), point_group(case.symmetry), schedule, seed=seed)
            scouts = [searched(significant.scout(plan, number)) for number in range(given.starts)] if given.starts > 1 else []
            best = max(scouts, key=lambda state: state["history"][-1]["correlation"], default=None)
            found = searched(plan, best["map"] if best else None)
            seconds.append(time.process_time() - begun)
            reached.append(found_map(found["map"], truth))
            sys.stderr.write(f"{name}, seed {seed}: {reached[-1]:.1f} Å, {seconds[-1]:.0f} s\n")
        count = sum(one <= GOOD for one in reached)
        figures = f"{np.median(reached):.1f}, {max(reached):.1f} | {np.median(seconds):.0f}"
        sys.stdout.write(f"| {name} | {count} of {len(reached)} | {figures} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
