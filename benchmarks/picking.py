"""Any picker against truth, on simulated micrographs of particles of 120 to 400 Å, a fifth of them with carbon or ice.

::

    python -m benchmarks.picking simulate DIR [--seed N] [--conditions NAME ...]   faint-cluster, faint-ring, faint-rod only when named
    python -m benchmarks.picking run DIR PROTOCOL [KEY=VALUE ...]        such as  run DIR pick.blob
    python -m benchmarks.picking judge DIR LABEL [--output coordinates]  runs that are there already, named CONDITION-LABEL
    python -m benchmarks.picking files DIR SUFFIX                        files of coordinates MICROGRAPH + SUFFIX, of another program

`simulate` writes ``DIR/CONDITION/`` (``micrographs/*.mrc``, ``micrographs_ctf.star``; ``truth/particles.star``, ``truth/volume.mrc`` and
``truth/masks/*.mrc``, every fourth pixel, 1 on contaminants) and the project ``DIR/project`` with the runs ``CONDITION-micrographs``,
``CONDITION-ctfs`` (the true ones) and ``CONDITION-volume``. In values of `run` ``{}`` stands for the condition, ``{diameter}`` for its diameter:
``run DIR pick.template volume={}-volume.volume``. A pick is true within 0.2 diameters of a particle, one to one.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import cryoloom
from cryoloom.app.session import Project
from cryoloom.app.simulation.files import write_image, write_volume
from cryoloom.formats.coordinates import read_coordinates
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star, write_star
from cryoloom.numerics.picking.matching import Agreement, agreement
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import Phantom, random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.numerics.simulate.specimen import Specimen

MICROSCOPE = Microscope(300.0, 2.0, 0.1)
DOSES = (20.0, 40.0)
DEFOCI = (10_000.0, 30_000.0)
MICROGRAPHS, DIRTY = 10, ("carbon", "ice")
"""So many micrographs of each condition, the last ones contaminated: carbon over a quarter of one, six contaminants on another, on average."""


@dataclass(frozen=True)
class Condition:
    """A particle and the field it lies in; lengths in Å, `side` in px. Dose (e/Å²) and defocus are drawn for each micrograph."""

    shape: str
    diameter: float
    pixel_size: float
    side: int
    particles: int
    micrographs: int = MICROGRAPHS
    doses: tuple[float, float] = DOSES
    defoci: tuple[float, float] = DEFOCI
    faint: bool = False

    @property
    def name(self) -> str:
        """The shape and the diameter; of faint ones that they are."""
        return f"faint-{self.shape}" if self.faint else f"{self.shape}-{self.diameter:g}"

    def phantom(self, seed: int) -> Phantom:
        """Return the particle; each seed has another."""
        return random_phantom(1000 * seed + int(self.diameter), self.diameter, shape=self.shape)


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("cluster", 120.0, 1.5, 1024, 60),
        Condition("ring", 120.0, 1.5, 1024, 60),
        Condition("cluster", 180.0, 2.0, 1024, 50),
        Condition("ring", 180.0, 2.0, 1024, 50),
        Condition("cluster", 250.0, 2.5, 1200, 50),
        Condition("rod", 250.0, 2.5, 1200, 50),
        Condition("cluster", 400.0, 3.0, 1400, 40),
        Condition("ring", 400.0, 3.0, 1400, 40),
    )
}

FAINT = {
    condition.name: condition
    for condition in (
        Condition("cluster", 120.0, 1.5, 896, 45, 8, (20.0, 22.0), (10_000.0, 13_000.0), faint=True),
        Condition("ring", 120.0, 1.5, 896, 45, 8, (20.0, 22.0), (10_000.0, 13_000.0), faint=True),
        Condition("rod", 120.0, 1.5, 896, 45, 8, faint=True),
    )
}
"""Where pickers differ; seeds 101 and 102 taught pick.consensus (``training/fusion.py``)."""


def draw(condition: Condition, seed: int) -> Iterator[tuple[str, str, Specimen, np.ndarray]]:
    """Yield the micrographs of a condition: name, what it is contaminated with or nothing, the specimen and the counts."""
    phantom = condition.phantom(seed)
    for number in range(condition.micrographs):
        dirt = (("",) * (condition.micrographs - len(DIRTY)) + DIRTY)[number]
        rng = np.random.default_rng((seed, int(condition.diameter), len(condition.shape), number))
        recipe = Recipe(
            height=condition.side, width=condition.side, pixel_size=condition.pixel_size, particles=condition.particles, gradient=0.04,
            defocus_min=condition.defoci[0], defocus_max=condition.defoci[1], contaminants=6.0 * (dirt == "ice"), carbon_fraction=float(dirt == "carbon"),
        )  # fmt: skip
        specimen = draw_specimen(recipe, [phantom], MICROSCOPE, rng)
        yield f"{condition.name}_{number + 1:02d}", dirt, specimen, micrograph(specimen, MICROSCOPE, rng.uniform(*condition.doses), rng)


def simulate(folder: Path, condition: Condition, seed: int) -> None:
    """Write a condition's micrographs and their truth."""
    (folder / "micrographs").mkdir(parents=True)
    (folder / "truth/masks").mkdir(parents=True)
    ctfs, truth = [], []
    for name, dirt, specimen, image in draw(condition, seed):
        path = f"micrographs/{name}.mrc"
        write_image(folder / path, image, condition.pixel_size)
        write_image(folder / f"truth/masks/{name}.mrc", specimen.contaminated[::4, ::4].astype(np.int8), 4.0 * condition.pixel_size)
        defocus = specimen.defocus
        ctfs.append(
            {
                "rlnMicrographName": path, "rlnOpticsGroup": 1, "rlnDefocusU": defocus.u, "rlnDefocusV": defocus.v,
                "rlnDefocusAngle": defocus.angle, "rlnPhaseShift": defocus.plate, "cryoloomDirt": dirt or "none",
            }
        )  # fmt: skip
        truth += [
            {
                "rlnMicrographName": path, "rlnCoordinateX": one.x, "rlnCoordinateY": one.y,
                "rlnAngleRot": one.angles[0], "rlnAngleTilt": one.angles[1], "rlnAnglePsi": one.angles[2],
            }
            for one in specimen.particles
        ]  # fmt: skip
    optics = pl.DataFrame(
        {
            "rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnMicrographPixelSize": [condition.pixel_size],
            "rlnMicrographOriginalPixelSize": [condition.pixel_size], "rlnVoltage": [MICROSCOPE.voltage],
            "rlnSphericalAberration": [MICROSCOPE.cs], "rlnAmplitudeContrast": [MICROSCOPE.amplitude_contrast],
        }
    )  # fmt: skip
    write_star(folder / "micrographs_ctf.star", {"optics": optics, "micrographs": pl.DataFrame(ctfs)})
    write_star(folder / "truth/particles.star", {"particles": pl.DataFrame(truth)})
    box = 2 * round(0.6 * condition.diameter / condition.pixel_size)
    write_volume(folder / "truth/volume.mrc", density(condition.phantom(seed), box, condition.pixel_size), condition.pixel_size)


