"""How the time of a refinement grows with particles and box: ``python -m benchmarks.alignment.scaling FOLDER [--threads N]``.

Sets like ``s1`` with as many details as their box holds (256 Å, SNR 0.1) stay in FOLDER; parts of one set are refined from the truth at 40 Å, each until it
stops by itself.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.alignment.sets import MASK_DIAMETER
from benchmarks.classification import loaded_set
from cryoloom.app.simulation import simulate
from cryoloom.formats.alignment import Alignable
from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.align import refine
from cryoloom.numerics.align.halves import random_halves

EXTENT = 256.0
PARTS = {64: (1000, 2000, 4000, 8000), 96: (2000,), 128: (2000,)}


def part_of(loaded: Alignable, truth: np.ndarray, count: int, threads: int) -> tuple[float, float, int]:
    """Refine the first `count` particles; return processor seconds, seconds and iterations."""
    images = loaded.images.subset(np.arange(count))
    half = random_halves(np.arange(count), 1)
    task = refine.Task(images, half, loaded.pixel_size, loaded.mask_diameter, 40.0, 1, threads)
    began, processor = time.perf_counter(), time.process_time()
    state = refine.begin(task, [truth])
    while not state["finished"]:
        state = refine.iterate(task, state)
    return time.process_time() - processor, time.perf_counter() - began, state["iteration"]


def main() -> None:
    """Print a row for every box and number of particles, and the exponent between the least and the most of a box."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--boxes", type=int, nargs="*", default=list(PARTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write("box\tparticles\tthreads\tcpu_s\twall_s\titerations\tms_a_particle_and_iteration\n")
    for box in given.boxes:
        place = given.folder / f"box{box}"
        if not (place / "particles.star").exists():
            simulate(place, "s1", 9, overrides={"particles": max(PARTS[box]), "box": box, "pixel_size": EXTENT / box}, threads=1)
        loaded = loaded_set(place, MASK_DIAMETER)
        truth = read_mrc(place / "truth/volume.mrc").data.astype(np.float32)
        part_of(loaded, truth, 60, given.threads)  # compiled once
        times = {}
        for count in PARTS[box]:
            times[count], wall, iterations = part_of(loaded, truth, count, given.threads)
            each = 1e3 * times[count] / count / iterations
            sys.stdout.write(f"{box}\t{count}\t{given.threads}\t{times[count]:.1f}\t{wall:.1f}\t{iterations}\t{each:.2f}\n")
            sys.stdout.flush()
        if len(times) > 1:
            exponent = np.log(times[max(times)] / times[min(times)]) / np.log(max(times) / min(times))
            sys.stdout.write(f"{box}\texponent {exponent:.2f}\n")


if __name__ == "__main__":
    main()
