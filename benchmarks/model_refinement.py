"""Whether servalcat, called by model.fit, brings shaken atoms back: ``CLIBD_MON=... python -m benchmarks.model_refinement MODEL.pdb [--residues 60 124]``.

Part of a protein is laid in its own map (3.5 Å, half maps with noise as strong as their signal at that resolution, a header whose first voxel is
not at 0), shaken by 1.5 Å, and refined with and without the jelly body. Told are RMSD to the truth before and after, the r.m.s. Z of bond
lengths, and how far map and model agree. It needs the command servalcat and a monomer library.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from cryoloom.app.session import create_project
from cryoloom.formats.atomic_model import read_model
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.atoms.density import model_density
from cryoloom.numerics.filters.maps import lowpass, shell_amplitude

BOX, PIXEL, RESOLUTION, SHAKEN, B_FACTOR = 60, 1.2, 3.5, 1.5, 40.0
ORIGIN = np.array([100.0, -40.0, 8.0])
HALF = 0.143


def main() -> None:
    """Print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--residues", type=int, nargs=2, default=(60, 124))
    parser.add_argument("--cycles", type=int, default=20)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    first, last = asked.residues
    lines = [line for line in asked.model.read_text().splitlines() if line.startswith("ATOM") and line[16] in " A"]
    (folder / "part.pdb").write_text("\n".join(line for line in lines if first <= int(line[22:26]) <= last) + "\nEND\n")
    part = read_model(folder / "part.pdb")
    centre = ORIGIN + PIXEL * (BOX // 2)
    truth = part.positions - part.positions.mean(axis=0) + centre
    true = part.copied(truth[None], np.full(len(truth), B_FACTOR))
    clean = model_density(true.atoms(centre), BOX, PIXEL)
    rng = np.random.default_rng(1)
    shell = round(BOX * PIXEL / RESOLUTION)
    halves = []
    for name in ("half1", "half2"):
        noise = rng.standard_normal(clean.shape).astype(np.float32)
        wanted = np.sqrt((1 - HALF) / HALF) * shell_amplitude(clean)[shell]
        halves.append(clean + noise * np.float32(wanted / shell_amplitude(noise)[shell]))
        write_mrc(folder / f"{name}.mrc", halves[-1], PIXEL, volume=True, origin=tuple(ORIGIN))
    write_mrc(folder / "map.mrc", lowpass((halves[0] + halves[1]) / 2, PIXEL, RESOLUTION), PIXEL, volume=True, origin=tuple(ORIGIN))
    shaken = truth + SHAKEN / np.sqrt(3) * rng.standard_normal(truth.shape)
    true.copied(shaken[None]).write(folder / "shaken.cif")
    project = create_project(folder / "project")
    maps = project.run(
        "import.volume", path=str(folder / "map.mrc"), half_map1=str(folder / "half1.mrc"), half_map2=str(folder / "half2.mrc")
    )
    model = project.run("import.model", path=str(folder / "shaken.cif"))
    print(f"{len(truth)} atoms, shaken by {_rmsd(shaken, truth):.2f} Å")
    for jelly in (False, True):
        run = project.run(
            "model.fit", volume=maps.outputs.volume, model=model.outputs.model, resolution=RESOLUTION, search=False, refinement="servalcat",
            cycles=asked.cycles, jelly_body=jelly, threads=1,
        )  # fmt: skip
        found = read_model(next((run.folder.path).glob("model.cif"))).positions
        print(f"jelly body {jelly}: RMSD {_rmsd(found, truth):.2f} Å", dict(run.summary))


def _rmsd(positions: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((positions - truth) ** 2).sum(axis=1).mean()))


if __name__ == "__main__":
    main()