def imported(project: Project, folder: Path, condition: Condition) -> None:
    """Import what `simulate` wrote."""
    values = {
        "pattern": str(folder / "micrographs/*.mrc"), "pixel_size": condition.pixel_size, "voltage": MICROSCOPE.voltage, "cs": MICROSCOPE.cs,
        "amplitude_contrast": MICROSCOPE.amplitude_contrast,
    }  # fmt: skip
    micrographs = project.run("import.micrographs", values, name=f"{condition.name}-micrographs", threads=1)
    star = str(folder / "micrographs_ctf.star")
    project.run("import.ctfs", name=f"{condition.name}-ctfs", micrographs=micrographs.outputs.micrographs, path=star, threads=1)
    project.run("import.volume", name=f"{condition.name}-volume", path=str(folder / "truth/volume.mrc"), threads=1)


@dataclass(frozen=True)
class Verdict:
    """Picks of one condition: on all micrographs, on clean ones, on dirty ones, and the share of picks on contaminants or carbon."""

    everywhere: Agreement
    clean: Agreement
    dirty: Agreement
    on_dirt: float

    def line(self, name: str, seconds: str = "") -> str:
        """Return a row of a Markdown table."""
        groups = " | ".join(f"{one.f1:.3f} ({one.recall:.2f} / {one.precision:.2f})" for one in (self.everywhere, self.clean, self.dirty))
        whole = self.everywhere
        return f"| {name} | {whole.true} | {groups} | {whole.auprc:.3f} | {whole.centring:.3f} | {100 * self.on_dirt:.0f} % | {seconds} |"


