"""Compared classifications and alignments against truth: ``python -m benchmarks.agreement FOLDER [states|poses|speed …] [--particles N] [--seed N]``.

``states``: two runs of `classify3d.em` on a set of two planted states, and on one of a single state, and what `classify3d.consensus` says of them.
``poses``: two alignments of a set with a fifth of junk by `refine.auto`, from other references and seeds: how well `angles.compare` predicts the
true error, and what a refinement of the agreeing particles gains. ``speed``: a million pairs of poses in an icosahedral group.
Sets are simulated under FOLDER, one thread.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cryoloom
from cryoloom.app.session import Project
from cryoloom.app.simulation import simulate
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.align.contingency import Contingency
from cryoloom.numerics.align.maps import align_map, moved_map
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.differences import pose_differences
from cryoloom.numerics.geometry.euler import euler_to_matrix, random_rotations
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.masks.soft import spherical_mask

MASK = 180.0
"""Å."""
WRONG = 10.0
"""Degrees of true error from which a pose is wrong."""
SMALL = {"box": 40, "pixel_size": 5.0}


def begun(folder: Path, preset: str, seed: int, **settings: Any) -> tuple[Project, Any, Any, Any]:
    """Return a project with a simulated set: particles, the true map, and the true table in the order of the ids."""
    if not folder.exists():
        simulate(folder, preset, seed, overrides=settings | SMALL, threads=1)
    place = folder / "project"
    project = cryoloom.open_project(place) if place.exists() else cryoloom.create_project(place)
    particles = project.run("import.particles", path=str(folder / "particles.star")).outputs.particles
    volume = project.run("import.volume", path=str(folder / "truth/volume.mrc")).outputs.volume
    truth = read_star(folder / "truth/particles.star")["particles"]
    return project, particles, volume, truth


def states(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Return what the consensus of two classifications says of a set of one state, and of one of two."""
    found: dict[str, Any] = {}
    for name, conformations in (("one state", 1), ("two states", 2)):
        project, particles, volume, truth = begun(
            folder / name.replace(" ", "-"), "s4", seed, particles=count, snr=0.2, conformations=conformations
        )
        runs = [
            project.run(
                "classify3d.em", particles=particles, reference=volume, classes=classes, mask_diameter=MASK, initial_lowpass=40.0,
                seed=seed + number, threads=1,
            )
            for number, classes in enumerate((2, 2))
        ]  # fmt: skip
        agreed = project.run(
            "classify3d.consensus", particles=[run.outputs.particles for run in runs], classes=[run.outputs.classes for run in runs]
        )
        row = {"verdict": agreed.summary["verdict"], "sets": agreed.summary["sets 1 and 2"], "groups": agreed.summary["particles a group"]}
        if conformations > 1:
            state = np.unique(truth["rlnClassNumber"].to_numpy(), return_inverse=True)[1]
            of_id = dict(zip(particles.items["id"].to_list(), state.tolist(), strict=True))
            parts = [run.outputs.particles.items for run in runs] + ([agreed.outputs.particles.items] if agreed.summary["groups"] else [])
            row["adjusted Rand index with the truth, alone and together"] = [
                round(
                    Contingency.of(
                        part["class_id"].to_numpy().astype(np.int64), np.array([of_id[each] for each in part["id"]])
                    ).adjusted_rand,
                    3,
                )
                for part in parts
            ]
            row["kept"] = len(parts[-1]) / len(particles)
        found[name] = row
    return found


