"""What extraction from a 4k micrograph costs: particles a minute and core, and memory. ``python -m benchmarks.extraction``.

Processor seconds, reading and writing included, because wall time depends on who else is at work; every case in a process of its own, whose largest
memory is told beside what Python with its libraries takes.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from cryoloom.data import Coordinates, CTFs, Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.protocols.particles.extract import Extract
from cryoloom.spec import Item

SIDE, PARTICLES, PIXEL_SIZE = 4096, 100, 1.34
CASES = {
    "300 px, unbinned": {"box_size": 300},
    "300 px, unbinned, phases flipped": {"box_size": 300, "phase_flip": True},
    "300 px, unbinned, float16": {"box_size": 300, "float16": True},
    "100 px, binned by 3, phases flipped": {"box_size": 100, "bin": 3, "phase_flip": True},
    "174 px, binned by 1.7361": {"box_size": 174, "bin": 1.7361},
    "202 px, to 2 Å": {"box_size": 402, "box_unit": "angstrom", "pixel_size": 2.0},
    "300 px, unbinned, scored by variance": {"box_size": 300, "scores": True},
}


class Kept:
    """A job that keeps the items of its map instead of working them off."""

    def __init__(self, root: Path) -> None:
        self.root, self.items = root, None

    def warn(self, message: str) -> None:
        raise RuntimeError(message)

    def map(self, function: object, items: object, *, name: str) -> None:
        self.items = items
        raise StopIteration


def micrograph(root: Path) -> tuple[Coordinates, Micrographs, CTFs]:
    rng = np.random.default_rng(0)
    if not (root / "m.mrc").exists():
        image = rng.normal(20, 4, (SIDE, SIDE)).astype(np.float32)
        image.ravel()[rng.choice(image.size, 500)] = 1e4
        write_mrc(root / "m.mrc", image, PIXEL_SIZE)
    optics = [{"optics_group": 1, "pixel_size": PIXEL_SIZE, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
    row = {"id": 1, "micrograph_name": "m", "micrograph_path": "m.mrc", "width": SIDE, "height": SIDE, "optics_group": 1}
    micrographs = Micrographs(pl.DataFrame([row | {"enabled": True, "fail_reason": ""}]), root, optics=optics)
    places = rng.uniform(200, SIDE - 200, (PARTICLES, 2))
    points = {"id": range(PARTICLES), "micrograph_id": 1, "micrograph_name": "m", "x": places[:, 0], "y": places[:, 1], "score": 1.0}
    coordinates = Coordinates(pl.DataFrame({**points, "optics_group": 1}), root, optics=optics)
    ctf = {"id": [1], "micrograph_id": [1], "defocus_u": [15e3], "defocus_v": [14e3], "defocus_angle": [10.0], "phase_shift": [0.0]}
    return coordinates, micrographs, CTFs(pl.DataFrame(ctf), root, optics=optics)


def case(name: str, root: Path) -> None:
    """Print processor seconds of one micrograph, the least of three after one to warm up, and MB."""
    coordinates, micrographs, ctfs = micrograph(root)
    protocol, job = Extract(coordinates=coordinates, micrographs=micrographs, ctfs=ctfs, **CASES[name]), Kept(root)
    try:
        protocol.run(job)  # type: ignore[arg-type]
    except StopIteration:
        item = Item(job.items.to_polars().row(0, named=True), root, root, 1)  # type: ignore[attr-defined]
    import torch  # noqa: F401 (what a worker holds before it begins)

    before, found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, []
    for _ in range(4):
        began = time.process_time()
        assert sum(not row["left_out"] for row in protocol.alone().cut(item)) == PARTICLES
        found.append(time.process_time() - began)
    print(min(found[1:]), before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main() -> None:
    print(f"| {PARTICLES} particles of {SIDE} × {SIDE} px | processor time | particles a minute | memory, before |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        micrograph(Path(folder))
        for name in CASES:
            words = [sys.executable, "-m", "benchmarks.extraction", name, folder]
            seconds, before, after = map(float, subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())
            print(f"| {name} | {seconds:.2f} s | {60 * PARTICLES / seconds:.0f} | {after:.0f} MB, {before:.0f} MB |", flush=True)


if __name__ == "__main__":
    case(sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 1 else main()
