"""What validation says of maps whose worth is known: ``python -m benchmarks.validation FOLDER [PART…]``.

``overfitting``: particles of SNR 0.05 in their true poses, and images of noise in the poses in which they are most like the truth: how far each is
above aligned noise. ``strong``: the same for particles of SNR 0.1 (S1), and those of which a quarter is not the particle (S5). ``growth``: the
resolution foretold for twice the particles beside that measured, on a set that ends inside Nyquist. ``orientation``: the figures of even, preferred
and single views, and the time that a million takes.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import cryoloom
from benchmarks.alignment.sets import MASK_DIAMETER, truth_of
from cryoloom.app.session import Project, Run
from cryoloom.app.simulation import simulate
from cryoloom.data import Particles
from cryoloom.formats.alignment import alignable
from cryoloom.formats.stack import write_stack
from cryoloom.formats.star import read_star, write_star
from cryoloom.numerics.align.overfitting import EDGE, Gallery
from cryoloom.numerics.fsc.shells import resolution_at
from cryoloom.numerics.geometry.euler import matrix_to_euler
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.geometry.views import view_directions, view_figures
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.grids import reference_grid
from cryoloom.numerics.reconstruct.kernels import gather
from cryoloom.numerics.simulate.poses import preferred_poses, uniform_poses

PARTS = ("overfitting", "strong", "growth", "orientation")
MOST = 2000
"""Particles of each map of the largest pair; the set holds twice as many in a half."""
SIZES = "50 100 200 500 1000 1500 2000"
BOX, PIXEL_SIZE = 96, 2.0
"""Of S8."""
FEWER = "100 200 400 500 700 1000"
"""The same for the growth, of a set of four times the largest."""


def row(*cells: object) -> None:
    """Print a row of a table."""
    sys.stdout.write(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in cells)} |\n")
    sys.stdout.flush()


def overfitting(folder: Path) -> None:
    """Print the verdicts on particles and on noise."""
    place = _simulated(folder, "s2", {"particles": 4 * MOST})
    project = _project(place)
    particles = _import(project, place, "truth", read_star(place / "truth/particles.star")).outputs.particles
    shared = {
        "reference": project.find("map").outputs.volume,
        "mask_diameter": MASK_DIAMETER,
        "subset_sizes": SIZES,
        "shuffle": False,
        "threads": 1,
    }
    _told("s2, true poses", project.run("validate.overfitting", particles=particles, **shared))
    _noise_stack(project, place)
    _told("noise, aligned", project.run("validate.overfitting", particles=project.find("noise").outputs.particles, **shared))


def strong(folder: Path) -> None:
    """Print the verdict on particles of S1 and the curves of S5, up to half as many as of S2."""
    sizes = [size for size in SIZES.split() if int(size) <= MOST // 2]
    for preset in ("s1", "s5"):
        place = _simulated(folder, preset, {"particles": MOST + 200})
        project = _project(place)
        particles = _import(project, place, "truth", read_star(place / "truth/particles.star")).outputs.particles
        shared: dict[str, Any] = {"mask_diameter": MASK_DIAMETER, "subset_sizes": " ".join(sizes), "shuffle": False, "threads": 1}
        if preset == "s1":
            _told(
                "s1, true poses",
                project.run("validate.overfitting", particles=particles, reference=project.find("map").outputs.volume, **shared),
            )
        else:
            curve = project.run("validate.overfitting", particles=particles, noise=False, **shared).outputs.curve
            row("s5, true poses", *(f"{n}: {d:.1f} Å" for n, d in curve.items.select("subset_size", "resolution").iter_rows()))


def growth(folder: Path) -> None:
    """Print the resolution foretold for twice the particles, at every number of which twice as many were measured."""
    largest = 2 * int(FEWER.split()[-1])
    place = _simulated(folder, "s8", {"particles": 2 * largest, "snr": 0.05})
    project = _project(place)
    particles = _import(project, place, "truth", read_star(place / "truth/particles.star")).outputs.particles
    shared = {"mask_diameter": MASK_DIAMETER, "noise": False, "shuffle": False, "threads": 1}
    measured = project.run(
        "validate.overfitting", particles=particles, subset_sizes=f"{FEWER} {largest}", repeats=4, **shared
    ).outputs.curve
    known = dict(measured.items.select("subset_size", "resolution").iter_rows())
    row("particles of each map", "foretold from half of them", "measured", "off", "by signal and noise", "B (Å²)")
    row(*["---"] * 6)
    power, last = _signal(particles, place)
    for number in (200, 500, 1000):
        sizes = " ".join(size for size in FEWER.split() if int(size) <= number)
        meta = project.run("validate.overfitting", particles=particles, subset_sizes=sizes, repeats=4, **shared).outputs.curve.meta
        foretold = meta["foretold"][meta["more"].index(2 * number)]
        if 2 * number in known:
            true = known[2 * number]
            ssnr = 2 * number / (2.0 * np.maximum(np.arange(last + 1), 0.5)) * power
            expected = resolution_at(ssnr / (1.0 + ssnr), 0.5, BOX, PIXEL_SIZE, interpolated=True)
            cells = (f"{foretold:.2f} Å", f"{true:.2f} Å", f"{foretold / true - 1:+.1%}", f"{expected:.2f} Å")
            row(2 * number, *cells, f"{meta.get('b_factor', np.nan):.0f}")


def _signal(particles: Any, place: Path) -> tuple[NDArray[np.float64], int]:
    """Return the power of the images' signal over that of their noise within the sphere, a shell, of some images of S8; and the last shell."""
    truth = truth_of(place)
    loaded = alignable(Particles(particles.items, particles.dataset.root, optics=particles.dataset.optics), MASK_DIAMETER)
    some, plane = np.arange(0, len(truth.rotations), 16), loaded.images.plane
    slices = np.empty((len(some), len(plane.kx), 2), np.float32)
    gather(reference_grid(truth.volume, plane.radius, BOX), plane.kx, plane.ky, truth.rotations[some].astype(np.float32), slices)
    seen = slices.view(np.complex64)[..., 0] * loaded.images.transfers.take(some, len(plane.kx))
    part = float((spherical_mask(BOX, MASK_DIAMETER / 2 / PIXEL_SIZE, EDGE) ** 2).mean())
    return plane.shell_power(seen).mean(axis=0) / (BOX**2 * part), plane.last


