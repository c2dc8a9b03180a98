"""Train the networks of pick.consensus on drawn scenes: ``python -m training.scorer FOLDER [--steps N] [--check FOLDER]``.

FOLDER holds scenes that ``python -m training.picker draw`` wrote; those of the folder to check must be of other seeds. Right are the centres
of particles, wrong all that pickers propose besides: dark places of the right size that are no particle, places off a particle's centre, between
two of them, and anywhere. A member takes about 4 minutes of one core at the default number of steps.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from cryoloom.numerics.learn.augment import vary
from cryoloom.numerics.learn.detector_loss import IGNORED
from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.levelling import level
from cryoloom.numerics.learn.scorer import GRAIN, MEMBERS, Ensemble, Scorer, cut_squares
from cryoloom.numerics.learn.scorer_fit import calibrate, loss, turned
from cryoloom.numerics.learn.weights import write_weights
from cryoloom.numerics.picking.peaks import find_peaks
from training.shards import Drawn, read_shards

SHIPPED = Path(__file__).parents[1] / "src/cryoloom/numerics/learn/models/pick-consensus.npz"
CENTRED, ASTRAY = 0.12, 0.3
"""Diameters: positions nearer than the one to a centre are right, farther than the other wrong; between them nothing is asked."""
SCENES, POSITIONS = 4, 24
"""Of a step: scenes, and positions of each, half of them right where there are enough."""

Array = NDArray[np.float64]


class Examples:
    """Right and wrong positions of the scenes of `drawn`."""

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.right = [drawn.places[drawn.places[:, 0] == index, 1:3].astype(np.float64) for index in range(len(drawn.images))]
        self.tempting = [self._temptations(index) for index in range(len(drawn.images))]

    def _temptations(self, index: int) -> Array:
        """Return where bright blobs of a particle's size lie in a scene: true ones and others."""
        image = self.drawn.images[index].astype(np.float32)
        blobs = ndimage.gaussian_filter(image, 0.2 * GRAIN) - ndimage.gaussian_filter(image, 0.5 * GRAIN)
        rows, columns = find_peaks(blobs, float(blobs.std()), 0.4 * GRAIN)
        return np.stack([columns, rows], axis=1).astype(np.float64)

    def draw(self, index: int, count: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.float32]]:
        """Return `count` positions (x, y) of a scene and whether each is right."""
        true = self.right[index]
        size = self.drawn.images.shape[1]
        mine = np.zeros((0, 2))
        if len(true):
            mine = true[rng.permutation(len(true))[: count // 2]]
            mine = mine + _within(CENTRED * GRAIN, len(mine), rng)
        wrong = [rng.uniform(0, size - 1, (count, 2))]
        if len(self.tempting[index]):
            wrong.append(self.tempting[index][rng.permutation(len(self.tempting[index]))[:count]])
        if len(true):
            near = true[rng.integers(len(true), size=count)]
            bearing, distance = rng.uniform(0, 2 * np.pi, count), rng.uniform(ASTRAY, 0.9, count) * GRAIN
            wrong.append(near + np.stack([np.cos(bearing), np.sin(bearing)], axis=1) * distance[:, None])
        if len(true) > 1:
            pairs = cKDTree(true).query_pairs(1.8 * GRAIN, output_type="ndarray")
            wrong.append(true[pairs].mean(axis=1)[:count])
        others = np.concatenate(wrong)
        apart = cKDTree(true).query(others)[0] if len(true) else np.full(len(others), np.inf)
        inside = ((others > 0) & (others < size - 1)).all(axis=1)
        known = inside & (self.drawn.ground[index][tuple(np.clip(others.round().astype(int), 0, size - 1)[:, ::-1].T)] != IGNORED)
        others = others[known & (apart > ASTRAY * GRAIN)]
        others = others[rng.permutation(len(others))[: count - len(mine)]]
        return np.concatenate([mine, others]), np.repeat(np.float32([1, 0]), [len(mine), len(others)])


def _within(radius: float, count: int, rng: np.random.Generator) -> Array:
    bearing, distance = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.random(count))
    return np.stack([np.cos(bearing), np.sin(bearing)], axis=1) * distance[:, None]


def batch(examples: Examples, rng: np.random.Generator, *, varied: bool = True) -> tuple[Tensor, Tensor]:
    """Return squares ``(n, SIDE, SIDE)``, turned at random, and whether each is right ``(n,)``."""
    chosen = rng.integers(len(examples.drawn.images), size=SCENES)
    images = torch.from_numpy(examples.drawn.images[chosen].astype(np.float32))
    images = level(vary(images, rng) if varied else images, GRAIN)
    squares, right = [], []
    for image, index in zip(images, chosen, strict=True):
        places, labels = examples.draw(int(index), POSITIONS, rng)
        cut = cut_squares(image, torch.from_numpy(places[:, 0]), torch.from_numpy(places[:, 1]))
        squares.append(turned(cut, rng))
        right.append(torch.from_numpy(labels))
    return torch.cat(squares), torch.cat(right)


def fitted(examples: Examples, seed: int, steps: int) -> Scorer:
    """Train one member."""
    torch.manual_seed(seed)
    rng = np.random.default_rng((seed, 31))
    fit = Fit(Scorer(), loss, steps=steps, rate=3e-3)
    began, wrong = time.monotonic(), 0.0
    for number in range(steps):
        wrong += (fit.step(*batch(examples, rng)) - wrong) / min(number + 1, 100)
        if (number + 1) % 250 == 0:
            sys.stdout.write(f"member {seed}, step {number + 1}: loss {wrong:.3f}, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    return fit.mean


def answers(ensemble: Ensemble, examples: Examples, batches: int) -> tuple[Tensor, Tensor]:
    """Return the logits ``(members, n)`` of positions that were not trained on, and whether each is right."""
    rng = np.random.default_rng(32)
    ensemble.eval()
    with torch.no_grad():
        found = [(ensemble(squares[:, None]), right) for squares, right in (batch(examples, rng, varied=False) for _ in range(batches))]
    return torch.cat([logits for logits, _ in found], dim=1), torch.cat([right for _, right in found])


def separation(logits: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve."""
    ranks = logits.argsort().argsort() + 1.0
    true = right > 0.5
    return float((ranks[true].sum() - true.sum() * (true.sum() + 1) / 2) / (true.sum() * (~true).sum()))


def main(words: list[str] | None = None) -> None:
    """Train, calibrate on the scenes to check, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    examples = Examples(read_shards(given.folder))
    ensemble = Ensemble()
    for seed in range(MEMBERS):
        ensemble.members[seed].load_state_dict(fitted(examples, seed, given.steps).state_dict())
    logits, right = answers(ensemble, Examples(read_shards(given.check)), 60)
    calibrate(ensemble, logits, right)
    for name, values in (("ensemble", logits.mean(dim=0)), *((f"member {number}", each) for number, each in enumerate(logits))):
        sys.stdout.write(f"{name}: area under ROC {separation(values.numpy(), right.numpy()):.4f}\n")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_weights(ensemble, given.out)


if __name__ == "__main__":
    main()
