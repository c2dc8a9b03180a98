"""Which micrographs ``ctf.refine`` accepts: ``python -m benchmarks.ctf_screening FOLDER [--good N] [--bad N] [--side PX] [--seed N]``.

Good ones are drawn as `benchmarks.ctf` draws them: 1.34 Å/px, 20 e/Å², 0.8 to 3 µm, astigmatism 0 to 800 Å, P80 and contaminants. Bad ones are good
ones of which one thing is wrong. All go through the run that a user would start, by its defaults and without earlier CTFs.
"""

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

import cryoloom
from cryoloom.app.simulation.files import write_image
from cryoloom.app.simulation.presets import MoviePreset
from cryoloom.app.simulation.sample import phantoms_of
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.motion import Motion
from cryoloom.numerics.simulate.movie import intensities
from cryoloom.numerics.simulate.optics import Defocus, Microscope

Image = NDArray[np.float32]

PIXEL_SIZE, DOSE = 1.34, 20.0
BAD = ("vacuum", "rings to 25 Å", "astigmatic", "drifted", "crystalline")


def spoiled(kind: str, image: Image, rng: np.random.Generator) -> Image:
    """Return a relative intensity without noise as it would be with one thing wrong."""
    kx, ky = frequencies(*image.shape, PIXEL_SIZE)
    if kind == "vacuum":
        return np.ones_like(image)
    if kind == "rings to 25 Å":
        return backward(forward(image) * (np.hypot(kx, ky) < 1 / 25), image.shape)
    if kind == "drifted":  # evenly, by 40 Å along one direction
        angle = rng.uniform(0, np.pi)
        return backward(forward(image) * np.sinc(40 * (kx * np.cos(angle) + ky * np.sin(angle))), image.shape)
    if kind == "crystalline":  # lattices of cubic and hexagonal ice, by as much as all else in the picture
        y, x = np.indices(image.shape, dtype=np.float32) * np.float32(2 * np.pi * PIXEL_SIZE)
        waves = [(1 / rng.uniform(3.65, 3.95), rng.uniform(0, np.pi)) for _ in range(12)]
        lattice = sum(np.cos(s * (x * np.cos(angle) + y * np.sin(angle)), dtype=np.float32) for s, angle in waves)
        return image + np.float32(0.5 * image.std() / np.std(lattice)) * lattice
    return image


def draw(kind: str, number: int, side: int, seed: int) -> tuple[NDArray[np.uint16], Defocus]:
    """Return the counts of a micrograph of one kind ("good" or of `BAD`), and its defocus."""
    sample, rng = MoviePreset(), np.random.default_rng((seed, number))
    microscope, share = Microscope(sample.voltage, sample.cs, sample.amplitude_contrast), (side / 4096) ** 2
    recipe = Recipe(
        side, side, PIXEL_SIZE, particles=round(150 * share), contaminants=4 * share, gradient=0.04,
        defocus_min=8000, defocus_max=30000, astigmatism=800,
    )  # fmt: skip
    specimen = draw_specimen(recipe, phantoms_of(sample), microscope, rng)
    if kind == "astigmatic":
        mean, apart = 0.5 * (specimen.defocus.u + specimen.defocus.v), rng.uniform(3000, 5000)
        specimen = replace(specimen, defocus=Defocus(mean + apart / 2, mean - apart / 2, specimen.defocus.angle))
    still = Motion(np.zeros((1, 2)), np.zeros((2, 6, 3)))
    image = spoiled(kind, next(intensities(specimen, still, microscope, 0.0, pre_exposure=0.5 * DOSE)), rng)
    return rng.poisson(np.maximum(image, 0.02) * (DOSE * PIXEL_SIZE**2)).astype(np.uint16), specimen.defocus


def main() -> None:
    """Print what was accepted, and why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for micrographs and project; must not hold one yet")
    parser.add_argument("--good", type=int, default=200)
    parser.add_argument("--bad", type=int, default=50)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    kinds = ["good"] * given.good + [BAD[number % len(BAD)] for number in range(given.bad)]
    truths = []
    for number, kind in enumerate(kinds):
        image, defocus = draw(kind, number, given.side, given.seed)
        write_image(given.folder / f"m{number:03d}.mrc", image, PIXEL_SIZE)
        truths.append({"micrograph_name": f"m{number:03d}", "kind": kind, "true": 0.5 * (defocus.u + defocus.v)})
    sample, project = MoviePreset(), cryoloom.create_project(given.folder / "project")
    project.run(
        "import.micrographs", pattern=str(given.folder.resolve() / "m*.mrc"), name="micrographs", pixel_size=PIXEL_SIZE,
        voltage=sample.voltage, cs=sample.cs, amplitude_contrast=sample.amplitude_contrast,
    )  # fmt: skip
    run = project.run("ctf.refine", micrographs=project.find("micrographs").outputs.micrographs, name="ctfs", threads=1)
    rows = run.outputs.ctfs.to_polars().join(pl.DataFrame(truths), on="micrograph_name")
    rows = rows.with_columns(off=0.5 * (pl.col("defocus_u") + pl.col("defocus_v")) - pl.col("true"))
    for kind in ("good", *BAD):
        chosen = rows.filter(pl.col("kind") == kind)
        if chosen.is_empty():
            continue
        accepted = chosen.filter("enabled")
        why = Counter(reason.split(" ")[0] for told in chosen["fail_reason"] for reason in told.split("; ") if reason)
        off = accepted["off"].abs().to_numpy()
        errors = f"; defocus off by {np.median(off):.0f} Å in the median, {off.max():.0f} Å at most" if len(off) else ""
        sys.stdout.write(f"{kind}: {accepted.height} of {chosen.height} accepted{errors}; {dict(why.most_common())}\n")
        if kind == "good":
            for row in chosen.filter(~pl.col("enabled")).iter_rows(named=True):
                sys.stdout.write(f"  {row['micrograph_name']}: off by {row['off']:.0f} Å at {row['true']:.0f} Å: {row['fail_reason']}\n")
    sys.stdout.write(f"{run.spent['cpu_seconds'] / len(kinds):.2f} s of the processor a micrograph\n")


if __name__ == "__main__":
    main()
