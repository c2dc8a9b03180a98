"""Scenes for the cleaner on disk: images at its working scale and what covers the ice in them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.picking.cleaning import ACROSS
from training.scenes import Ranges, draw_scene

SHARD = 64
"""Scenes a file."""

FAMILIES = ("cluster", "rod", "ring", "symmetric", "hollow", "elongated", "disc")
COVERED = Ranges(families=FAMILIES, empty=0.1, contaminants=2.5, carbon=0.15, borders=0.3, sheets=0.5, beads=1.2)
"""Three fifths of the scenes have neither carbon nor a border; one in thirty-five has nothing in it that must be masked."""
LARGE = replace(COVERED, diameter=(280.0, 550.0), empty=0.05, contaminants=1.5, carbon=0.1, borders=0.15, dose=(20.0, 60.0))
"""Large particles, whose strong contrast and texture look like those of contaminants."""


def write_covered(folder: Path, first: int, shards: int, *, size: int = 256, ranges: Ranges = COVERED) -> None:
    """Write `shards` files with the scenes from seed `first` on; files that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(first, first + shards * SHARD, SHARD):
        path = folder / f"covered-{start:08d}.npz"
        if not path.exists():
            scenes = [draw_scene(seed, size=size, ranges=ranges, across=ACROSS) for seed in range(start, start + SHARD)]
            unfinished = path.with_suffix(".tmp.npz")
            np.savez(
                unfinished,
                images=np.stack([scene.image / max(float(scene.image.std()), 1e-6) for scene in scenes]).astype(np.float16),
                classes=np.stack([scene.classes for scene in scenes]),
            )
            unfinished.rename(path)


def read_covered(folder: Path) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Return images and classes ``(n, h, w)`` of all scenes of `folder`, in the order of their seeds."""
    images, classes = [], []
    for path in sorted(folder.glob("covered-????????.npz")):
        with np.load(path, allow_pickle=False) as shard:
            images.append(shard["images"])
            classes.append(shard["classes"])
    if not images:
        raise FileNotFoundError(f"{folder} holds no scenes: draw some first")
    return np.concatenate(images), np.concatenate(classes)
