"""Drawn scenes on disk: what one process draws in the background another trains on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.scenes import TRAINING, Ranges, draw_scene

SHARD = 64
"""Scenes a file."""


@dataclass(frozen=True)
class Drawn:
    """Scenes in memory.

    Attributes
    ----------
    images
        ``(n, h, w)`` float16, scaled to a standard deviation of 1.
    ignored
        ``(n, h, w)`` bool, as `Scene.ignored`.
    places
        ``(m, 4)`` float32: index of the scene, x, y, diameter, in px.
    """

    images: NDArray[np.float16]
    ignored: NDArray[np.bool_]
    places: NDArray[np.float32]


def draw(first: int, count: int, *, size: int = 256, ranges: Ranges = TRAINING) -> Drawn:
    """Draw the scenes of `count` seeds from `first` on."""
    scenes = [draw_scene(seed, size=size, ranges=ranges) for seed in range(first, first + count)]
    levelled = [(scene.image - scene.image.mean()) / max(float(scene.image.std()), 1e-6) for scene in scenes]
    places = [np.column_stack([np.full(len(scene.centres), index), scene.centres, scene.diameters]) for index, scene in enumerate(scenes)]
    return Drawn(
        np.stack(levelled).astype(np.float16), np.stack([scene.ignored for scene in scenes]), np.concatenate(places).astype(np.float32)
    )


def write_shards(folder: Path, first: int, shards: int) -> None:
    """Write the scenes from seed `first` on; files that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(first, first + shards * SHARD, SHARD):
        path = folder / f"scenes-{start:08d}.npz"
        if not path.exists():
            drawn = draw(start, SHARD)
            unfinished = path.with_suffix(".tmp.npz")
            np.savez(unfinished, images=drawn.images, ignored=np.packbits(drawn.ignored, axis=-1), places=drawn.places)
            unfinished.rename(path)


def read_shards(folder: Path) -> Drawn:
    """Read all scenes of `folder`, in the order of their seeds."""
    images, ignored, places, before = [], [], [], 0
    for path in sorted(folder.glob("scenes-????????.npz")):
        with np.load(path, allow_pickle=False) as shard:
            images.append(shard["images"])
            ignored.append(np.unpackbits(shard["ignored"], axis=-1).astype(bool))
            places.append(shard["places"] + np.array([before, 0, 0, 0], dtype=np.float32))
        before += len(images[-1])
    if not images:
        raise FileNotFoundError(f"{folder} holds no scenes: draw some first")
    return Drawn(np.concatenate(images), np.concatenate(ignored), np.concatenate(places))
