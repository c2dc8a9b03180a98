"""How often first maps of known worth are judged rightly: ``python -m benchmarks.first_map_verdicts [FOLDER] [--trials N]``.

Every trial is another phantom, of another shape and symmetry, with averages of another number and contrast; each candidate is judged alone, as if it
were the only one. With FOLDER, the averages are those of `classify2d.em` from simulated particles, good classes only; sets and projects stay there.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.alignment.ours import project_of
from benchmarks.planted_volumes import right_maps, wrong_maps
from cryoloom.app.simulation import simulate
from cryoloom.numerics.align.explanation import Averages, explain
from cryoloom.numerics.align.first_map_verdict import judged
from cryoloom.numerics.simulate.phantom import SHAPES, Phantom, p80, random_phantom, symmetrised
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import project

BOX, PIXEL_SIZE, DETAIL = 64, 4.0, 20.0
GROUPS = ("C1", "C1", "C4", "D2", "C1", "O")
CONTRASTS = (1.0, 2.0, 4.0)
COUNTS = (30, 60)
CLASSIFIED = {
    "p80": ({}, "C1"), "c4": ({"symmetry": "C4"}, "C4"), "d2": ({"symmetry": "D2"}, "D2"),
    "cluster": ({"phantom_seed": 9, "phantom_diameter": 150}, "C1"),
    "rod": ({"phantom_seed": 7, "phantom_diameter": 180, "phantom_shape": "rod"}, "C1"),
    "ring": ({"phantom_seed": 11, "phantom_diameter": 180, "phantom_shape": "ring"}, "C1"),
}  # fmt: skip
"""Changes of the preset ``s1``, and the group."""


class Trial(NamedTuple):
    """A particle and averages of it."""

    name: str
    phantom: Phantom
    group: str
    averages: NDArray[np.float32]


def projections(trials: int) -> Iterator[Trial]:
    """Yield phantoms with noisy projections, off centre by 2 Å."""
    for seed in range(trials):
        shape = (*SHAPES, "p80")[seed % 4]
        group = GROUPS[seed % len(GROUPS)]
        phantom = symmetrised(p80() if shape == "p80" else random_phantom(seed, 160.0, shape=shape), group)
        contrast, count = CONTRASTS[seed % 3], COUNTS[seed % 2]
        rng = np.random.default_rng(seed)
        poses = uniform_poses(count, rng)
        clean = np.stack([project(phantom, pose_matrix(*pose), BOX, PIXEL_SIZE, tuple(rng.normal(0, 2.0, 2))) for pose in poses])
        noise = rng.normal(size=clean.shape) * np.sqrt(clean.var(axis=(1, 2)).mean() / contrast)
        yield Trial(f"{shape} {group}, {count} of contrast {contrast:g}", phantom, group, (clean + noise).astype(np.float32))


def classified(folder: Path) -> Iterator[Trial]:
    """Yield the phantoms of `CLASSIFIED` with the averages of 40 classes of 2000 particles."""
    for name, (changes, group) in CLASSIFIED.items():
        place = folder / name
        if not (place / "particles.star").exists():
            simulate(place, "s1", 3, overrides={"particles": 2000, **changes}, threads=1)
        project_there = project_of(place)
        particles = project_there.find("particles").outputs.particles
        classes = project_there.run("classify2d.em", particles=particles, classes=40, mask_diameter=190.0, threads=1).outputs.classes
        averages = classes.to_numpy()[classes.items["good"].to_numpy()]
        shape, diameter = changes.get("phantom_shape", "cluster"), changes.get("phantom_diameter", 160.0)
        phantom = random_phantom(changes["phantom_seed"], diameter, shape=shape) if "phantom_seed" in changes else p80()
        yield Trial(f"{name}, {len(averages)} classes", symmetrised(phantom, group), group, averages)


def main() -> None:
    """Print one row a kind of candidate, and the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--trials", type=int, default=24)
    given = parser.parse_args()
    called: Counter[tuple[str, str]] = Counter()
    for trial in projections(given.trials) if given.folder is None else classified(given.folder):
        averages = Averages.of(trial.averages, 2.1 * trial.phantom.radius / PIXEL_SIZE, round(BOX * PIXEL_SIZE / DETAIL))
        rng = np.random.default_rng(1)
        candidates = {("right", name): one for name, one in right_maps(trial.phantom, BOX, PIXEL_SIZE, rng).items()}
        candidates |= {("wrong", name): one for name, one in wrong_maps(trial.phantom, trial.group, BOX, PIXEL_SIZE, rng).items()}
        for (worth, name), volume in candidates.items():
            found = explain(averages, volume)
            word = judged(found)
            called[f"{worth}: {name.split()[0] if name.startswith('symmetry') else name}", word] += 1
            if word != {"right": "good", "wrong": "bad"}[worth]:
                sys.stderr.write(f"{trial.name}: {name} is {word}, agreement {found.agreement:.2f}, outline {found.outline:.2f}\n")
    words = ("good", "undecided", "bad")
    table = pl.DataFrame(
        [{"candidate": name, **{word: called[name, word] for word in words}} for name in dict.fromkeys(each for each, _ in called)]
    )
    for worth in ("right", "wrong"):
        some = table.filter(pl.col("candidate").str.starts_with(worth))
        table = pl.concat([table, some.select(pl.lit(f"all {worth}").alias("candidate"), *(pl.col(word).sum() for word in words))])
    sys.stdout.write("| candidate | good | undecided | bad |\n|---|---|---|---|\n")
    for row in table.iter_rows():
        sys.stdout.write(f"| {' | '.join(map(str, row))} |\n")


if __name__ == "__main__":
    main()
