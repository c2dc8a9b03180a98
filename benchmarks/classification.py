"""Classification of simulated particle stacks against their truth: ``python -m benchmarks.classification DATA… [--fixed] [--seeds N]``.

DATA are folders that ``cryoloom simulate --preset s4`` (or s1, s5 …) made. All classes start from the truth of the first structure, low-passed; poses
are sought, or with ``--fixed`` are the true ones. One line a set and seed. ``--parts 900 900 200`` takes so many of each structure, the
first of the set.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

import cryoloom
from cryoloom.formats.alignment import Alignable, alignable
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.align import classify3d
from cryoloom.numerics.align.class_accuracy import ODDS, class_accuracy
from cryoloom.numerics.align.halves import random_halves
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix


def table(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many images have each pair of labels."""
    counts = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(counts, (first, second), 1)
    return counts


def adjusted_rand(counts: NDArray[np.float64]) -> float:
    """Return the adjusted Rand index of two partitions (Hubert & Arabie 1985, doi:10.1007/BF01908075): 1 if equal, 0 by chance."""
    pairs, rows, columns = (float((part * (part - 1) / 2).sum()) for part in (counts, counts.sum(axis=1), counts.sum(axis=0)))
    total = float(counts.sum() * (counts.sum() - 1) / 2)
    chance = rows * columns / total
    return (pairs - chance) / max((rows + columns) / 2 - chance, 1e-12)


def loaded_set(data: Path, mask_diameter: float) -> Alignable:
    """Read the particles of a simulated set."""
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        return alignable(project.run("import.particles", path=str(data / "particles.star")).outputs.particles, mask_diameter)


def classified(
    data: Path, loaded: Alignable, classes: int, lowpass: float, seed: int, *, fixed: bool, parts: list[int] | None = None
) -> tuple[dict[str, object], NDArray[np.int64]]:
    """Classify one set, or the first `parts` of its structures, on one thread; return the figures and the class of every image."""
    truth = read_star(data / "truth/particles.star")["particles"]
    if parts is not None:
        number = truth["rlnClassNumber"].to_numpy()
        chosen = np.sort(np.concatenate([np.flatnonzero(number == one + 1)[:part] for one, part in enumerate(parts)]))
        truth, loaded = truth[chosen], replace(loaded, images=loaded.images.subset(chosen))
    size, count = loaded.pixel_size, len(loaded.images)
    rotations = euler_to_matrix(*(truth[f"rlnAngle{name}"].to_numpy() for name in ("Rot", "Tilt", "Psi")))
    shifts = truth.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy() / size
    true = np.unique(truth["rlnClassNumber"].to_numpy(), return_inverse=True)[1]
    task = classify3d.Task(
        loaded.images, random_halves(np.arange(count), seed), size, loaded.mask_diameter, lowpass, seed, classes=classes,
        search="fixed" if fixed else "global",
    )  # fmt: skip
    start = time.process_time()
    volume = read_mrc(data / "truth/volume.mrc").data.astype(np.float32)
    state = classify3d.begin(task, [volume], rotations, shifts)
    while not state["finished"]:
        state = classify3d.iterate(task, state)
    seconds = time.process_time() - start
    member = state["member"]
    counts = table(true, member)
    accuracy, _ = class_accuracy(state["errors"], member, classes)
    angles = np.zeros(count)
    for one in range(classes):
        # A class has its own frame: what it differs in decides where its middle is.
        rows = member == one
        if rows.any():
            angles[rows] = compare_poses(
                state["rotations"][rows], state["shifts"][rows], rotations[rows], shifts[rows], either_hand=False
            ).angles
    near = angles < 10
    axis = [
        np.sqrt(np.mean(angles[near & (member == one)] ** 2) / 3) if (near & (member == one)).any() else np.nan for one in range(classes)
    ]
    figures: dict[str, object] = {
        "seed": seed,
        "particles": count,
        "iterations": state["iteration"],
        "cpu_s": round(seconds, 1),
        "rand": round(adjusted_rand(counts), 3),
        "accuracy": round(float(counts[linear_sum_assignment(-counts)].sum() / count), 3),
        "within_10_deg": round(float(np.mean(near)), 3),
        "counts": counts.astype(int).tolist(),
        "separation": np.round(state["separation"][np.triu_indices(classes, 1)], 1).tolist(),
        "acc_rot / 3.03": np.round(accuracy / ODDS, 2).tolist(),
        "rms_axis_deg": np.round(axis, 2).tolist(),
    }
    return figures, member


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--mask-diameter", type=float, default=180.0)
    parser.add_argument("--lowpass", type=float, default=30.0)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--parts", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fixed", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for folder in given.data:
        images, members = loaded_set(folder, given.mask_diameter), []
        for seed in range(1, given.seeds + 1):
            figures, member = classified(folder, images, given.classes, given.lowpass, seed, fixed=given.fixed, parts=given.parts)
            members.append(member)
            sys.stdout.write("\t".join((folder.name, *(f"{name} {value}" for name, value in figures.items()))) + "\n")
            sys.stdout.flush()
        repeats = [adjusted_rand(table(members[0], other)) for other in members[1:]]
        if repeats:
            sys.stdout.write(f"{folder.name}\tfirst seed against the others, adjusted Rand index: {np.round(repeats, 3).tolist()}\n")
