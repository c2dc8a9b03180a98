"""Fine-tuning: a detector learns the user's own particles from micrographs that were picked in whole."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.learn.batches import Batches, Example
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.detector_loss import loss
from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.levelling import level
from cryoloom.numerics.picking.scene import Scene

BATCH = 8
"""Crops a step."""


def picked_example(scene: Scene, x: NDArray[np.float64], y: NDArray[np.float64]) -> Example:
    """Return a reduced micrograph with the particles at `x`, `y` (px of the micrograph) as something to learn from."""
    places = np.stack([x / scene.scale[1], y / scene.scale[0], np.full(len(x), GRAIN)], axis=1)
    ground = torch.zeros(scene.pixels.shape, dtype=torch.uint8)
    return Example(level(scene.pixels[None], scene.diameter)[0], ground, torch.from_numpy(places.astype(np.float32)))


def tune(
    network: Detector, examples: Sequence[Example], *, steps: int, rate: float, seed: int, told: Callable[[int], None] = lambda step: None
) -> tuple[Detector, list[float]]:
    """Return the running mean of `network` while it takes `steps` steps on `examples`, and the loss before each.

    What was not picked counts as no particle. `told` is called after each step.
    """
    fit, batches = Fit(network, loss, steps=steps, rate=rate, memory=0.98, settled=True), Batches(examples, BATCH, seed)
    losses = []
    for step in range(1, steps + 1):
        losses.append(fit.step(*batches.next()))
        told(step)
    return fit.mean, losses
