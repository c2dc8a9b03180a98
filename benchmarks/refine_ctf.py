"""refine.ctf on simulated stacks against their truth: ``python -m benchmarks.refine_ctf DATA… [--mask-diameter Å] [--threads N] [--peer]``.

DATA are folders of ``cryoloom simulate --preset s1 --set mean_defocus=true …`` (tilted, of heights, with a beam tilt, or none of these). The particles
come with the mean defocus of their micrograph and with their true poses off by 1° and 0.5 Å; ``refine.auto`` refines them from these, ``refine.ctf``
follows, and ``refine.auto`` again with what it found. Resolutions are FSC 0.143 of the halves, and FSC 0.5 against the truth, under a sphere. With
``--peer``, ``relion_ctf_refine`` does the same from an export of the same particles, half maps and mask, in place of the second refinement.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import cryoloom
from cryoloom.app.export import export
from cryoloom.app.session import Project
from cryoloom.data import Particles, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
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


def told(errors: np.ndarray) -> str:
    """Return the median and the root mean square of errors of the defocus, Å."""
    return f"{np.median(np.abs(errors)):.0f}, {np.sqrt(np.mean(errors**2)):.0f}"


def relion(*words: object, folder: Path) -> float:
    """Run a program of RELION in `folder`; return the processor seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words[0]} failed in {folder}:\n{(done.stdout + done.stderr)[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peer(project: Project, particles: str, mask_diameter: float, truth: pl.DataFrame) -> dict[str, Any]:
    """Return what ``relion_ctf_refine`` makes of an export: beam tilt and defoci, then defoci once more with the tilt that it found."""
    folder = project.root / "relion"
    export(project, particles, folder, "relion")
    export(project, particles.replace("particles", "volume"), folder, "relion")
    halves = [f"volume_half{number}_unfil.mrc" for number in (1, 2)]
    first = read_mrc(folder / halves[0])
    write_mrc(
        folder / "mask.mrc", spherical_mask(len(first.data), mask_diameter / 2 / first.pixel_size, 5.0), first.pixel_size, volume=True
    )
    (folder / "post").mkdir()
    relion("relion_postprocess", "--i", halves[0], "--i2", halves[1], "--mask", "mask.mrc", "--o", "post/post", folder=folder)
    found: dict[str, Any] = {}
    table, seconds = "particles.star", 0.0
    for number in (1, 2):
        (folder / f"job{number}").mkdir()
        words = ("--i", table, "--f", "post/post.star", "--m1", halves[0], "--m2", halves[1], "--mask", "mask.mrc", "--o", f"job{number}/")
        fits = ("--fit_defocus", "--fit_mode", "fpmff", *(("--fit_beamtilt",) if number == 1 else ()))
        seconds += relion("relion_ctf_refine", *words, *fits, "--j", 1, folder=folder)
        table = f"job{number}/particles_ctf_refine.star"
        star = read_star(folder / table)
        index = star["particles"]["rlnImageName"].str.extract(r"^(\d+)@").cast(pl.Int64)
        rows = star["particles"][index.arg_sort().to_list()]
        errors = (0.5 * (rows["rlnDefocusU"] + rows["rlnDefocusV"]) - 0.5 * (truth["rlnDefocusU"] + truth["rlnDefocusV"])).to_numpy()
        tilt = star["optics"].row(0, named=True)
        found |= {
            f"relion_{number}_A": told(errors),
            "relion_tilt": f"{tilt.get('rlnBeamTiltX', 0.0):.2f},{tilt.get('rlnBeamTiltY', 0.0):.2f}",
        }
        found[f"relion_{number}_cpu_s"] = round(seconds, 1)
    return found


def figures(data: Path, mask_diameter: float, threads: int, with_peer: bool) -> dict[str, Any]:
    """Refine one set; return the figures."""
    table = read_star(data / "truth/particles.star")
    truth, optics = read_mrc(data / "truth/volume.mrc").data.astype(np.float32), table["optics"].row(0, named=True)
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        particles = project.run("import.particles", path=str(with_poses(data))).outputs.particles
        reference = project.run("import.volume", path=str(data / "truth/volume.mrc")).outputs.volume
        settings: dict[str, Any] = {"mask_diameter": mask_diameter, "poses": "given", "threads": threads}
        refined = project.run("refine.auto", particles=particles, reference=reference, initial_lowpass=12.0, **settings)
        first = refined.outputs
        run = project.run("refine.ctf", particles=first.particles, volume=first.volume, mask_diameter=mask_diameter, threads=threads)
        found = run.outputs.particles
        tilt = found.meta["ctf_refinement"]["beam_tilts"][0]
        claimed = np.sqrt(np.mean(found.items["defocus_error"].to_numpy() ** 2))
        before, after = (defocus_errors(each.dataset, table["particles"]) for each in (first.particles, found))
        line: dict[str, Any] = {
            "particles": len(after),
            "before_A": told(before),
            "after_A": told(after),
            "claimed_A": round(float(claimed), 1),
            "tilt_true": f"{optics.get('rlnBeamTiltX', 0.0):g},{optics.get('rlnBeamTiltY', 0.0):g}",
            "tilt": f"{tilt['tilt'][0]:.2f},{tilt['tilt'][1]:.2f}±{max(tilt['error']):.2f}",
            "cpu_s": run.spent["cpu_seconds"],
        }
        if with_peer:
            return line | peer(project, f"{refined.id}.particles", mask_diameter, table["particles"])
        second = project.run("refine.auto", particles=found, reference=first.volume, **settings).outputs
        maps = [resolutions(one.volume.dataset, truth, mask_diameter) for one in (first, second)]
        return line | {name: f"{maps[0][at]:.2f} {maps[1][at]:.2f}" for at, name in enumerate(("halves_A", "truth_A"))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--mask-diameter", type=float, default=165.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
    given = parser.parse_args()
    for number, one in enumerate(given.data):
        line = figures(one, given.mask_diameter, given.threads, given.peer)
        if number == 0:
            sys.stdout.write("\t".join(("set", *line)) + "\n")
        sys.stdout.write("\t".join((one.name, *map(str, line.values()))) + "\n")
        sys.stdout.flush()
