"""How far RELION's half maps of its own refinement agree, and those that ``relion_reconstruct`` makes of the same poses, beside ours.

``python -m benchmarks.relion_refinement PROJECT OUT [RUN]``: RUN is a run of ``refine.auto`` in PROJECT, by default that of ``cryoloom process``, and OUT
a new folder. RELION refines the exported particles in the exported halves, searching near the exported poses, with ``--skip_gridding`` (the default
of its form); the last iteration is done again with gridding. What OUT holds already is not done again.
FSC = 0.143 in Å, without a mask and under the refinement's sphere, of the half maps that a refinement wrote and of what ``relion_reconstruct
--ctf`` makes of the poses it wrote: by default, without gridding, with ``--pad 1``, and divided as the halves' curve tells (``--fsc``).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

import cryoloom
from benchmarks.alignment.peer import carry_out
from benchmarks.relion_export import OURS, call
from cryoloom.app.export import export
from cryoloom.app.session import Project
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import write_star
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at, shell_frequencies
from cryoloom.numerics.masks.soft import spherical_mask

ORDER = "4"
"""HEALPix order of the first search: 3.75 degrees, within 22 degrees of the given pose."""
REFINE = (
    "--i", "particles.star", "--ref", "start.mrc", "--ini_high", "30", "--auto_refine", "--split_random_halves", "--ctf", "--pad", "2",
    "--firstiter_cc", "--healpix_order", ORDER, "--auto_local_healpix_order", ORDER, "--oversampling", "1", "--offset_range", "5",
    "--offset_step", "2", "--low_resol_join_halves", "40", "--flatten_solvent", "--zero_mask", "--norm", "--scale", "--preread_images",
    "--dont_combine_weights_via_disc", "--pool", "30", "--j", "1", "--random_seed", "1",
)  # fmt: skip
WAYS: dict[str, tuple[str, ...]] = {
    "relion_reconstruct --ctf": (),
    "--skip_gridding": ("--skip_gridding",),
    "--pad 1": ("--pad", "1"),
    "--fsc": ("--fsc", "halves.star"),
}

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def refine(folder: Path, name: str, words: tuple[str, ...]) -> None:
    """Refine in the folder `name` of `folder`, unless that was done."""
    out = folder / name
    if not (out / "run_data.star").exists():
        out.mkdir(exist_ok=True)
        carry_out(folder, out, words, ranks=3)


def reconstructed(folder: Path, particles: str, words: tuple[str, ...]) -> Pair:
    """Return the half maps that ``relion_reconstruct`` makes of `particles`."""
    for half in (1, 2):
        call(folder, "relion_reconstruct", "--i", particles, "--o", f"of_{half}.mrc", "--ctf", "--subset", half, *words)
    return halves(folder, ("of_1.mrc", "of_2.mrc"))


def halves(folder: Path, names: tuple[str, str]) -> Pair:
    """Read two maps."""
    first, second = (read_mrc(folder / name).data for name in names)
    return first, second


def compared(project: Project, run: str, folder: Path) -> list[str]:
    """Return the lines of the table."""
    if not folder.exists():
        for output in ("particles", "volume"):
            export(project, f"{run}.{output}", folder, "relion")
        (folder / "start.mrc").symlink_to("volume.mrc")
    diameter = project.find(run).parameters["mask_diameter"]
    sets = {"ours": ("particles.star", halves(folder, OURS))}
    refine(folder, "RELION", (*REFINE, "--particle_diameter", f"{diameter:g}", "--skip_gridding"))
    last = sorted((folder / "RELION").glob("run_it???_optimiser.star"))[-1]
    refine(folder, "RELION-gridding", ("--continue", f"RELION/{last.name}", "--j", "1"))
    for name in ("RELION", "RELION-gridding"):
        sets[name] = (f"{name}/run_data.star", halves(folder / name, ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc")))
    size, box = read_mrc(folder / OURS[0]).pixel_size, len(sets["ours"][1][0])
    sphere = spherical_mask(box, diameter / 2 / size, 5)
    lines = []
    for name, (particles, own) in sets.items():
        under = fourier_shell_correlation(own[0] * sphere, own[1] * sphere)
        curve = pl.DataFrame({
            "rlnSpectralIndex": np.arange(len(under)), "rlnResolution": shell_frequencies(box, size), "rlnGoldStandardFsc": under,
        })  # fmt: skip
        write_star(folder / "halves.star", {"fsc": curve})
        for way, pair in {"its half maps": own, **{way: reconstructed(folder, particles, words) for way, words in WAYS.items()}}.items():
            found = [fourier_shell_correlation(*pair), fourier_shell_correlation(pair[0] * sphere, pair[1] * sphere)]
            lines.append("\t".join([name, way, *(f"{resolution_at(one, 0.143, box, size):.2f}" for one in found)]))
    return lines


def main(words: list[str] | None = None) -> int:
    """Compare one project; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("run", nargs="?", default="refinement")
    given = parser.parse_args(words)
    lines = compared(cryoloom.open_project(given.project), given.run, given.out)
    sys.stdout.write("\n".join(["poses\tmaps\tno mask\tsphere", *lines]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
