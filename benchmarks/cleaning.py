"""pick.clean against truth: its masks, and what it makes of the picks of pick.blob and of a picker that goes by strength alone.

::

    python -m benchmarks.cleaning masks [--seed N] [--repeats N]     simulated micrographs with every kind of contamination
    python -m benchmarks.cleaning picks DIR [--conditions NAME ...]  picks of pick.blob; DIR as `python -m benchmarks.picking simulate DIR` makes it
    python -m benchmarks.cleaning strong DIR                         all blobs that are as strong as nine tenths of the particles'

A pick is on a contaminant if the pixel at its centre is; it is good if it is within 0.2 diameters of a particle, one to one.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import torch

import cryoloom
from benchmarks.picking import _conditions
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.picking.blob import find_blobs
from cryoloom.numerics.picking.cleaning import cleaner, find_cover
from cryoloom.numerics.picking.matching import match_points
from cryoloom.numerics.picking.peaks import keep_apart
from cryoloom.numerics.picking.scene import reduce_micrograph
from cryoloom.numerics.simulate.contaminants import COVERS
from cryoloom.numerics.simulate.field import Recipe, draw_specimen, number_of
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom

MICROSCOPE = Microscope(300.0, 2.0, 0.1)
THRESHOLD = 0.75
HEAD = "| condition | on contaminants | left out | good | left out | on clean micrographs | left out |\n|---|---|---|---|---|---|---|"
SAMPLES = (("cluster", 110.0, 1.5), ("ring", 160.0, 2.0), ("cluster", 220.0, 2.5), ("rod", 300.0, 3.0))
"""Shape, diameter (Å) and pixel size (Å/px) of the particles; micrographs are 1280 px wide and high."""
FIELDS = {
    "carbon": {"carbon_fraction": 1.0, "contaminants": 2.0},
    "border": {"border_fraction": 1.0, "contaminants": 2.0},
    "sheets and gold": {"sheets": 2.0, "beads": 4.0},
    "small": {"contaminants": 6.0},
    "clean": {},
}


def masks(seed: int, repeats: int) -> None:
    """Print how well masks agree with the truth, by kind of field."""
    print(
        "| field | IoU | of the films | particles left out | places on contaminants left out | turned by 90°, RMS | s |\n|---|---|---|---|---|---|---|"
    )
    for number, (name, more) in enumerate(FIELDS.items()):
        sums: dict[str, list[float]] = defaultdict(list)
        for index, (shape, diameter, pixel_size) in enumerate(SAMPLES * repeats):
            rng = np.random.default_rng((seed, number, index))
            recipe = Recipe(
                1280, 1280, pixel_size, 60, gradient=0.04, defocus_min=1e4, defocus_max=3e4, grain=0.12 / pixel_size, ice=0.06 / pixel_size, **more
            )  # fmt: skip
            specimen = draw_specimen(recipe, [random_phantom(1000 * seed + index, diameter, shape=shape)], MICROSCOPE, rng)
            image = micrograph(specimen, MICROSCOPE, rng.uniform(20.0, 40.0), rng)
            start = time.process_time()
            cover = find_cover(image, pixel_size, diameter, cleaner())
            sums["seconds"].append(time.process_time() - start)
            rows, columns = ((np.arange(1280) / each).astype(int) for each in cover.scale)
            found = (
                cover.probability[np.ix_(np.minimum(rows, len(cover.probability) - 1), np.minimum(columns, cover.probability.shape[1] - 1))]
                > 0.5
            )
            films = np.isin(specimen.covers, [number_of(kind) for kind in COVERS[:3]])
            for key, true in (("all", specimen.contaminated), ("films", films)):
                there = found if key == "all" else found & (films | ~specimen.contaminated)
                sums[f"{key} both"].append((there & true).sum())
                sums[f"{key} either"].append((there | true).sum())
                sums[f"{key} there"] += [1.0] if true.any() else []
            good = cover.region_scores(*np.array([(each.x, each.y) for each in specimen.particles]).reshape(-1, 2).T)
            y, x = np.nonzero(specimen.contaminated)
            some = rng.permutation(len(y))[:200]
            sums["good"] += (good < THRESHOLD).tolist()
            sums["bad"] += (cover.region_scores(x[some].astype(float), y[some].astype(float)) < THRESHOLD).tolist()
            turned = find_cover(np.rot90(image).copy(), pixel_size, diameter, cleaner())
            x, y = rng.uniform(0.0, 1279.0, (2, 300))
            sums["turned"] += ((cover.region_scores(x, y) - turned.region_scores(y, 1279.0 - x)) ** 2).tolist()
        wholes = {key: sum(sums[f"{key} either"]) for key in ("all", "films")}
        iou = [sum(sums[f"{key} both"]) / whole if name != "clean" and sums[f"{key} there"] else np.nan for key, whole in wholes.items()]
        print(
            f"| {name} | {iou[0]:.3f} | {iou[1]:.3f} | {100 * np.mean(sums['good']):.2f} % | {100 * np.mean(sums['bad'] or [np.nan]):.1f} % | "
            f"{np.sqrt(np.nanmean(sums['turned'])):.4f} | {np.mean(sums['seconds']):.2f} |", flush=True,
        )  # fmt: skip


def picks(folder: Path, names: list[str] | None) -> None:
    """Print what is left out of the picks of pick.blob."""
    project = cryoloom.open_project(folder / "project")
    print(HEAD)
    sums = np.zeros(6, dtype=int)
    for condition in _conditions(folder, names):
        micrographs = f"{condition.name}-micrographs.micrographs"
        picked = project.run(
            "pick.blob", micrographs=micrographs, ctfs=f"{condition.name}-ctfs.ctfs", diameter=condition.diameter, threads=1
        )  # fmt: skip
        cleaned = project.run("pick.clean", coordinates=picked.outputs.coordinates, micrographs=micrographs, threads=1)
        kept = cleaned.outputs.coordinates.enabled().select("id", kept=pl.lit(True))
        rows = picked.outputs.coordinates.enabled().join(kept, on="id", how="left").with_columns(pl.col("kept").fill_null(False))
        counts = counted(folder / condition.name, rows, condition.diameter / condition.pixel_size)
        sums += counts
        print(line(condition.name, counts), flush=True)
    print(line("all", sums))


def strong(folder: Path, names: list[str] | None) -> None:
    """Print what is left out of all blobs that are as strong as nine tenths of the particles': contaminants are strong, too."""
    print(HEAD)
    sums = np.zeros(6, dtype=int)
    for condition in _conditions(folder, names):
        place, diameter = folder / condition.name, condition.diameter / condition.pixel_size
        rows = []
        for path in sorted((place / "micrographs").glob("*.mrc")):
            image = read_mrc(path).data
            blobs = find_blobs(reduce_micrograph(image, condition.pixel_size, condition.diameter), border=0.3)
            scores = find_cover(image, condition.pixel_size, condition.diameter, cleaner()).region_scores(blobs.x, blobs.y)
            apart = np.zeros(len(blobs.x), dtype=bool)
            order = np.argsort(-blobs.strength)
            apart[order[keep_apart(blobs.x[order], blobs.y[order], 0.6 * diameter)]] = True
            frame = pl.DataFrame({"x": blobs.x, "y": blobs.y, "strength": blobs.strength, "kept": ~(scores < THRESHOLD)})
            rows.append(frame.filter(pl.Series(apart)).with_columns(micrograph_name=pl.lit(path.stem)))
        table = pl.concat(rows)
        counts = counted(place, table.filter(pl.col("strength") >= least_strength(place, table, diameter)), diameter)
        sums += counts
        print(line(condition.name, counts), flush=True)
    print(line("all", sums))


