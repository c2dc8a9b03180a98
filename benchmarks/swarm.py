"""What a swarm makes of several first maps: ``python -m benchmarks.swarm FOLDER [CASE…] [--trials FIRST LAST] [--iterations N]``.

Every trial is a set of another phantom. Its candidates are the truth at 30 Å with as broad a noise of their own, turned at random; in ``wrong`` a third
one is the map of another particle. A map's worth is its shell correlation with the truth, laid on it, as the mean to the target of 12 Å.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.alignment.ours import project_of
from benchmarks.alignment.sets import truth_of
from cryoloom.app.simulation import simulate
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.align.maps import align_map, moved_map
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.symmetry import turned_map
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density

Map = NDArray[np.float32]

SET = {"particles": 600, "box": 32, "pixel_size": 6.0, "snr": 0.05}
MASK_DIAMETER, DETAIL, NOISE, TARGET = 170.0, 30.0, 0.6, 12.0
CASES = ("similar", "wrong")


def candidates(truth: Map, pixel_size: float, case: str, trial: int) -> list[Map]:
    """Return the first maps of a trial."""
    rng = np.random.default_rng(trial)
    coarse, inside = lowpass(truth, pixel_size, DETAIL), spherical_mask(len(truth), MASK_DIAMETER / 2 / pixel_size, 3.0)
    found = []
    for _ in range(2):
        noise = lowpass(rng.normal(size=truth.shape).astype(np.float32), pixel_size, DETAIL) * inside
        found.append(coarse + noise * np.float32(NOISE * coarse.std() / noise.std()))
    if case == "wrong":
        other = lowpass(density(random_phantom(1000 + trial, 160.0), len(truth), pixel_size), pixel_size, DETAIL)
        found.append(other * np.float32(coarse.std() / other.std()))
    return [turned_map(one, turn).astype(np.float32) for one, turn in zip(found, random_rotations(len(found), rng), strict=True)]


def worth(volume: Map, truth: Map, pixel_size: float) -> float:
    """Return the mean shell correlation of a map with the truth, in whichever hand and frame is best."""
    moved = moved_map(volume, align_map(volume, truth, pixel_size, try_hand=True), pixel_size)
    return float(fourier_shell_correlation(moved, truth)[1 : int(len(truth) * pixel_size / TARGET) + 1].mean())


def main() -> None:
    """Print one row a trial, and for each case how often the result is 5 % above the best candidate, and not 2 % below it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--trials", type=int, nargs=2, default=(0, 9), metavar=("FIRST", "LAST"))
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the protocol")
    given = parser.parse_args()
    more = dict(one.split("=", 1) for one in given.set)
    sys.stdout.write("| case, trial | candidates | members | result | CPU s |\n|---|---|---|---|---|\n")
    for case in given.cases:
        better, kept = 0, 0
        for trial in range(given.trials[0], given.trials[1] + 1):
            place = given.folder / f"trial{trial}"
            if not (place / "particles.star").exists():
                simulate(place, "s1", trial, overrides=SET | {"phantom_seed": 100 + trial}, threads=1)
            project, truth = project_of(place), truth_of(place)
            maps, paths = candidates(truth.volume, truth.pixel_size, case, trial), []
            for number, one in enumerate(maps):
                paths.append(place / f"{case}{number}.mrc")
                write_mrc(paths[-1], one, truth.pixel_size, volume=True)
            volumes = [project.run("import.volume", path=str(path), name=path.stem).outputs.volume for path in paths]
            done = project.run(
                "initial.swarm", particles=project.find("particles").outputs.particles, volumes=volumes, mask_diameter=MASK_DIAMETER,
                iterations=given.iterations, seed=trial, threads=1, again=True, **more,
            )  # fmt: skip
            before = [worth(one, truth.volume, truth.pixel_size) for one in maps]
            members, (after,) = (
                [worth(read_mrc(some.file(path)).data, truth.volume, truth.pixel_size) for path in some.items["volume_path"]]
                for some in (done.outputs.members, done.outputs.volume)
            )
            better, kept = better + (after >= 1.05 * max(before)), kept + (after >= 0.98 * max(before))
            words = (", ".join(f"{one:.3f}" for one in some) for some in (before, members, [after]))
            sys.stdout.write(f"| {case}, {trial} | {' | '.join(words)} | {done.spent['cpu_seconds']:.0f} |\n")
            sys.stdout.flush()
        count = given.trials[1] - given.trials[0] + 1
        sys.stdout.write(f"\n{case}: above the best candidate by 5 % in {better} of {count}, not below it by 2 % in {kept} of {count}\n\n")


if __name__ == "__main__":
    main()