HEAD = (
    "| condition | true | F1 (recall / precision) | clean micrographs | with carbon or ice | AUPRC | centring, diameters | on contaminants | "
    "CPU s a micrograph |\n|---|---|---|---|---|---|---|---|---|"
)


def judged(folder: Path, condition: Condition, picks: pl.DataFrame) -> Verdict:
    """Compare `picks` (``micrograph_name`` without folder and suffix, ``x``, ``y`` in px, perhaps ``score``) with the truth in `folder`."""
    stem = pl.col("rlnMicrographName").str.extract(r"([^/]+)\.mrc$")
    truth = read_star(folder / "truth/particles.star")["particles"].with_columns(name=stem)
    micrographs = read_star(folder / "micrographs_ctf.star")["micrographs"].with_columns(name=stem)
    if "score" not in picks.columns:
        picks = picks.with_columns(score=pl.lit(1.0))
    found, true, on_dirt = [], [], 0
    for name in micrographs["name"]:
        mine = picks.filter(pl.col("micrograph_name") == name)
        centres = mine.select("x", "y").to_numpy().astype(np.float64)
        found.append((centres, mine["score"].to_numpy().astype(np.float64)))
        true.append(truth.filter(pl.col("name") == name).select("rlnCoordinateX", "rlnCoordinateY").to_numpy())
        mask = read_mrc(folder / f"truth/masks/{name}.mrc").data
        columns, rows = (np.clip(np.rint(centres / 4.0).astype(int), 0, len(mask) - 1)).T
        on_dirt += int(np.count_nonzero(mask[rows, columns]))
    diameter = condition.diameter / condition.pixel_size
    dirty = micrographs["cryoloomDirt"] != "none"
    parts = [range(len(true)), np.flatnonzero(~dirty.to_numpy()), np.flatnonzero(dirty.to_numpy())]
    everywhere, clean, dirty_ones = (agreement([found[i] for i in part], [true[i] for i in part], diameter) for part in parts)
    return Verdict(everywhere, clean, dirty_ones, on_dirt / max(everywhere.picked, 1))


def _conditions(folder: Path, names: list[str] | None) -> list[Condition]:
    return [condition for name, condition in (CONDITIONS | FAINT).items() if (not names or name in names) and (folder / name).exists()]


def _filled(words: list[str], condition: Condition) -> dict[str, str]:
    pairs = (word.partition("=") for word in words)
    return {key: value.replace("{diameter}", f"{condition.diameter:g}").replace("{}", condition.name) for key, _, value in pairs}


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "run", "judge", "files"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conditions", nargs="+", choices=tuple(CONDITIONS | FAINT))
    parser.add_argument("--output", default="coordinates")
    given = parser.parse_args(words)
    folder = given.folder.resolve()
    place = folder / "project"
    if given.what == "simulate":
        project = cryoloom.open_project(place) if place.exists() else cryoloom.create_project(place)
        for condition in ((CONDITIONS | FAINT)[name] for name in given.conditions or CONDITIONS):
            simulate(folder / condition.name, condition, given.seed)
            imported(project, folder / condition.name, condition)
            sys.stderr.write(f"{condition.name}\n")
        return
    project = cryoloom.open_project(place)
    print(HEAD)
    for condition in _conditions(folder, given.conditions):
        seconds = ""
        if given.what == "files":
            stems = sorted(path.stem for path in (folder / condition.name / "micrographs").glob("*.mrc"))
            files = [(stem, folder / condition.name / f"micrographs/{stem}{given.words[0]}") for stem in stems]
            tables = [read_coordinates(path).with_columns(micrograph_name=pl.lit(stem)) for stem, path in files if path.exists()]
            picks = pl.concat(tables, how="diagonal_relaxed")
        elif given.what == "judge":
            picks = project.find(f"{condition.name}-{given.words[0]}").outputs[given.output].enabled()
        else:
            protocol, *more = given.words
            values = {"micrographs": f"{condition.name}-micrographs.micrographs", "ctfs": f"{condition.name}-ctfs.ctfs"}
            values |= {"diameter": f"{condition.diameter:g}"} | _filled(more, condition)
            run = project.run(protocol, {key: value for key, value in values.items() if value}, threads=1, again=True)
            picks, seconds = run.outputs[given.output].enabled(), f"{run.spent['cpu_seconds'] / condition.micrographs:.1f}"
        print(judged(folder / condition.name, condition, picks).line(condition.name, seconds), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
