"""Train the network of pick.deep, from nothing but seeds: `python -m training.picker draw`, then `train`, `calibrate` and `judge`.

While it learns, the network also says which ground is a contaminant: a picker that has to know that falls for fewer. The answer is dropped afterwards.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cryoloom.numerics.learn.batches import Batches, Example
from cryoloom.numerics.learn.blocks import Fittable
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.detector_loss import TEMPTING, Targets, loss
from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.levelling import level
from cryoloom.numerics.learn.weights import read_weights, write_weights
from training.judge import NOTHING, UNSEEN, acceptance, calibrate, judge, validation
from training.scenes import DIRTY
from training.shards import Drawn, read_shards, write_shards

DIRTY_SEED = 8_000_000
GROUND = 0.5
"""Weight of the error about the ground beside that about particles."""


class Taught(Fittable):
    """A detector with a further answer: the logit of each cell's being a contaminant."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        self.ground = nn.Conv2d(detector.answers.in_channels, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(n, 1, h, w)`` to ``(n, 5, h / 4, w / 4)``."""
        features = self.detector.features(images)
        return torch.cat([self.detector.answers(features), self.ground(features)], dim=1)

    def encoder(self) -> Iterator[nn.Parameter]:
        """Yield the detector's."""
        return self.detector.encoder()


def taught_loss(answers: Tensor, wanted: Targets) -> Tensor:
    """Return how wrong `answers` ``(n, 5, h, w)`` are about particles and about the ground."""
    contaminant = (wanted.weight == TEMPTING).float()
    weight = (wanted.weight > 0) * (1.0 + 3.0 * contaminant)
    error = functional.binary_cross_entropy_with_logits(answers[:, 4].float(), contaminant, weight=weight, reduction="sum")
    return loss(answers[:, :4], wanted) + GROUND * error / (wanted.weight > 0).sum().clamp(min=1)


def examples_of(drawn: Drawn) -> list[Example]:
    """Return drawn scenes as the network will see them."""
    parts = np.array_split(drawn.images, max(1, len(drawn.images) // 64))
    images = torch.cat([level(torch.from_numpy(part), GRAIN).half() for part in parts])
    edges = np.searchsorted(drawn.places[:, 0], np.arange(len(drawn.images) + 1))
    places = [torch.from_numpy(drawn.places[start:end, 1:]) for start, end in itertools.pairwise(edges)]
    return [Example(*each) for each in zip(images, torch.from_numpy(drawn.ground), places, strict=True)]


def train(
    drawn: Drawn,
    path: Path,
    *,
    steps: int,
    start: Path | None = None,
    batch: int = 4,
    crop: int = 224,
    rate: float = 3e-3,
    seed: int = 1,
    every: int = 250,
    coarse: bool = False,
) -> Detector:
    """Train for `steps` steps, from the weights in `start` if given; every so often judge the mean network and write it to `path`."""
    torch.manual_seed(seed)
    network = Detector()
    if start is not None:
        read_weights(network, start)
        network.calibration.copy_(torch.tensor([1.0, 0.0]))
    taught = Taught(network).to(memory_format=torch.channels_last)
    fit, batches = Fit(taught, taught_loss, steps=steps, rate=rate, coarse=coarse), Batches(examples_of(drawn), batch, seed, crop=crop)
    mean = cast(Taught, fit.mean).detector
    scenes, began, losses = validation(48), time.monotonic(), []
    for step in range(1, steps + 1):
        losses.append(fit.step(*batches.next()))
        if step % every == 0 or step == steps:
            say(f"{step:6d} steps {time.monotonic() - began:6.0f} s  loss {np.mean(losses):.3f}  {judge(scenes, mean)}")
            losses.clear()
            write_weights(mean, path)
    return mean


def say(line: str) -> None:
    """Write a line at once, also into a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m training.picker", description=__doc__)
    parser.add_argument("action", choices=("draw", "train", "calibrate", "judge"))
    parser.add_argument("folder", type=Path, help="where the scenes lie")
    parser.add_argument("--weights", type=Path, default=Path("pick-deep.npz"))
    parser.add_argument("--shards", type=int, default=48, help="files of 64 scenes")
    parser.add_argument("--dirty", type=int, default=0, help="files of scenes full of contaminants besides; 40 for pick.deep")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--rate", type=float, default=3e-3, help="the highest learning rate")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--bfloat16", action="store_true", help="twice as fast on processors that have it")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.action == "draw":
        write_shards(arguments.folder, 0, arguments.shards)
        write_shards(arguments.folder, DIRTY_SEED, arguments.dirty, ranges=DIRTY)
    elif arguments.action == "train":
        train(
            read_shards(arguments.folder),
            arguments.weights,
            steps=arguments.steps,
            start=arguments.start,
            rate=arguments.rate,
            coarse=arguments.bfloat16,
        )
    else:
        network = Detector()
        read_weights(network, arguments.weights)
        if arguments.action == "calibrate":
            calibrate(network, [*validation(96), *validation(48, ranges=NOTHING, first=UNSEEN + 2_345_600)])
            write_weights(network, arguments.weights)
        for line in acceptance(network):
            say(line)


if __name__ == "__main__":
    main()
