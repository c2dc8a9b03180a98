"""classify2d.em on a few views of one phantom: ``python -m benchmarks.classes2d_views [--count N] [--seeds N]``, one thread.

Ten projections, 64 px of 4 Å, SNR 0.1, turned at random, each with its CTF, into ten classes: purity, and how poses scatter about those of their
class. The same moved at random too, and with phases flipped, and said so. The log-likelihood of full expectation-maximisation, untempered, where the
band stays, and no class is begun anew or moved to the centre. Noise alone: how the averages correlate with the references that the same noise began
from.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

import cryoloom
from benchmarks.classes2d_hierarchical import purity, say
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.star import write_star
from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.simulate.fourier import frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.particles import Particle, clean_image
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.poses import uniform_poses

Array = NDArray[np.float64]
BOX, PIXEL, VIEWS, MASK = 64, 4.0, 10, 180.0
MICROSCOPE = Microscope(300.0, 2.7, 0.1)


def written(folder: Path, images: NDArray[np.float32], defocus: Array, *, flipped: bool) -> Path:
    """Write images and their table in RELION's way; return the table's path."""
    folder.mkdir()
    write_mrc(folder / "particles.mrcs", images, PIXEL, stack=True)
    count = len(images)
    optics = pl.DataFrame(
        {
            "rlnOpticsGroup": [1], "rlnOpticsGroupName": ["one"], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [PIXEL], "rlnImageSize": [BOX], "rlnImageDimensionality": [2],
            "rlnCtfDataArePhaseFlipped": [int(flipped)],
        }
    )  # fmt: skip
    table = pl.DataFrame(
        {
            "rlnImageName": [f"{number + 1:06d}@particles.mrcs" for number in range(count)], "rlnMicrographName": ["one.mrc"] * count,
            "rlnOpticsGroup": [1] * count, "rlnDefocusU": defocus, "rlnDefocusV": defocus, "rlnDefocusAngle": np.zeros(count),
        }
    )  # fmt: skip
    write_star(folder / "particles.star", {"optics": optics, "particles": table})
    return folder / "particles.star"


def scatter(
    label: NDArray[np.int64], view: NDArray[np.int64], psi: Array, origins: Array, true_psi: Array, true_origins: Array
) -> dict[str, float]:
    """Return the RMS of in-plane angles (°) and shifts (px an axis) about the mean of each class, of its most usual view."""
    turns, moves = [], []
    back = euler_to_matrix(np.zeros(len(psi)), np.zeros(len(psi)), -psi)[:, :2, :2]
    own = np.einsum("nij,nj->ni", back, origins - true_origins)
    for each in np.unique(label):
        mine = np.flatnonzero(label == each)
        mine = mine[view[mine] == np.bincount(view[mine]).argmax()]
        away = np.exp(1j * np.deg2rad(psi[mine] - true_psi[mine]))
        turns.append(np.rad2deg(np.angle(away / away.mean())))
        moves.append(own[mine] - np.median(own[mine], axis=0))
    return {"psi_rms_deg": float(np.sqrt(np.mean(np.concatenate(turns) ** 2))), "shift_rms_px": float(np.concatenate(moves).std() / PIXEL)}


def views(count: int, seed: int, spread: float) -> None:
    """Classify a few views with origins of `spread` Å, as they are; where they are moved, with phases flipped and by full expectation-maximisation too."""
    rng = np.random.default_rng(seed)
    phantoms = [random_phantom(100 + seed, 150.0)]
    shown, view = uniform_poses(VIEWS, rng), np.arange(count) % VIEWS
    psi, origins, defocus = rng.uniform(0, 360, count), rng.normal(0.0, spread, (count, 2)), rng.uniform(10000.0, 30000.0, count)
    truth = [
        Particle(
            0, (float(shown[one, 0]), float(shown[one, 1]), float(turn)), (float(x), float(y)), Defocus(float(depth), float(depth), 0.0)
        )
        for one, turn, (x, y), depth in zip(view, psi, origins, defocus, strict=True)
    ]
    clean = np.stack([clean_image(one, phantoms, MICROSCOPE, BOX, PIXEL) for one in truth])
    images = (clean * np.sqrt(0.1 / clean.var(axis=(1, 2)).mean()) + rng.standard_normal(clean.shape)).astype(np.float32)
    sign = np.stack([np.sign(MICROSCOPE.transfer(one.defocus, *frequencies(BOX, BOX, PIXEL))) for one in truth if one.defocus])
    turned = np.fft.irfft2(np.fft.rfft2(images) * sign, (BOX, BOX)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        trials = [("moved" if spread else "turned alone", images, {})]
        if spread:
            trials += [("phases flipped", turned, {}), ("full", images, {"method": "full", "uncertainty": 1.0})]
        for name, data, more in trials:
            star = written(Path(folder) / name, data, defocus, flipped=name == "phases flipped")
            particles = project.run("import.particles", path=str(star)).outputs.particles
            done = project.run(
                "classify2d.em", particles=particles, classes=VIEWS, mask_diameter=MASK, seed=seed, threads=1, **more
            ).outputs
            table = done.particles.items.sort("id")
            label = table["class_id"].to_numpy() - 1
            poses = scatter(label, view, table["psi"].to_numpy(), table.select("origin_x", "origin_y").to_numpy(), psi, origins)
            say(f"seed {seed}, {name}", purity=purity(label, view), **poses)
        history = done.classes.meta["iterations"]
    if not spread:
        return
    steps = [
        (after["log_likelihood"] - before["log_likelihood"]) / abs(before["log_likelihood"])
        for before, after in zip(history, history[1:], strict=False)
        if before["band"] == after["band"] and not before["reseeded"] and not before["recentred"] and before["images"] == after["images"]
    ]
    say(
        f"seed {seed}, full: log-likelihood from iteration to iteration",
        steps=len(steps),
        least=min(steps),
        falls=sum(one < -1e-6 for one in steps),
    )


def noise(count: int, seed: int) -> None:
    """Classify noise, and compare averages with what they began from."""
    images = np.random.default_rng(seed).standard_normal((count, BOX, BOX)).astype(np.float32)
    shape = prepare.geometry(BOX, PIXEL, MASK, 2.05 * PIXEL)
    observed = prepare.observations([(images, None, Optics(300.0, 2.7, 0.1))], shape, PIXEL, MASK)
    settings = schedule.Settings(VIEWS, 20, 1, min(count, 100 * VIEWS), shape.start_band, shape.reach)
    task = schedule.Task(observed, torch.zeros(count, dtype=torch.int64), prepare.half_sets(count, seed), shape.frame, settings, seed, 1)
    first = state = schedule.begin(task)
    while state["iteration"] < task.iterations(state):
        state = schedule.iterate(task, state)
    both = np.corrcoef(first["images"].reshape(VIEWS, -1), state["images"].reshape(VIEWS, -1))[:VIEWS, VIEWS:]
    say(f"seed {seed}, noise: correlation with what it began from", largest=float(both.max()), same_class=float(np.diag(both).max()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for number in range(1, given.seeds + 1):
        for spread in (0.0, 2 * PIXEL):
            views(given.count, number, spread)
        noise(given.count, number)
