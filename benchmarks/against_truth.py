"""How well a processed project agrees with the truth its movies were simulated from.

``python -m benchmarks.against_truth DATA PROJECT`` prints one JSON object.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.spatial import cKDTree

import cryoloom
from benchmarks.oracle import Oracle, oracle
from cryoloom.app.session import Project
from cryoloom.formats.alignment import alignable
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import PointGroup, point_group
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.simulate.phantom import Phantom
from cryoloom.numerics.simulate.projection import density


def true_particles(data: Path) -> pl.DataFrame:
    """Return the true particles that are no junk, with ``micrograph_name``."""
    table = read_star(data / "truth/particles.star")["particles"]
    return table.filter(pl.col("cryoloomJunk") == 0).with_columns(
        micrograph_name=pl.col("rlnMicrographName").str.extract(r"([^/]+)\.[^./]+$"),
        x=pl.col("rlnCoordinateX"),
        y=pl.col("rlnCoordinateY"),
    )


def motion_error(data: Path, project: Project) -> dict[str, float]:
    """Return the RMSE of the global shifts per axis in px, means removed."""
    errors = []
    for row in project.find("micrographs").outputs.micrographs.enabled().iter_rows(named=True):
        truth = read_star(data / f"truth/motion/{row['micrograph_name']}.star")["global_shift"]
        for axis in ("x", "y"):
            true = truth[f"rlnMicrographShift{axis.upper()}"].to_numpy()
            found = np.asarray(row[f"shift_{axis}"])
            errors.append(np.sqrt(np.mean(((found - found.mean()) - (true - true.mean())) ** 2)))
    return {"motion_rmse_px": float(np.sqrt(np.mean(np.square(errors)))), "motion_worst_px": float(np.max(errors))}


def defocus_error(data: Path, project: Project) -> dict[str, float]:
    """Return errors of the mean defocus in Å."""
    truth = read_star(data / "truth/micrographs_ctf.star")["micrographs"].with_columns(
        micrograph_name=pl.col("rlnMicrographName").str.extract(r"([^/]+)\.[^./]+$")
    )
    both = project.find("ctfs").outputs.ctfs.enabled().join(truth, on="micrograph_name")
    error = ((both["defocus_u"] + both["defocus_v"]) - (both["rlnDefocusU"] + both["rlnDefocusV"])).abs() / 2
    return {"defocus_median_A": float(np.median(error)), "defocus_95_A": float(np.percentile(error, 95)), "ctfs": len(both)}


def centred(particles: pl.DataFrame, pixel_size: float) -> pl.DataFrame:
    """Return particles with ``x`` and ``y`` where their origins, in Å, put their centres; `pixel_size` is the micrographs'."""
    return particles.with_columns(x=pl.col("x") - pl.col("origin_x") / pixel_size, y=pl.col("y") - pl.col("origin_y") / pixel_size)


def matched(picks: pl.DataFrame, truth: pl.DataFrame, radius: float) -> tuple[list[int], list[int]]:
    """Return row numbers of picks and of true particles that belong together, one to one, nearest first, within `radius` px."""
    pairs: list[tuple[float, int, int]] = []
    picks, truth = picks.with_row_index("row"), truth.with_row_index("row")
    for (name,), group in picks.group_by("micrograph_name", maintain_order=True):
        there = truth.filter(pl.col("micrograph_name") == name)
        if not there.height:
            continue
        tree = cKDTree(there.select("x", "y").to_numpy())
        for row, point in zip(group["row"], group.select("x", "y").to_numpy(), strict=True):
            for near in tree.query_ball_point(point, radius):
                distance = float(np.linalg.norm(tree.data[near] - point))
                pairs.append((distance, int(row), int(there["row"][near])))
    first: dict[int, int] = {}
    taken: set[int] = set()
    for _, pick, true in sorted(pairs):
        if pick not in first and true not in taken:
            first[pick] = true
            taken.add(true)
    return list(first), list(first.values())


def picking(data: Path, project: Project) -> dict[str, float]:
    """Return recall and precision of the picks, and of the particles of the good classes."""
    truth = true_particles(data)
    micrographs = project.find("micrographs").outputs.micrographs
    pixel_size = micrographs.optics[0]["pixel_size"]
    run = project.find("picks")
    radius = 0.2 * run.parameters["diameter"] / pixel_size
    figures: dict[str, float] = {}
    for label, output, name in (("picks", "coordinates", "picking"), ("good-particles", "particles", "selected")):
        rows = project.find(label).outputs[output].enabled()
        if label == "good-particles":
            binned = project.find(label).outputs[output]
            rows = centred(rows, pixel_size)
            assert binned.optics
        found, _ = matched(rows, truth, radius)
        figures |= {
            f"{name}_recall": len(found) / truth.height,
            f"{name}_precision": len(found) / max(rows.height, 1),
            f"{name}_count": rows.height,
        }
    return figures


