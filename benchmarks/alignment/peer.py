"""RELION 3.1.3 on one core: command lines that are fair to it, and what they cost.

CPU only, double precision, one thread, images held in memory; the leader process of the parallel refinement does no work and is not counted.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.alignment.sets import MASK_DIAMETER, Case
from cryoloom.formats.star import read_star, write_star

OFFSETS = 6
"""px; the true origins have a standard deviation of 1.5 to 3."""

COMMON = (
    "--i", "particles.star", "--dont_combine_weights_via_disc", "--preread_images", "--pool", "30", "--ctf",
    "--flatten_solvent", "--zero_mask", "--norm", "--scale", "--j", "1", "--random_seed", "1", "--oversampling", "1",
    "--particle_diameter", f"{MASK_DIAMETER:g}", "--offset_range", f"{OFFSETS}", "--offset_step", "2",
)  # fmt: skip
FROM_MAP = ("--firstiter_cc", "--pad", "2", "--healpix_order", "2", "--low_resol_join_halves", "40")


@dataclass(frozen=True)
class Cost:
    """Processor seconds, and peak memory in MB summed over the processes."""

    seconds: float
    memory: float


def there() -> bool:
    """Return whether RELION and what measures it are installed."""
    return all(shutil.which(program) for program in ("relion_refine", "relion_refine_mpi", "mpirun", "/usr/bin/time"))


def run(place: Path, case: Case) -> Cost:
    """Do the task of a case in ``place/relion`` unless that was done, and return its cost; what it makes is named ``run_*``."""
    out = place / "relion"
    if not (out / "done").exists():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        symmetry = ("--sym", str(case.changes.get("symmetry", "C1")))
        reference = ("--ref", "truth/volume.mrc", "--ini_high", f"{case.lowpass:g}")
        words = {
            "refine": ("--auto_refine", "--split_random_halves", "--auto_local_healpix_order", "3", *FROM_MAP, *reference, *symmetry),
            "classify3d": ("--K", f"{case.classes}", "--iter", f"{case.iterations}", "--tau2_fudge", "4", *FROM_MAP, *reference, *symmetry),
            "classify2d": ("--K", f"{case.classes}", "--iter", f"{case.iterations}", "--tau2_fudge", "2", "--psi_step", "12", "--pad", "2"),
            "initial": (
                "--sgd_ini_iter", "50", "--sgd_inbetween_iter", "200", "--sgd_fin_iter", "50", "--sgd_ini_resol", "35", "--sgd_fin_resol",
                "15", "--sgd_ini_subset", "100", "--sgd_fin_subset", "500", "--sgd", "--denovo_3dref", "--K", "1", "--pad", "1",
                "--healpix_order", "1", *symmetry,
            ),
        }[case.task]  # fmt: skip
        carry_out(place, out, (*words, *COMMON), ranks=3 if case.task == "refine" else 1)
        (out / "done").touch()
    costs = [_cost(path) for path in sorted(out.glob("rank*.time"))]
    workers = costs[1:] or costs
    return Cost(sum(cost.seconds for cost in workers), sum(cost.memory for cost in workers))


def at_true_poses(place: Path) -> Path:
    """Return the map that ``relion_reconstruct`` makes of a set's junk-free images at their true poses."""
    found = place / "relion_at_truth.mrc"
    if not found.exists():
        blocks = read_star(place / "truth/particles.star")
        good = blocks["particles"].filter(pl.col("cryoloomJunk") == 0)
        write_star(place / "good_at_truth.star", {"optics": blocks["optics"], "particles": good})
        command = ("relion_reconstruct", "--i", "good_at_truth.star", "--o", found.name, "--ctf")
        subprocess.run(command, cwd=place, capture_output=True, check=True)
    return found


def carry_out(place: Path, out: Path, words: tuple[str, ...], ranks: int) -> None:
    """Refine in `place`, with so many `ranks`; what is made is named ``run_*`` in its folder `out`.

    Raises
    ------
    CalledProcessError
        If RELION fails; ``log.txt`` in `out` tells why.
    """
    program = "relion_refine" if ranks == 1 else "relion_refine_mpi"
    timed = ("bash", "-c", f'exec /usr/bin/time -v -o {out.name}/rank${{OMPI_COMM_WORLD_RANK:-0}}.time "$@"', "_")
    launcher = () if ranks == 1 else (
        "mpirun", "--bind-to", "none", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", "--mca", "btl", "self,vader,tcp", "-n", f"{ranks}",
    )  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with (out / "log.txt").open("w") as log:
        command = (*launcher, *timed, program, "--o", f"{out.name}/run", *words)
        subprocess.run(command, cwd=place, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)


def _cost(path: Path) -> Cost:
    text = path.read_text()

    def number(label: str) -> float:
        found = re.search(rf"{label}[^:]*: ([\d.]+)", text)
        assert found, f"{path} does not tell {label}"
        return float(found.group(1))

    return Cost(number("User time") + number("System time"), number("Maximum resident") / 1024)
