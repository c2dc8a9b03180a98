"""2D classes of simulated particle stacks against their truth: ``python -m benchmarks.classes2d DATA… [--classes K] [--mask-diameter Å] [--seed N]``.

DATA are folders that ``cryoloom simulate --preset s5`` (or s1 …) made. Classes are selected as ``sets.select --mode auto`` does. One line a set.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import cryoloom
from cryoloom.formats.star import read_star
from cryoloom.numerics.geometry.euler import euler_to_matrix

Array = NDArray[np.float64]


def within_classes(label: NDArray[np.int64], psi: Array, origins: Array, rotations: Array, true_origins: Array) -> dict[str, float]:
    """Return how alike the members of a class are: medians over images of in-plane angle, shift and view about the class's own mean.

    Parameters
    ----------
    label, psi, origins
        Class, in-plane angle (degrees) and origin (Å) found, ``(n,)``, ``(n,)``, ``(n, 2)``.
    rotations, true_origins
        The truth, ``(n, 3, 3)`` and ``(n, 2)`` Å.
    """
    back = euler_to_matrix(np.zeros(len(psi)), np.zeros(len(psi)), -psi)
    # Turned back by its in-plane angle a member shows the view of its class.
    views = back @ rotations
    moves = np.einsum("nij,nj->ni", back[:, :2, :2], origins - true_origins)
    turned, tilted, moved = [], [], []
    for number in np.unique(label):
        mine = label == number
        left, _, right = np.linalg.svd(views[mine].mean(axis=0))
        mean = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        rest = views[mine] @ mean.T
        turned.append(np.abs(np.arctan2(rest[:, 1, 0] - rest[:, 0, 1], rest[:, 0, 0] + rest[:, 1, 1])))
        tilted.append(np.arccos(np.clip(rest[:, 2, 2], -1.0, 1.0)))
        moved.append(np.linalg.norm(moves[mine] - np.median(moves[mine], axis=0), axis=1))
    angle, view, shift = (float(np.median(np.concatenate(each))) for each in (turned, tilted, moved))
    return {"psi_median_deg": round(np.rad2deg(angle), 2), "view_median_deg": round(np.rad2deg(view), 2), "shift_median_A": round(shift, 2)}


def classified(data: Path, classes: int, mask_diameter: float, seed: int) -> dict[str, float]:
    """Classify one set on one thread and select; return the figures."""
    star = read_star(data / "truth/particles.star")
    truth = star["particles"].sort("cryoloomParticleId")
    junk = truth["cryoloomJunk"].to_numpy() != 0
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        particles = project.run("import.particles", path=str(data / "particles.star")).outputs.particles
        done = project.run("classify2d.em", particles=particles, classes=classes, mask_diameter=mask_diameter, seed=seed)
        table, averages = done.outputs.particles.items.sort("id"), done.outputs.classes.items
        kept = np.zeros(len(junk), bool)
        if averages["good"].any():
            chosen = project.run("sets.select", items=done.outputs.particles, classes=done.outputs.classes, mode="auto")
            kept = table["id"].is_in(chosen.outputs.particles.enabled()["id"].to_list()).to_numpy()
        seconds = done.spent["cpu_seconds"]
    good = ~junk
    rotations = euler_to_matrix(*(truth[f"rlnAngle{name}"].to_numpy()[good] for name in ("Rot", "Tilt", "Psi")))
    large = averages.filter(averages["count"] >= 300)
    figures = {
        "particles": len(junk),
        "classes": classes,
        "cpu_s": round(seconds, 1),
        "junk_removed": round(float(np.mean(~kept[junk])), 3) if junk.any() else 1.0,
        "good_lost": round(float(np.mean(~kept[good])), 3) if good.any() else 0.0,
        "good_classes": int(averages["good"].sum()),
        "best_A": round(float(large["resolution"].min()), 1) if large.height else float("nan"),
    }
    if not good.any():
        return figures
    return figures | within_classes(
        table["class_id"].to_numpy()[good], table["psi"].to_numpy()[good], table.select("origin_x", "origin_y").to_numpy()[good],
        rotations, truth.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy()[good],
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--classes", type=int, default=64)
    parser.add_argument("--mask-diameter", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for number, place in enumerate(given.data):
        figures = classified(place, given.classes, given.mask_diameter, given.seed)
        if number == 0:
            sys.stdout.write("\t".join(("set", *figures)) + "\n")
        sys.stdout.write("\t".join((place.name, *map(str, figures.values()))) + "\n")
        sys.stdout.flush()
