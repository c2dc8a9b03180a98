"""Refinement of simulated particle stacks against their truth: ``python -m benchmarks.refinement DATA… [--mask-diameter Å] [--lowpass Å] [--symmetry G]``.

DATA are folders that ``cryoloom simulate --preset s1`` (or s2, s3, s8 …) made. The reference is the truth, low-passed; the halves, the poses
and the map are the refinement's own. Each line also gives what the true poses of the same particles would have reached.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import cryoloom
from benchmarks.oracle import oracle
from cryoloom.formats.alignment import alignable, alike_images
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.align import refine
from cryoloom.numerics.align.halves import random_halves
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import point_group


def refined(data: Path, mask_diameter: float, lowpass: float, symmetry: str = "C1", seed: int = 1) -> dict[str, float]:
    """Refine one set on one thread; return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        particles = project.run("import.particles", path=str(data / "particles.star")).outputs.particles
        loaded = alignable(particles, mask_diameter)
    size = loaded.pixel_size
    truth = read_mrc(data / "truth/volume.mrc").data.astype(np.float32)
    table = read_star(data / "truth/particles.star")["particles"]
    rotations = euler_to_matrix(*(table[f"rlnAngle{name}"].to_numpy() for name in ("Rot", "Tilt", "Psi")))
    origins = table.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy()
    half = random_halves(np.arange(len(loaded.images)), seed)
    group = point_group(symmetry)
    task = refine.Task(loaded.images, half, size, loaded.mask_diameter, lowpass, seed, group=group, alike=alike_images(loaded.rows))
    contrast = table["cryoloomContrast"].to_numpy()
    best = oracle(loaded.images.scaled(contrast), rotations, origins / size, half, size, truth, task.sphere(loaded.box), group)
    start = time.process_time()
    state = refine.begin(task, [truth])
    while not state["finished"]:
        state = refine.iterate(task, state)
    seconds = time.process_time() - start
    sphere = task.sphere(loaded.box)
    against = fourier_shell_correlation(state["unfiltered"] * sphere, truth * sphere)
    scales = state["scales"][task.alike] if task.alike is not None else np.ones(len(half))
    good = table["cryoloomJunk"].to_numpy() == 0
    agreement = compare_poses(state["rotations"][good], state["shifts"][good] * size, rotations[good], origins[good], group=group)
    return {
        "particles": len(half),
        "iterations": state["iteration"],
        "cpu_s": round(seconds, 1),
        "pose_median_deg": round(float(np.median(agreement.angles)), 2),
        "beyond_15_deg": round(float(np.mean(agreement.angles > 15)), 4),
        "within_10_deg": round(float(np.mean(agreement.angles < 10)), 3),
        "scale_error": round(float(np.sqrt(np.mean((scales * contrast.mean() / contrast - 1.0) ** 2))), 4),
        "truth_A": round(resolution_at(against, 0.5, loaded.box, size), 2),
        "half_map_A": round(resolution_at(state["fsc"], 0.143, loaded.box, size), 2),
        "oracle_half_map_A": round(best.half_maps, 2),
        "oracle_truth_A": round(best.against_truth, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--mask-diameter", type=float, default=160.0)
    parser.add_argument("--lowpass", type=float, default=40.0)
    parser.add_argument("--symmetry", default="C1")
    given = parser.parse_args()
    for number, folder in enumerate(given.data):
        figures = refined(folder, given.mask_diameter, given.lowpass, given.symmetry)
        if number == 0:
            sys.stdout.write("\t".join(("set", *figures)) + "\n")
        sys.stdout.write("\t".join((folder.name, *map(str, figures.values()))) + "\n")