def map_agreement(data: Path, project: Project) -> dict[str, Any]:
    """Return the FSC of the refined map against the truth in its own frame, and the pose errors of true particles."""
    run = project.find("refinement")
    particles = run.outputs.particles.enabled()
    pixel_size = run.outputs.particles.optics[0]["pixel_size"]
    truth = true_particles(data)
    radius = 0.2 * project.find("picks").parameters["diameter"] / pixel_size
    found, true = matched(centred(particles, pixel_size), truth, radius)
    ours, theirs = particles[found], truth[true]
    poses = euler_to_matrix(*(ours[name].to_numpy() for name in ("rot", "tilt", "psi")))
    real = euler_to_matrix(*(theirs[f"rlnAngle{name}"].to_numpy() for name in ("Rot", "Tilt", "Psi")))
    shifts = ours.select("origin_x", "origin_y").to_numpy()
    exact = (ours.select("x", "y").to_numpy() - theirs.select("x", "y").to_numpy()) * pixel_size
    group = point_group(run.parameters.get("symmetry", "C1"))
    agreement = compare_poses(poses, shifts, real, exact, group=group)
    best_possible = _oracle(data, run.outputs.particles, ours, real, exact, project.find("picks").parameters["diameter"], group)
    volume = read_mrc(run.outputs.volume.file(run.outputs.volume.items["volume_path"][0])).data
    box = volume.shape[0]
    mask = spherical_mask(box, 0.62 * project.find("picks").parameters["diameter"] / pixel_size, 5)
    atoms = np.load(data / "truth/atoms.npy")
    mirror = np.diag([1.0, 1.0, -1.0]) if agreement.mirrored else np.eye(3)
    frame = (atoms[:, :3] @ mirror) @ agreement.rotation
    best = max(
        (
            fourier_shell_correlation(volume * mask, density(_atoms(atoms, frame + sign * agreement.offset), box, pixel_size) * mask)
            for sign in (-1.0, 1.0)
        ),
        key=lambda curve: curve[: box // 4].mean(),
    )
    return {
        "matched": len(found),
        "pose_median_deg": float(np.median(agreement.angles)),
        "pose_within_10_deg": float(np.mean(agreement.angles < 10)),
        "shift_median_A": float(np.median(agreement.shifts)),
        "truth_fsc_half_A": resolution_at(best, 0.5, box, pixel_size),
        "oracle_truth_A": best_possible.against_truth,
        "oracle_half_map_A": best_possible.half_maps,
        "half_map_resolution_A": run.outputs.fsc.meta["resolution"],
        "truth_fsc": [round(float(value), 3) for value in best],
    }


def _oracle(
    data: Path, particles: Any, ours: pl.DataFrame, rotations: np.ndarray, origins: np.ndarray, diameter: float, group: PointGroup
) -> Oracle:
    """Return what the matched particles, `ours`, would give at their true poses."""
    loaded = alignable(particles, 1.2 * diameter)
    row = dict(zip(loaded.rows["id"], range(loaded.rows.height), strict=True))
    images = loaded.images.subset(np.array([row[one] for one in ours["id"]]))
    atoms = np.load(data / "truth/atoms.npy")
    truth = density(_atoms(atoms, atoms[:, :3]), loaded.box, loaded.pixel_size)
    sphere = spherical_mask(loaded.box, 0.62 * diameter / loaded.pixel_size, 5)
    half = (ours["half_set"].to_numpy() - 1).astype(np.int64)
    return oracle(images, rotations, origins / loaded.pixel_size, half, loaded.pixel_size, truth, sphere, group)


def _atoms(table: np.ndarray, positions: np.ndarray) -> Phantom:
    return Phantom(positions, table[:, 3], table[:, 4], table[:, 5].astype(np.int64))


def evaluate(data: Path, project: Project) -> dict[str, Any]:
    """Return all figures."""
    figures = {**motion_error(data, project), **defocus_error(data, project), **picking(data, project), **map_agreement(data, project)}
    figures["map_resolution_A"] = project.find("map").outputs.fsc.meta["resolution"]
    return figures


if __name__ == "__main__":
    sys.stdout.write(json.dumps(evaluate(Path(sys.argv[1]), cryoloom.open_project(sys.argv[2])), indent=1) + "\n")
