"""What a result is worth: poses, classes and maps against the truth, the same way for both programs."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.alignment import peer
from benchmarks.alignment.sets import MASK_DIAMETER, Case, Truth
from benchmarks.alignment.superpose import superposed
from benchmarks.classification import adjusted_rand, table
from cryoloom.app.session import Run
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.masks.soft import spherical_mask

Array = NDArray[np.float64]


def of_ours(done: Run, case: Case, truth: Truth) -> dict[str, Any]:
    """Judge a run of the product."""
    outputs = done.outputs
    if case.task == "initial":
        return {"truth_05_A": found_map(read_mrc(outputs.volume.file(outputs.volume.items["volume_path"][0])).data, truth)}
    rows = outputs.particles.items.sort("id")
    figures = {} if case.task == "refine" else _classes(rows["class_id"].to_numpy() - 1, truth)
    if case.task == "classify2d":
        return figures
    figures |= _poses(rows, ("rot", "tilt", "psi"), ("origin_x", "origin_y"), truth, case)
    if case.task == "refine":
        first, second = (read_mrc(outputs.volume.file(outputs.volume.items[f"half_map{half}_path"][0])).data for half in (1, 2))
        figures |= _halves(first, second, rows["half_set"].to_numpy() - 1, truth)
    return figures


def of_peer(place: Path, case: Case, truth: Truth) -> dict[str, Any]:
    """Judge what RELION left in ``place/relion``."""
    out = place / "relion"
    if case.task == "initial":
        return {"truth_05_A": found_map(read_mrc(sorted(out.glob("run_it*_class001.mrc"))[-1]).data, truth)}
    star = out / "run_data.star" if case.task == "refine" else sorted(out.glob("run_it*_data.star"))[-1]
    particles = read_star(star)["particles"]
    rows = particles.sort(particles["rlnImageName"].str.extract(r"^0*(\d+)@", 1).cast(pl.Int64))
    figures = {} if case.task == "refine" else _classes(rows["rlnClassNumber"].to_numpy().astype(int) - 1, truth)
    if case.task == "classify2d":
        return figures
    angles = tuple(f"rlnAngle{name}" for name in ("Rot", "Tilt", "Psi"))
    figures |= _poses(rows, angles, ("rlnOriginXAngst", "rlnOriginYAngst"), truth, case)
    if case.task == "refine":
        first, second = (read_mrc(out / f"run_half{half}_class001_unfil.mrc").data for half in (1, 2))
        figures |= _halves(first, second, rows["rlnRandomSubset"].to_numpy().astype(int) - 1, truth)
    return figures


def of_peer_at_truth(place: Path, truth: Truth) -> dict[str, float]:
    """Judge RELION's map of the true poses, which bounds what its own poses give."""
    found = read_mrc(peer.at_true_poses(place)).data
    return _against_truth(found, truth)


def _poses(rows: pl.DataFrame, angles: tuple[str, ...], origins: tuple[str, str], truth: Truth, case: Case) -> dict[str, float]:
    found = euler_to_matrix(*(rows[name].to_numpy() for name in angles))
    group = point_group(str(case.changes.get("symmetry", "C1")))
    agreement = compare_poses(found, rows.select(origins).to_numpy(), truth.rotations, truth.origins, group=group)
    return {
        "pose_median_deg": round(float(np.median(agreement.angles)), 2),
        "beyond_15_deg": round(float(np.mean(agreement.angles > 15)), 4),
        "shift_median_A": round(float(np.median(agreement.shifts)), 2),
    }


def _halves(first: NDArray[np.float32], second: NDArray[np.float32], half: NDArray[np.int64], truth: Truth) -> dict[str, float]:
    """Resolutions in Å under one sphere, of the halves at 0.143 and of their mean against the truth at 0.5."""
    box = len(truth.volume)
    mask = spherical_mask(box, MASK_DIAMETER / 2 / truth.pixel_size, 5)
    share = half.mean()
    whole = (1 - share) * first + share * second
    gold = fourier_shell_correlation(first * mask, second * mask)
    return {"half_map_A": round(resolution_at(gold, 0.143, box, truth.pixel_size), 2), **_against_truth(whole, truth)}


def _against_truth(volume: NDArray[np.float32], truth: Truth) -> dict[str, float]:
    """Resolution in Å under the sphere at 0.5, and mean FSC."""
    box = len(truth.volume)
    mask = spherical_mask(box, MASK_DIAMETER / 2 / truth.pixel_size, 5)
    real = fourier_shell_correlation(volume * mask, truth.volume * mask)
    return {
        "truth_05_A": round(resolution_at(real, 0.5, box, truth.pixel_size), 2),
        "mean_truth_fsc": round(float(real[1 : box // 2].mean()), 4),
    }


def _classes(found: NDArray[np.int64], truth: Truth) -> dict[str, float]:
    """Agreement of classes with the true states, or in 2D (one state) how close the views of a class lie together."""
    good = ~truth.junk
    if truth.state.max() == 0:
        view = truth.rotations[:, 2]
        spread = []
        for number in np.unique(found[good]):
            members = view[good & (found == number)]
            mean = members.mean(axis=0)
            spread.append(np.rad2deg(np.arccos(np.clip(members @ (mean / np.linalg.norm(mean)), -1, 1))))
        return {"classes": len(spread), "view_spread_deg": round(float(np.median(np.concatenate(spread))), 1)}
    counts = table(found[good], truth.state[good])
    accuracy = counts[linear_sum_assignment(-counts)].sum() / counts.sum()
    return {"accuracy": round(float(accuracy), 3), "rand_index": round(adjusted_rand(counts), 3)}


def found_map(volume: NDArray[np.float32], truth: Truth, mask_diameter: float = MASK_DIAMETER) -> float:
    """Return the resolution in Å at which a map in any frame and hand agrees with the truth to 0.5."""
    box = len(truth.volume)
    mask = spherical_mask(box, mask_diameter / 2 / truth.pixel_size, 5)
    fitted = superposed(resample_volume(torch.from_numpy(volume.astype(np.float32)), box).numpy(), truth.volume, truth.pixel_size)
    return round(resolution_at(fourier_shell_correlation(fitted * mask, truth.volume * mask), 0.5, box, truth.pixel_size), 2)
