"""What is planted in the projects of these tests: a micrograph, a map, and the ways to make outputs of them."""

import numpy as np

from cryoloom import files
from cryoloom.app.session import Project
from cryoloom.engine.identity import Work
from cryoloom.formats.mrc import write_mrc

PIXEL = 1.5
ODD = (1037, 1290)
"""Rows and columns of the micrograph: neither divides by a binning."""
BOX = 48
RADIUS = 12.0
"""Of the ball in the map, voxels."""


def publish(project: Project, dataset, protocol: str, sources=(), *, name: str = "", beside=None):
    """Store a set as the output of a finished run made from other outputs, called as its kind is unless told, and other sets by name."""
    named = {name or dataset.kind: dataset, **(beside or {})}
    inputs = {f"in{number}": {"run": each.run.id, "output": each.name, "hash": each.hash} for number, each in enumerate(sources)}
    run = project.folder.new_run(Work(protocol, 1, {}, seed=len(project.runs())), inputs)
    said = {"outputs": {each: made.save(run.path, each) for each, made in named.items()}, "summary": {}, "warnings": [], "failed_items": {}}
    files.write_json(run.path / "outputs.json", {**said, "inputs": {}, "fingerprint": None})
    return project.find(run.id).outputs[name or dataset.kind]


def written(project: Project, name: str, data, *, volume: bool = False, mode: int = 2, pixel_size: float = PIXEL) -> str:
    """Write an image or a map into the project and return its path there."""
    path = project.root / "data" / name
    path.parent.mkdir(exist_ok=True)
    write_mrc(path, data, pixel_size, volume=volume, mode=mode)
    return f"data/{name}"


def micrograph() -> np.ndarray:
    """Return noise on a slope, darker at the right, its first pixel bright."""
    rng = np.random.default_rng(7)
    image = rng.normal(100.0, 5.0, ODD).astype(np.float32) - np.linspace(0, 20, ODD[1], dtype=np.float32)
    image[:8, :8] = 1000.0
    return image


def ball(box: int = BOX, radius: float = RADIUS) -> np.ndarray:
    """Return a soft ball about ``box // 2``, with one voxel outside of it that says which axis is which."""
    z, y, x = np.indices((box, box, box)) - box // 2
    volume = (1.0 / (1.0 + np.exp(2.0 * (np.sqrt(z * z + y * y + x * x) - radius)))).astype(np.float32)
    volume[3, 5, 7] = -1.0
    return volume


def beside() -> np.ndarray:
    """Return a mask of 3.7 % of the box that leaves out the middle of the ball."""
    inside = np.zeros((BOX, BOX, BOX), dtype=np.float32)
    inside[16:32, 16:32, 28:44] = 1.0
    return inside
