"""Drawn scenes on disk: what one process draws in the background another trains on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.learn.detector_loss import CONTAMINANT, IGNORED
from cryoloom.numerics.simulate.contaminants import KINDS
from training.scenes import CLASSES, TRAINING, Ranges, Scene, draw_scene

SHARD = 64
"""Scenes a file."""

LUMPS = [CLASSES.index(kind) for kind in KINDS]
"""Contaminants of about a particle's size."""


@dataclass(frozen=True)
class Drawn:
    """Scenes in memory.

    Attributes
    ----------
    images
        ``(n, h, w)`` float16, scaled to a standard deviation of 1.
    ground
        ``(n, h, w)`` uint8: 0, `IGNORED` as in `Scene.ignored`, or `CONTAMINANT` where one of `LUMPS` lies.
    places
        ``(m, 4)`` float32: index of the scene, x, y, diameter, in px.
    """

    images: NDArray[np.float16]
    ground: NDArray[np.uint8]
    places: NDArray[np.float32]


def draw(first: int, count: int, *, size: int = 256, ranges: Ranges = TRAINING) -> Drawn:
    """Draw the scenes of `count` seeds from `first` on."""
    scenes = [draw_scene(seed, size=size, ranges=ranges) for seed in range(first, first + count)]
    levelled = [(scene.image - scene.image.mean()) / max(float(scene.image.std()), 1e-6) for scene in scenes]
    places = [np.column_stack([np.full(len(scene.centres), index), scene.centres, scene.diameters]) for index, scene in enumerate(scenes)]
    return Drawn(
        np.stack(levelled).astype(np.float16), np.stack([_ground(scene) for scene in scenes]), np.concatenate(places).astype(np.float32)
    )


def _ground(scene: Scene) -> NDArray[np.uint8]:
    return np.where(scene.ignored, IGNORED, np.where(np.isin(scene.classes, LUMPS), CONTAMINANT, 0)).astype(np.uint8)


def write_shards(folder: Path, first: int, shards: int, *, ranges: Ranges = TRAINING) -> None:
    """Write the scenes from seed `first` on; files that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(first, first + shards * SHARD, SHARD):
        path = folder / f"scenes-{start:08d}.npz"
        if not path.exists():
            drawn = draw(start, SHARD, ranges=ranges)
            unfinished = path.with_suffix(".tmp.npz")
            np.savez(unfinished, images=drawn.images, ground=drawn.ground, places=drawn.places)
            unfinished.rename(path)


def read_shards(folder: Path) -> Drawn:
    """Read all scenes of `folder`, in the order of their seeds."""
    images, ground, places, before = [], [], [], 0
    for path in sorted(folder.glob("scenes-????????.npz")):
        with np.load(path, allow_pickle=False) as shard:
            images.append(shard["images"])
            ground.append(shard["ground"])
            places.append(shard["places"] + np.array([before, 0, 0, 0], dtype=np.float32))
        before += len(images[-1])
    if not images:
        raise FileNotFoundError(f"{folder} holds no scenes: draw some first")
    return Drawn(np.concatenate(images), np.concatenate(ground), np.concatenate(places))
