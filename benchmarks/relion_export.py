"""What RELION makes of an export, beside our own figures: ``python -m benchmarks.relion_export PROJECT [DATA]``.

PROJECT is a finished project of ``cryoloom process``. ``relion_reconstruct --ctf`` makes a map of each exported half set; where the halves of
either program agree to 0.143 is printed without a mask, under the refinement's sphere and in the project's mask, the last also corrected by
phase randomisation, ours and ``relion_postprocess``'s. The latter draws random phases once, and where the corrected curve falls slowly its figure
goes with the draw: the median of nine draws is compared, their range is printed, and a figure of ours within it agrees. With DATA, what the movies
were simulated to, how far the exported coordinates lie from the true ones. The exit code is 1 when a resolution differs by more than 5 % and more
than one shell.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from numpy.typing import NDArray

import cryoloom
from benchmarks.against_truth import matched, true_particles
from cryoloom.app.export import export
from cryoloom.app.session import Project
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.fsc.masked import masked_fsc
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.masks.soft import spherical_mask

PROGRAMS = ("relion_reconstruct", "relion_postprocess")
SEEDS = range(9)
OURS = ("volume_half1_unfil.mrc", "volume_half2_unfil.mrc")
THEIRS = ("relion_half1_unfil.mrc", "relion_half2_unfil.mrc")


@dataclass(frozen=True)
class Line:
    """A resolution of the same halves in Å, by our maps and by RELION's, of maps `extent` Å across; `draws`: RELION's of several seeds."""

    measure: str
    ours: float
    theirs: float
    extent: float
    draws: tuple[float, ...] = ()

    @property
    def agrees(self) -> bool:
        """Return whether the two are within 5 % or one shell, or ours lies between RELION's own draws."""
        shells = abs(self.extent / self.ours - self.extent / self.theirs)
        between = bool(self.draws) and min(self.draws) <= self.ours <= max(self.draws)
        return shells < 1.5 or abs(self.theirs / self.ours - 1) <= 0.05 or between

    def __str__(self) -> str:
        percent = 100 * (self.theirs / self.ours - 1)
        draws = f"{min(self.draws):.2f} to {max(self.draws):.2f}" if self.draws else ""
        return f"{self.measure}\t{self.ours:.2f}\t{self.theirs:.2f}\t{percent:+.1f} %\t{draws if self.agrees else 'differs ' + draws}"


def call(folder: Path, *words: object) -> None:
    """Run a program of RELION, silently unless it fails."""
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words[0]} failed in {folder}:\n{(done.stdout + done.stderr)[-2000:]}")


def postprocessed(folder: Path, halves: tuple[str, str], seed: int) -> float:
    """Return the resolution in Å that ``relion_postprocess`` finds for two half maps in the exported mask, its phases drawn from `seed`."""
    out = folder / f"post_{halves[0].split('_')[0]}_{seed}"
    out.mkdir()
    words = ("--i", halves[0], "--i2", halves[1], "--o", out / "post", "--mask", "mask.mrc", "--random_seed", seed)
    call(folder, "relion_postprocess", *words)
    return float(read_star(out / "post.star")["general"]["rlnFinalResolution"][0])


def compared(project: Project, folder: Path) -> list[Line]:
    """Export to `folder`, let RELION work there, and return the resolutions."""
    export(project, "all", folder, "relion")
    for half, name in enumerate(THEIRS, start=1):
        call(folder, "relion_reconstruct", "--i", "particles.star", "--o", name, "--ctf", "--subset", half)
    pairs = [[read_mrc(folder / name).data for name in names] for names in (OURS, THEIRS)]
    size, box = read_mrc(folder / OURS[0]).pixel_size, len(pairs[0][0])
    sphere = spherical_mask(box, project.find("refinement").parameters["mask_diameter"] / 2 / size, 5)
    mask = read_mrc(folder / "mask.mrc").data
    both = [curves(*pair, sphere, mask) for pair in pairs]
    found = {name: [resolution_at(one[name], 0.143, box, size) for one in both] for name in both[0]}
    draws = [tuple(postprocessed(folder, names, seed) for seed in SEEDS) for names in (OURS, THEIRS)]
    ours, theirs = map(median, draws)
    reported = project.find("map").outputs.fsc.meta["resolution"]
    return [
        *(Line(name, *values, box * size) for name, values in found.items()),
        Line("in the mask, relion_postprocess", ours, theirs, box * size, draws[1]),
        Line("our half maps: postprocess.sharpen, relion_postprocess", reported, ours, box * size, draws[0]),
    ]


def curves(
    first: NDArray[np.float32], second: NDArray[np.float32], sphere: NDArray[np.float32], mask: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Return the shell correlations of two half maps without a mask, under the sphere, in the mask and there corrected."""
    masked = masked_fsc(first, second, mask)
    under_sphere = fourier_shell_correlation(first * sphere, second * sphere)
    return {"no mask": masked.unmasked, "sphere": under_sphere, "in the mask": masked.masked, "in the mask, corrected": masked.corrected}


def coordinates(project: Project, folder: Path, data: Path) -> str:
    """Say how the exported picks, and the exported particles less their origins, lie to the true particles."""
    listed = read_star(folder / "autopick.star")["coordinate_files"]
    picks = pl.concat(
        read_star(folder / row["rlnMicrographCoordinates"])[""].with_columns(rlnMicrographName=pl.lit(row["rlnMicrographName"]))
        for row in listed.iter_rows(named=True)
    )
    blocks = read_star(folder / "particles.star")
    size = blocks["optics"]["rlnMicrographPixelSize"][0]
    particles = blocks["particles"].with_columns(
        rlnCoordinateX=pl.col("rlnCoordinateX") - pl.col("rlnOriginXAngst") / size,
        rlnCoordinateY=pl.col("rlnCoordinateY") - pl.col("rlnOriginYAngst") / size,
    )
    truth, words = true_particles(data), []
    radius = 0.2 * project.find("picks").parameters["diameter"] / size
    for name, table in (("picks", picks), ("particles", particles)):
        rows = table.with_columns(
            micrograph_name=pl.col("rlnMicrographName").str.extract(r"([^/]+)\.[^./]+$"), x="rlnCoordinateX", y="rlnCoordinateY"
        )
        found, true = matched(rows, truth, radius)
        away = rows[found].select("x", "y").to_numpy() - truth[true].select("x", "y").to_numpy()
        distance = size * float(np.median(np.linalg.norm(away, axis=1)))
        words.append(f"{len(found)} of {rows.height} {name} lie on a particle, median distance {distance:.1f} Å")
    return "; ".join(words)


def main(words: list[str] | None = None) -> int:
    """Compare one project; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    given = parser.parse_args(words)
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        parser.error(f"{' and '.join(missing)} not found: install RELION (Debian: apt-get install relion) and put it on the PATH")
    project = cryoloom.open_project(given.project)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = compared(project, folder)
        sys.stdout.write("\n".join(["FSC = 0.143, Å\tours\tRELION\tdifference\t", *map(str, lines)]) + "\n")
        if given.data:
            sys.stdout.write(coordinates(project, folder, given.data) + "\n")
    return 0 if all(line.agrees for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
