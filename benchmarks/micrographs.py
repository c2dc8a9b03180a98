"""What preprocessing a 4k micrograph and finding the orientation of a 4k gain reference cost, one thread.

``python -m benchmarks.micrographs``; processor seconds, because wall time depends on who else is at work.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from cryoloom.data import Micrographs
from cryoloom.formats.gain import oriented, read_gain
from cryoloom.formats.gain_orientation import Averages, find_orientation, residual_gain
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.protocols.micrographs.preprocess import Preprocess
from cryoloom.spec import Item

SIDE = 4096
WORK = {
    "bad pixels, downsampled by 2 (the textbook run)": {"bad_sigmas": 5.0, "bin_factor": 2.0},
    "the same, with Gaussian, band-pass and normalisation": {
        "bad_sigmas": 5.0, "bin_factor": 2.0, "smooth_sigma": 1.0, "high_cutoff": 0.002, "low_cutoff": 0.4, "normalise": True,
    },
    "downsampled by 1.37": {"bin_factor": 1.37},
    "bad pixels, downsampled by 2, denoised (50 iterations)": {"bad_sigmas": 5.0, "bin_factor": 2.0, "max_iterations": 50},
}  # fmt: skip


def seconds(work: object) -> float:
    """Return the processor seconds of a call, the least of three after one to warm up."""
    found = []
    for _ in range(4):
        began = time.process_time()
        work()  # type: ignore[operator]
        found.append(time.process_time() - began)
    return min(found[1:])


def preprocessing(folder: Path, rng: np.random.Generator) -> None:
    image = rng.normal(20, 4, (SIDE, SIDE)).astype(np.float32)
    image.ravel()[rng.choice(image.size, 500)] = 1e4
    write_mrc(folder / "m.mrc", image, 1.34)
    row = {"id": 1, "micrograph_name": "m", "micrograph_path": "m.mrc", "width": SIDE, "height": SIDE, "optics_group": 1}
    items = pl.DataFrame({**row, "weighted_path": pl.Series([None], dtype=pl.String), "enabled": True, "fail_reason": ""})
    micrographs = Micrographs(items, folder, optics=[{"optics_group": 1, "pixel_size": 1.34}])
    item = Item(micrographs.to_polars().row(0, named=True), folder, folder, 0)
    reading = seconds(lambda: read_mrc(folder / "m.mrc"))
    for name, values in WORK.items():
        protocol = Preprocess(micrographs=micrographs, **values)
        print(f"| {name} | {seconds(lambda protocol=protocol: protocol.prepare(item)) - reading:.2f} s |")


def orientation(folder: Path, rng: np.random.Generator) -> None:
    gain = rng.normal(1, 0.03, (SIDE, SIDE)).astype(np.float32)
    averages = Averages((rng.poisson(100 / gain).astype(np.float32), rng.poisson(100 / gain).astype(np.float32)), 200)
    write_mrc(folder / "gain.mrc", oriented(gain, 90), 1.0)
    found = find_orientation(averages, str(folder / "gain.mrc"))
    assert found.same_as(270, "none", False)
    print(f"| orientation of a gain reference | {seconds(lambda: find_orientation(averages, str(folder / 'gain.mrc'))):.1f} s |")
    reference = read_gain(folder / "gain.mrc", gain.shape, 270)
    print(f"| what the reference leaves | {seconds(lambda: residual_gain(averages, reference)):.1f} s |")


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"| {SIDE} × {SIDE} px, one thread | processor time |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        preprocessing(Path(folder), rng)
        orientation(Path(folder), rng)


if __name__ == "__main__":
    main()