def poses(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Return how well the difference of two alignments tells wrong poses, and what keeping those that agree does to the map."""
    project, particles, volume, truth = begun(
        folder / "junk", "s5", seed, particles=count, snr=0.15, noise_fraction=0.15, other_fraction=0.05
    )
    aligned = [
        project.run(
            "refine.auto", particles=particles, reference=volume, mask_diameter=MASK, initial_lowpass=lowpass, seed=number, threads=1
        )
        for lowpass, number in ((30.0, seed), (60.0, seed + 1))
    ]
    compared = project.run("angles.compare", particles=aligned[0].outputs.particles, other=aligned[1].outputs.particles)
    rows = compared.outputs.particles.enabled()
    place = {each: number for number, each in enumerate(particles.items["id"].to_list())}
    order = np.array([place[each] for each in rows["id"]])
    true = euler_to_matrix(*(truth[f"rlnAngle{name}"].to_numpy()[order] for name in ("Rot", "Tilt", "Psi")))
    good = truth["cryoloomJunk"].to_numpy()[order] == 0
    mine = euler_to_matrix(*(rows[name].to_numpy() for name in ("rot", "tilt", "psi")))
    origins, real = rows.select("origin_x", "origin_y").to_numpy(), truth.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy()[order]
    error = compare_poses(mine[good], origins[good], true[good], real[good]).angles
    difference = rows["angle_difference"].to_numpy()
    kept = project.run("sets.select", items=compared.outputs.particles, where="angle_difference < 10").outputs.particles
    again = [
        project.run(
            "refine.auto", particles=each, reference=volume, mask_diameter=MASK, initial_lowpass=30.0, seed=seed + 2, threads=1
        ).outputs.volume
        for each in (particles, kept)
    ]
    maps = [against(each, volume) for each in again]
    agrees = difference < 10
    return {
        "median difference (°)": round(float(np.median(difference)), 2),
        "true poses wrong (of particles)": round(float((error > WRONG).mean()), 3),
        "AUC for wrong poses": round(auc(difference[good], error > WRONG), 3) if (error > WRONG).any() else None,
        "AUC for the worst tenth": round(auc(difference[good], error > np.quantile(error, 0.9)), 3),
        "AUC for wrong poses and junk": round(auc(difference, np.where(good, np.isin(np.arange(len(good)), np.flatnonzero(good)[error > WRONG]), True)), 3),
        "kept": round(float(agrees.mean()), 3), "junk before and after": [round(float((~part).mean()), 3) for part in (good, good[agrees])],
        "mean FSC with the truth": [round(each[0], 4) for each in maps], "FSC 0.5 (Å)": [round(each[1], 2) for each in maps],
        "shell": [round(SMALL["box"] * SMALL["pixel_size"] / each[1]) for each in maps],
    }  # fmt: skip


def against(made: Any, truth: Any) -> tuple[float, float]:
    """Return the mean FSC of a map, laid on the truth, and where it falls below one half."""
    real = read_mrc(truth.dataset.file(truth.items["volume_path"][0])).data.astype(np.float32)
    column = "unfiltered_path" if "unfiltered_path" in made.items.columns else "volume_path"
    found = read_mrc(made.dataset.file(made.items[column][0])).data.astype(np.float32)
    size, box = SMALL["pixel_size"], len(real)
    found = moved_map(found, align_map(found, real, size, near=True), size)
    sphere = spherical_mask(box, MASK / 2 / size, 3.0)
    curve = fourier_shell_correlation(found * sphere, real * sphere)
    return float(curve[1:].mean()), resolution_at(curve, 0.5, box, size)


def auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive has the higher score."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(score[positive], score[~positive]).statistic / (positive.sum() * (~positive).sum()))


def speed(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Return the seconds that a million pairs take."""
    rng = np.random.default_rng(seed)
    pair = random_rotations(1_000_000, rng), random_rotations(1_000_000, rng)
    group = point_group("I")
    pose_differences(pair[0][:10], pair[1][:10], group.operators)
    start = time.process_time()
    pose_differences(*pair, group.operators)
    return {"pairs": 1_000_000, "operators": group.order, "cpu_s": round(time.process_time() - start, 1)}


CASES = {"states": states, "poses": poses, "speed": speed}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[*CASES])
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for case in given.cases:
        figures = CASES[case](given.folder.resolve(), given.particles, given.seed)
        sys.stdout.write(json.dumps({case: figures}, indent=1, ensure_ascii=False) + "\n")
        sys.stdout.flush()
