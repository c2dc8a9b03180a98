"""Whether models find their place and the hand of the map: ``python -m benchmarks.model_fit [--runs 20] [--at 8 3.5] [--json FILE]``.

P80-like particles, another chain each, as Cα models turned and moved at random, laid in their own maps of 8 Å (64 voxels of 4 Å) and of 3.5 Å (128 of
1.4 Å). Maps are sums of the particle's Gaussians with white noise such that half maps would agree to that resolution (FSC 0.143), in every second
case mirrored. As a control the model of another particle is laid in each map. Seconds are of one core.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from cryoloom.formats.atomic_model import read_model, traced_model
from cryoloom.numerics.atoms.agreement import agreement
from cryoloom.numerics.atoms.dock import Docked, dock
from cryoloom.numerics.filters.maps import lowpass, shell_amplitude
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.simulate.phantom import Phantom, p80
from cryoloom.numerics.simulate.projection import density

CASES = {8.0: (64, 4.0, 2.0), 3.5: (128, 1.4, 0.5)}
"""Box, Å per voxel and RMSD (Å) that counts as right, by the resolution in Å."""
HALF = 0.143


def noisy_map(phantom: Phantom, box: int, pixel_size: float, resolution: float, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of two halves whose shell correlation is `HALF` at a resolution."""
    clean = density(phantom, box, pixel_size)
    shell = min(round(box * pixel_size / resolution), box // 2 - 1)
    noise = rng.standard_normal(clean.shape).astype(np.float32)
    wanted = np.sqrt((1 - HALF) / HALF / 2) * shell_amplitude(clean)[shell]
    return lowpass(clean + noise * np.float32(wanted / shell_amplitude(noise)[shell]), pixel_size, resolution)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--at", type=float, nargs="+", default=list(CASES), choices=list(CASES), help="resolutions, Å")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    told = {}
    for resolution in options.at:
        box, pixel_size, right = CASES[resolution]
        rows = []
        for run in range(options.runs):
            rng = np.random.default_rng((run, box))
            particle, other = p80(seed=80 + run), p80(seed=180 + run)
            data = noisy_map(particle, box, pixel_size, resolution, rng)
            data = mirrored_map(data) if run % 2 else data
            rotation, shift = random_rotations(1, rng)[0], rng.uniform(-100, 100, 3)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.cif"
                traced_model(particle.positions @ rotation.T + shift, particle.lobes, particle.b_factors).write(path)
                model = read_model(path)
            atoms = model.atoms(np.zeros(3))
            start = time.process_time()
            found = dock(atoms, data, pixel_size, resolution=resolution, hand=True)
            seconds = time.process_time() - start
            placed = atoms.at(found.placed(atoms.positions))
            shown = mirrored_map(data) if found.mirrored else data
            said = agreement(placed, shown, pixel_size, resolution=resolution, radius=3.0, mass=particle.mass)
            stranger = read_other(other)
            wrong = dock(stranger, data, pixel_size, resolution=resolution)
            rows.append(
                {
                    "rmsd": float(np.sqrt(((placed.positions - particle.positions) ** 2).sum(axis=1).mean())),
                    "hand": found.mirrored == bool(run % 2), "score": found.candidates[0].score, "other_hand": found.other_hand,
                    "lead": lead(found), "stranger_lead": lead(wrong), "ambiguous": found.ambiguous,
                    "z": found.candidates[0].z, "second_z": max((each.z for each in found.candidates[1:]), default=np.nan),
                    "correlation": said.map_correlation, "fsc_half": said.resolution, "q": said.q_score, "seconds": seconds,
                    "stranger_score": wrong.candidates[0].score, "stranger_z": wrong.candidates[0].z, "stranger_clear": not wrong.ambiguous,
                }
            )  # fmt: skip
            print(json.dumps({"Å": resolution, **{k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}}), flush=True)
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        told[resolution] = {
            "right": int((columns["rmsd"] <= right).sum()), "hands": int(columns["hand"].sum()), "of": options.runs,
            "rmsd median": round(float(np.median(columns["rmsd"])), 4), "rmsd worst": round(float(columns["rmsd"].max()), 4),
            "called clear": int((~columns["ambiguous"]).sum()), "strangers called clear": int(columns["stranger_clear"].sum()),
            "least lead": round(float(columns["lead"].min()), 2), "most lead of a stranger": round(float(columns["stranger_lead"].max()), 2),
            "least score": round(float(columns["score"].min()), 3), "most of a stranger": round(float(columns["stranger_score"].max()), 3),
            "least lead of the hand": round(float((columns["score"] - columns["other_hand"]).min()), 3),
            "core seconds, both hands": round(float(np.median(columns["seconds"])), 1),
        }  # fmt: skip
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1))


def lead(found: Docked) -> float:
    """Return the score of the best place over that of the second."""
    return found.candidates[0].score / max(each.score for each in found.candidates[1:]) if len(found.candidates) > 1 else np.inf


def read_other(phantom: Phantom):
    """Return the atoms of a phantom's model."""
    return traced_model(phantom.positions, phantom.lobes, phantom.b_factors).atoms(np.zeros(3))


if __name__ == "__main__":
    main()
