"""`refine.deep_align` against the truth: ``python -m benchmarks.deep_align FOLDER [--preset s2] [--epochs N] [--particles N] [--shuffled] [--threads N]``.

Simulates the preset (S2: 64 px of 4 Å, SNR 0.05), aligns its second half by what networks learned from the true poses of the first, and tells how many poses
are right, whether the stated spread holds, and what becomes of pure noise. ``--shuffled`` gives the training particles one another's poses.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import cryoloom
from cryoloom.app.simulation import simulate
from cryoloom.data import Particles
from cryoloom.formats.alignment import POSE
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import C1
from cryoloom.protocols.refine.deep_align import DeepAlign

MASK_DIAMETER = 170.0
NOISE = 300


class PlainJob:
    """A job in this process that prints what it notes."""

    blocks, open, seed = None, False, 1

    def __init__(self, folder: Path, root: Path, threads: int) -> None:
        self.folder, self.root, self.threads = folder, root, threads
        folder.mkdir(parents=True, exist_ok=True)

    def iterate(self, start: Any, step: Any, *, done: Any, name: str = "", total: int | None = None) -> Any:
        """Step until done, keeping nothing."""
        state = start()
        while not done(state):
            state = step(state)
        return state

    def output(self, name: str) -> Path:
        """Return where a file goes."""
        return self.folder / name

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Be silent."""

    def warn(self, message: str) -> None:
        """Print a warning."""
        sys.stderr.write(f"warning: {message}\n")

    def note(self, **numbers: Any) -> None:
        """Print the numbers of an epoch."""
        told = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        sys.stderr.write(f"{told}, CPU {time.process_time():.0f} s\n")


def matrices(table: pl.DataFrame) -> np.ndarray:
    """Return the rotations that rows carry."""
    return euler_to_matrix(*(table[name].to_numpy() for name in ("rot", "tilt", "psi")))


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="s2")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--particles", type=int)
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    data = given.folder / given.preset
    if not (data / "particles.star").exists():
        simulate(data, given.preset, 5, overrides={"particles": given.particles} if given.particles else {}, threads=given.threads)
    place = given.folder / f"{given.preset}-project"
    project = cryoloom.open_project(place) if place.exists() else cryoloom.create_project(place)
    known = project.run("import.particles", path=str(data / "truth/particles.star")).outputs.particles.dataset
    volume = project.run("import.volume", path=str(data / "truth/volume.mrc")).outputs.volume.dataset
    rows, half = known.items, known.items.height // 2
    training = Particles(rows[:half], known.root, optics=known.optics)
    if given.shuffled:
        order = np.random.default_rng(1).permutation(half)
        training = training.with_columns(
            pl.DataFrame({"id": rows["id"][:half], **{name: rows[name][:half].gather(order) for name in POSE}})
        )
    particles = Particles(rows[half:], known.root, optics=known.optics)
    job = PlainJob(place / "benchmark", place, given.threads)
    settings: dict[str, Any] = {"volume": volume, "mask_diameter": MASK_DIAMETER}
    begun, wall = time.process_time(), time.monotonic()
    out = DeepAlign(particles=particles, training=training, epochs=given.epochs, **settings).run(job)  # pyright: ignore[reportArgumentType]
    spent, wall = time.process_time() - begun, time.monotonic() - wall
    table, truth = out.particles.items, matrices(rows[half:])
    errors, spread = C1.angle(matrices(table), truth), table["pose_spread"].to_numpy()
    assert out.model is not None
    about = out.model.meta["networks"][0]
    right = errors <= 10.0
    lines = {
        "region, first choice": f"{about['first']:.3f} (chance {about['chance']:.3f})",
        "region or a neighbour, first two": f"{about['near']:.3f}",
        "within 10 degrees": f"{right.mean():.3f}",
        "median of these": f"{np.median(errors[right]):.2f}",
        "median of all": f"{np.median(errors):.2f}",
        "dropped": f"{(~table['enabled']).mean():.4f}",
        "smaller than the spread": f"{np.mean(errors <= spread):.3f}",
        "CPU, wall (s)": f"{spent:.0f}, {wall:.0f}",
    }
    for part in np.array_split(np.argsort(spread, kind="stable"), 6):
        lines[f"spread {np.median(spread[part]):.2f}"] = (
            f"{np.mean(errors[part] <= spread[part]):.3f} smaller, median {np.median(errors[part]):.2f}"
        )
    psi = rows["psi"].to_numpy()[half:]
    lines["within 10, by quarters of psi"] = ", ".join(f"{right[(psi // 90) == quarter].mean():.3f}" for quarter in range(-2, 2))
    box, size = int(particles.optics[0]["box_size"]), float(particles.optics[0]["pixel_size"])
    write_stack(place / "noise.mrcs", np.random.default_rng(9).normal(size=(NOISE, box, box)).astype(np.float32), size)
    blank = particles.items[:NOISE].with_columns(stack_path=pl.lit("noise.mrcs"), stack_index=pl.Series(np.arange(NOISE)))
    noise = DeepAlign(particles=Particles(blank, known.root, optics=known.optics), model=out.model, **settings).run(job)  # pyright: ignore[reportArgumentType]
    shown, other = table["score"].to_numpy(), noise.particles.items["score"].to_numpy()
    lines["AUC of the score, against noise"] = f"{np.mean(shown[:, None] > other):.4f}"
    likely = [float(each["region_probability"].mean()) for each in (noise.particles.items, table)]  # pyright: ignore[reportArgumentType]
    lines["mean probability of the region"] = f"noise {likely[0]:.3f}, particles {likely[1]:.3f}"
    for name, value in lines.items():
        sys.stdout.write(f"{name}: {value}\n")


if __name__ == "__main__":
    main()