def least_strength(folder: Path, rows: pl.DataFrame, diameter: float) -> float:
    """Return the strength that nine tenths of the true particles among the blobs have."""
    truth = read_star(folder / "truth/particles.star")["particles"]
    strengths = []
    for (name,), mine in rows.group_by("micrograph_name"):
        true = truth.filter(pl.col("rlnMicrographName").str.contains(f"{name}.mrc", literal=True)).select(
            "rlnCoordinateX", "rlnCoordinateY"
        )
        found, _ = match_points(mine.select("x", "y").to_numpy().astype(np.float64), true.to_numpy(), 0.2 * diameter)
        strengths += mine["strength"].to_numpy()[found].tolist()
    return float(np.quantile(strengths, 0.1))


def counted(folder: Path, rows: pl.DataFrame, diameter: float) -> np.ndarray:
    """Return picks on contaminants, good ones and those of clean micrographs, each followed by how many of them were left out."""
    stem = pl.col("rlnMicrographName").str.extract(r"([^/]+)\.mrc$")
    truth = read_star(folder / "truth/particles.star")["particles"].with_columns(name=stem)
    counts = np.zeros(6, dtype=int)
    for name, dirt in read_star(folder / "micrographs_ctf.star")["micrographs"].select(stem, "cryoloomDirt").iter_rows():
        mine = rows.filter(pl.col("micrograph_name") == name)
        centres, out = mine.select("x", "y").to_numpy().astype(np.float64), ~mine["kept"].to_numpy()
        true = truth.filter(pl.col("name") == name).select("rlnCoordinateX", "rlnCoordinateY").to_numpy()
        mask = read_mrc(folder / f"truth/masks/{name}.mrc").data
        column, row = (np.clip(np.rint(centres / 4.0).astype(int), 0, len(mask) - 1)).T
        dirty = mask[row, column] > 0
        good = np.zeros(len(centres), dtype=bool)
        good[match_points(centres, true, 0.2 * diameter)[0]] = True
        clean = np.full(len(centres), dirt == "none")
        counts += [n for each in (dirty, good & ~dirty, clean) for n in (int(each.sum()), int((each & out).sum()))]
    return counts


def line(name: str, counts: np.ndarray) -> str:
    """Return a row of a Markdown table."""
    pairs = zip(counts[::2], counts[1::2], strict=True)
    return f"| {name} | " + " | ".join(f"{n} | {100 * out / max(n, 1):.1f} %" for n, out in pairs) + " |"


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("masks", "picks", "strong"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--conditions", nargs="+")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    if given.what == "masks":
        masks(given.seed, given.repeats)
    elif given.folder is None:
        parser.error(f"{given.what} needs the folder that `python -m benchmarks.picking simulate` made")
    else:
        picks(given.folder.resolve(), given.conditions) if given.what == "picks" else strong(given.folder.resolve(), given.conditions)


if __name__ == "__main__":
    main(sys.argv[1:])
