"""refine.ctf on simulated stacks against their truth: ``python -m benchmarks.refine_ctf DATA… [--mask-diameter Å] [--threads N]``.

DATA are folders of ``cryoloom simulate --preset s1 --set mean_defocus=true …`` (tilted, of heights, with a beam tilt, or none of these). The particles
come with the mean defocus of their micrograph and with their true poses off by 1° and 0.5 Å; ``refine.auto`` refines them from these, ``refine.ctf``
follows, and ``refine.auto`` again with what it found. Resolutions are FSC 0.143 of the halves, and FSC 0.5 against the truth, under a sphere.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import cryoloom
from cryoloom.data import Particles, Volume
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star, write_star
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.masks.soft import spherical_mask


def with_poses(data: Path, seed: int = 1) -> Path:
    """Write the stack's table with true poses that are a little off, and return its path."""
    told, truth = read_star(data / "particles.star"), read_star(data / "truth/particles.star")["particles"]
    rng = np.random.default_rng(seed)
    off = {"AngleRot": 0.6, "AngleTilt": 0.6, "AnglePsi": 0.6, "OriginXAngst": 0.35, "OriginYAngst": 0.35}
    poses = {f"rln{name}": truth[f"rln{name}"].to_numpy() + rng.normal(0.0, spread, truth.height) for name, spread in off.items()}
    path = data / "near.star"
    write_star(path, {"optics": told["optics"], "particles": told["particles"].with_columns(**{k: pl.Series(v) for k, v in poses.items()})})
    return path


def defocus_errors(particles: Particles, truth: pl.DataFrame) -> np.ndarray:
    """Return the error of each particle's mean defocus, Å."""
    items = particles.items.sort("stack_index")
    found = 0.5 * (items["defocus_u"] + items["defocus_v"]).to_numpy()
    return found - 0.5 * (truth["rlnDefocusU"] + truth["rlnDefocusV"]).to_numpy()


def resolutions(volume: Volume, truth: np.ndarray, mask_diameter: float) -> tuple[float, float]:
    """Return what the halves agree on, and what the map and the truth agree on, Å."""
    row, size = volume.items.row(0, named=True), float(volume.meta["pixel_size"])
    mask = spherical_mask(len(truth), mask_diameter / 2 / size, 5.0)
    maps = [read_mrc(volume.file(row[name])).data * mask for name in ("half_map1_path", "half_map2_path", "unfiltered_path")]
    halves, against = fourier_shell_correlation(*maps[:2]), fourier_shell_correlation(maps[2], truth * mask)
    return resolution_at(halves, 0.143, len(truth), size), resolution_at(against, 0.5, len(truth), size)


def figures(data: Path, mask_diameter: float, threads: int) -> dict[str, Any]:
    """Refine one set; return the figures."""
    table = read_star(data / "truth/particles.star")
    truth, optics = read_mrc(data / "truth/volume.mrc").data.astype(np.float32), table["optics"].row(0, named=True)
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        particles = project.run("import.particles", path=str(with_poses(data))).outputs.particles
        reference = project.run("import.volume", path=str(data / "truth/volume.mrc")).outputs.volume
        settings: dict[str, Any] = {"mask_diameter": mask_diameter, "poses": "given", "threads": threads}
        first = project.run("refine.auto", particles=particles, reference=reference, initial_lowpass=12.0, **settings).outputs
        run = project.run(
            "refine.ctf", particles=first.particles, volume=first.volume, mask_diameter=mask_diameter, threads=threads
        )  # fmt: skip
        found = run.outputs.particles
        second = project.run("refine.auto", particles=found, reference=first.volume, **settings).outputs
        before, after = (resolutions(one.volume.dataset, truth, mask_diameter) for one in (first, second))
        tilt = found.meta["ctf_refinement"]["beam_tilts"][0]
        claimed = np.sqrt(np.mean(found.items["defocus_error"].to_numpy() ** 2))
        errors = [defocus_errors(each.dataset, table["particles"]) for each in (first.particles, found)]
    return {
        "particles": len(errors[1]),
        "defocus_before_A": round(float(np.median(np.abs(errors[0]))), 1),
        "defocus_after_A": round(float(np.median(np.abs(errors[1]))), 1),
        "rms_before_A": round(float(np.sqrt(np.mean(errors[0] ** 2))), 1),
        "rms_after_A": round(float(np.sqrt(np.mean(errors[1] ** 2))), 1),
        "claimed_A": round(float(claimed), 1),
        "beam_tilt_true": f"{optics.get('rlnBeamTiltX', 0.0):g},{optics.get('rlnBeamTiltY', 0.0):g}",
        "beam_tilt": f"{tilt['tilt'][0]:.2f},{tilt['tilt'][1]:.2f}±{max(tilt['error']):.2f}",
        "halves_A": f"{before[0]:.2f} {after[0]:.2f}",
        "truth_A": f"{before[1]:.2f} {after[1]:.2f}",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--mask-diameter", type=float, default=165.0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for number, one in enumerate(given.data):
        line = figures(one, given.mask_diameter, given.threads)
        if number == 0:
            sys.stdout.write("\t".join(("set", *line)) + "\n")
        sys.stdout.write("\t".join((one.name, *map(str, line.values()))) + "\n")
        sys.stdout.flush()
