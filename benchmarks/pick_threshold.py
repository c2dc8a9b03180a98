"""What `pick.blob`'s threshold does to picks, particles and those selected: ``python -m benchmarks.pick_threshold DATA PROJECT PROBABILITY…``.

DATA is a folder of ``cryoloom simulate``, PROJECT one that ``cryoloom process DATA/movies/* … --until sets.select`` made of it: its picking,
extraction, classification and selection are done again with every probability, all else as it was. One line each.
"""

import argparse
import sys
from pathlib import Path

import polars as pl

from benchmarks.against_truth import centred, matched, true_particles
from cryoloom.app.runs import Run
from cryoloom.app.session import Project, open_project


def chain(project: Project, probability: float) -> list[pl.DataFrame]:
    """Return the picks, the classified and the selected particles with another threshold."""
    micrographs, ctfs = project.find("micrographs").outputs.micrographs, project.find("ctfs").outputs.ctfs

    def again(label: str, **inputs: object) -> Run:
        return project.run(before[label].protocol, **{**before[label].parameters, **inputs}, seed=1, threads=1)

    before = {label: project.find(label) for label in ("picks", "particles-binned", "classes2d", "good-particles")}
    picks = again("picks", micrographs=micrographs, ctfs=ctfs, probability=probability).outputs.coordinates
    cut = again("particles-binned", micrographs=micrographs, ctfs=ctfs, coordinates=picks).outputs.particles
    classified = again("classes2d", particles=cut).outputs
    chosen = again("good-particles", items=classified.particles, classes=classified.classes).outputs.particles
    return [picks.enabled(), classified.particles.items, chosen.enabled()]


def judged(rows: pl.DataFrame, truth: pl.DataFrame, pixel_size: float, radius: float) -> str:
    """Return recall, precision and number of picks, or of particles where their classification put their centres."""
    found = len(matched(centred(rows, pixel_size) if "origin_x" in rows.columns else rows, truth, radius)[0])
    return f"{found / truth.height:.3f} / {found / max(rows.height, 1):.3f} of {rows.height}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("project", type=Path)
    parser.add_argument("probabilities", type=float, nargs="+")
    given = parser.parse_args()
    project, truth = open_project(given.project), true_particles(given.data)
    pixel_size = project.find("micrographs").outputs.micrographs.optics[0]["pixel_size"]
    radius = 0.2 * project.find("picks").parameters["diameter"] / pixel_size
    sys.stdout.write("probability\tpicks\tclassified\tselected (recall / precision)\n")
    for probability in given.probabilities:
        figures = [judged(rows, truth, pixel_size, radius) for rows in chain(project, probability)]
        sys.stdout.write("\t".join((f"{probability:g}", *figures)) + "\n")
        sys.stdout.flush()
