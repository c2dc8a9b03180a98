"""classify2d.consensus against truth: ``python -m benchmarks.class_consensus FOLDER [--sets NAME …] [--seed N] [--second PROTOCOL]``.

Simulates sets with a fifth of junk (noise, pairs, off-centre particles, aggregates) under FOLDER, classifies each by `classify2d.em` and by a second
method, and compares at the recall that each classification has alone: what `sets.select --mode auto` keeps of it, and of its cores where it has some.
One line a classification and set; one thread.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cryoloom
from cryoloom.app.simulation import simulate
from cryoloom.formats.star import read_star

MASK = 180.0
"""Å."""


@dataclass(frozen=True)
class Case:
    """What is simulated, and how many classes are made of it by the first and second method."""

    settings: dict[str, Any]
    classes: tuple[int, int]


SETS = {
    "cluster": Case({"particles": 3000, "snr": 0.05}, (40, 32)),
    "faint": Case({"particles": 3000, "snr": 0.03, "phantom_seed": 82, "phantom_diameter": 150.0}, (40, 32)),
    "fainter": Case({"particles": 3000, "snr": 0.02, "phantom_seed": 82, "phantom_diameter": 150.0}, (40, 32)),
    "rod": Case(
        {"particles": 2000, "snr": 0.04, "preferred": 0.7, "phantom_seed": 85, "phantom_diameter": 160.0, "phantom_shape": "rod"}, (20, 32)
    ),
}
JUNK = {"noise_fraction": 0.06, "pair_fraction": 0.05, "off_centre_fraction": 0.05, "aggregate_fraction": 0.04}


def precision_at(score: NDArray[np.float64], good: NDArray[np.bool_], recall: float) -> float:
    """Return the precision of the particles of the lowest scores, of which `recall` of the good ones are among."""
    found = np.cumsum(good[np.argsort(score, kind="stable")])
    last = int(np.searchsorted(found, recall * good.sum() - 1e-9))
    return float(found[last] / (last + 1))


def measured(folder: Path, name: str, seed: int, second: str) -> list[tuple[Any, ...]]:
    """Return the lines of one set: classification, its precision and recall alone, the consensus at that recall, and what the consensus keeps."""
    case, data = SETS[name], folder / name
    if not data.exists():
        simulate(data, "s2", seed, overrides=case.settings | JUNK, threads=1)
    junk = read_star(data / "truth/particles.star")["particles"].sort("cryoloomParticleId")["cryoloomJunk"].to_numpy() != 0
    place = folder / f"project-{name}"
    project = cryoloom.open_project(place) if place.exists() else cryoloom.create_project(place)
    particles = project.run("import.particles", path=str(data / "particles.star")).outputs.particles
    asked = [("classify2d.em", case.classes[0], seed), (second, case.classes[1], seed + 1)]
    runs = [
        project.run(protocol, particles=particles, classes=classes, mask_diameter=MASK, seed=other, threads=1)
        for protocol, classes, other in asked
    ]
    agreed = project.run(
        "classify2d.consensus", particles=[run.outputs.particles for run in runs], classes=[run.outputs.classes for run in runs]
    )
    rows = [part.items.select("id", "junk_score") for part in (agreed.outputs.particles, agreed.outputs.rejected)]
    table = rows[0].vstack(rows[1]).sort("id")
    ids = particles.items.sort("id")["id"]
    here = ids.is_in(table["id"].to_list()).to_numpy()
    good, score = ~junk[here], table["junk_score"].to_numpy()
    kept = score <= 0.5
    own = (round(float(good[kept].mean()), 3), round(float(kept[good].mean()), 3))
    lines = []
    for (protocol, _, _), run in zip(asked, runs, strict=True):
        chosen = project.run(
            "sets.select", items=run.outputs.particles, classes=run.outputs.classes, mode="auto"
        ).outputs.particles.enabled()
        parts = {protocol: chosen} | ({f"{protocol}, cores": chosen.filter("core")} if "core" in chosen.columns else {})
        for label, part in parts.items():
            alone = table["id"].is_in(part["id"].to_list()).to_numpy()
            precision, recall = float(good[alone].mean()), float(alone[good].mean())
            at = precision_at(score, good, recall)
            lines.append((name, label, round(precision, 3), round(recall, 3), round(at, 3), f"{at - precision:+.3f}", *own))
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--second", default="classify2d.hierarchical")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    head = ("set", "alone", "precision", "recall", "consensus at it", "gain", "kept, precision", "kept, recall")
    sys.stdout.write("\t".join(head) + "\n")
    for each in given.sets:
        for line in measured(given.folder.resolve(), each, given.seed, given.second):
            sys.stdout.write("\t".join(map(str, line)) + "\n")
            sys.stdout.flush()