def _simulated(folder: Path, preset: str, changes: dict[str, float]) -> Path:
    place = folder / preset
    if not (place / "particles.star").exists():
        simulate(place, preset, 5, overrides=changes, threads=1)
    return place


def _told(name: str, run: Run) -> None:
    curve = run.outputs.curve
    last = curve.items.row(-1, named=True)
    row(
        name, f"{last['resolution']:.2f} Å", f"noise {last['noise_resolution']:.1f} Å", f"{last['separation']:.1f} σ", curve.meta["verdict"]
    )
    row("", *(f"{n}: {d:.1f}, {z:.1f} Å" for n, d, z in curve.items.select("subset_size", "resolution", "noise_resolution").iter_rows()))


def _project(place: Path) -> Project:
    folder = place / "project"
    project = cryoloom.open_project(folder) if (folder / "project.json").exists() else cryoloom.create_project(folder)
    project.run("import.volume", path=str(place / "truth/volume.mrc"), name="map")
    return project


def _import(project: Project, place: Path, name: str, star: dict[str, pl.DataFrame]) -> Run:
    path = place / f"{name}.star"
    if not path.exists():
        write_star(path, star)
    return project.run("import.particles", path=str(path), name=name)


def _noise_stack(project: Project, place: Path) -> None:
    """Import as many images of white noise in the poses in which they are most like the truth."""
    star = read_star(place / "truth/particles.star")
    table, box = star["particles"], int(star["optics"]["rlnImageSize"][0])
    size = float(star["optics"]["rlnImagePixelSize"][0])
    if not (place / "noise.star").exists():
        rng = np.random.default_rng(17)
        count = 2 * MOST
        write_stack(place / "noise.mrcs", rng.standard_normal((count, box, box), np.float32), size)
        named = pl.Series("rlnImageName", [f"{number + 1:06d}@noise.mrcs" for number in range(count)])
        star["particles"] = table.head(count).with_columns(named)
        unposed = _import(project, place, "unaligned", star).outputs.particles
        loaded = alignable(Particles(unposed.items, project.root, optics=unposed.dataset.optics), MASK_DIAMETER)
        truth = project.find("map").outputs.volume.to_numpy()
        gallery = Gallery.of(truth, box, loaded.images.plane.last, MASK_DIAMETER / 2 / size, 5.0, 0.05 * box)
        poses = [gallery.best_poses(loaded.images, np.arange(start, min(start + 256, count))) for start in range(0, count, 256)]
        angles = matrix_to_euler(np.concatenate([one.rotations for one in poses]))
        shifts = np.concatenate([one.shifts for one in poses]) * size
        found = dict(zip(("Rot", "Tilt", "Psi"), angles, strict=True))
        star["particles"] = star["particles"].with_columns(
            *(pl.Series(f"rlnAngle{name}", values) for name, values in found.items()),
            pl.Series("rlnOriginXAngst", shifts[:, 0]), pl.Series("rlnOriginYAngst", shifts[:, 1]),
        )  # fmt: skip
    _import(project, place, "noise", star)


def orientation() -> None:
    """Print the figures of distributions of views that are known."""
    rng = np.random.default_rng(0)
    single = np.tile([30.0, 50.0, 0.0], (5000, 1))
    sets: list[tuple[str, NDArray[np.float64], str]] = [
        ("even, 5 000 (S1)", uniform_poses(5000, rng), "C1"),
        ("70 % within 25° of two directions, 20 000 (S3)", preferred_poses(20_000, 0.7, 25.0, rng), "C1"),
        ("97 % within 15° of two directions, 20 000", preferred_poses(20_000, 0.97, 15.0, rng), "C1"),
        ("one view, 5 000", single, "C1"),
        ("even, 1 000 000", uniform_poses(1_000_000, rng), "C1"),
        ("even, 1 000 000, I", uniform_poses(1_000_000, rng), "I"),
    ]
    row("views", "E_od", "coverage", "expected", "empty cones", "largest gap (°)", "preferred (rot, tilt)", "CPU s")
    row(*["---"] * 8)
    for name, poses, group in sets:
        start = time.process_time()
        found = view_figures(view_directions(poses[:, 0], poses[:, 1]), point_group(group), diameter=180.0, resolution=8.0)
        spent = time.process_time() - start
        middles = [np.rad2deg([np.arctan2(one.direction[1], one.direction[0]), np.arccos(one.direction[2])]) for one in found.preferred]
        said = ", ".join(f"({rot:.0f}, {tilt:.0f})" for rot, tilt in middles) or "none"
        row(name, found.efficiency, found.coverage, found.expected, found.empty, found.gap, said, f"{spent:.2f}")


def main() -> None:
    """Print the tables of the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if "overfitting" in given.parts:
        overfitting(given.folder)
    if "strong" in given.parts:
        strong(given.folder)
    if "growth" in given.parts:
        growth(given.folder)
    if "orientation" in given.parts:
        orientation()


if __name__ == "__main__":
    main()
