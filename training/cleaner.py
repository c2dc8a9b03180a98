"""Train the network of `pick.clean`: ``python -m training.cleaner FOLDER`` draws scenes into FOLDER, learns from them and writes the weights.

Scenes that are there already are not drawn again. One core: about 8 minutes of drawing and 30 of training.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, gaussian_filter
from torch import Tensor
from torch.nn import functional

from cryoloom.numerics.learn.segmentation import Segmenter
from cryoloom.numerics.learn.weights import read_weights, write_weights
from cryoloom.numerics.picking.cleaning import level, probability
from cryoloom.numerics.simulate.films import BORDERS
from training.covered import LARGE, SHARD, read_covered, write_covered
from training.scenes import CLASSES

FIRST_SEED, LARGE_SEED = 4_000_000, 3_900_000
SHARDS, LARGE_SHARDS, BATCH, STEPS, PEAK = 24, 20, 8, 2600, 3e-3
"""Files of scenes, the last of them for judging; of scenes of large particles; scenes a step, steps, and the highest rate of learning."""
SMALL = 4.0
"""Weight of a pixel of a small contaminant in the loss, one of ice or of a film being 1."""
FILMS = [CLASSES.index(kind) for kind in ("carbon", *BORDERS)]

Images = NDArray[np.float32]


def main() -> None:
    """Draw, train, judge, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--steps", type=int, default=STEPS)
    arguments.add_argument("--start", type=Path, help="weights to go on from")
    arguments.add_argument("--rate", type=float, default=PEAK, help="the highest rate of learning")
    arguments.add_argument("--shards", type=int, default=SHARDS)
    arguments.add_argument("--large", type=int, default=LARGE_SHARDS, help="files of scenes of large particles")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    write_covered(given.folder, LARGE_SEED, given.large, ranges=LARGE)
    write_covered(given.folder, FIRST_SEED, given.shards)
    images, classes = read_covered(given.folder)
    pixels, learned = np.stack([level(image.astype(np.float32)) for image in images]), len(images) - SHARD
    network = Segmenter()
    if given.start:
        read_weights(network, given.start)
    train(
        network,
        pixels[:learned],
        classes[:learned],
        given.steps,
        rate=given.rate,
        report=lambda step, loss: _tell(f"step {step}: {loss:.4f}"),
    )
    write_weights(network, given.folder / "cleaner.npz")
    read_weights(network, given.folder / "cleaner.npz")
    _tell(json.dumps(judged(network, pixels[learned:], classes[learned:]), indent=1))


def train(
    network: Segmenter,
    pixels: Images,
    classes: NDArray[np.uint8],
    steps: int,
    *,
    batch: int = BATCH,
    rate: float = PEAK,
    report=lambda step, loss: None,
) -> None:
    """Train `network` for `steps` steps on scenes of `pixels` ``(n, h, w)`` with what covers them; `report` is told the loss."""
    network.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
    covered, weights = targets(classes)
    mean = 0.0
    for step, (seen, wanted, weight) in zip(range(1, steps + 1), batches(pixels, covered, weights, batch, seed=steps), strict=False):
        # Half the time on processors that have the type, and no worse.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(seen)
        loss = error(logits.float(), wanted, weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0 or step in (1, steps):
            report(step, mean)
    network.eval()


def targets(classes: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is to be masked, gaps within ragged contaminants closed, and which of that is small."""
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) < 2.5
    small = np.stack([binary_closing((scene > 0) & ~np.isin(scene, FILMS), disc) for scene in classes])
    return small | (classes > 0), small


def batches(
    pixels: Images, covered: NDArray[np.bool_], small: NDArray[np.bool_], batch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield images, what is to be masked and weights ``(batch, 1, h, w)`` without end, each scene in one of its eight orientations and altered."""
    rng = np.random.default_rng((seed, 21))
    while True:
        order = rng.permutation(len(pixels))
        for start in range(0, len(order) - batch + 1, batch):
            seen, wanted, weight = [], [], []
            for index in order[start : start + batch]:
                turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
                image, mask, own = (np.rot90(each[index][:, ::-1] if mirrored else each[index], turns) for each in (pixels, covered, small))
                seen.append(altered(image, rng))
                wanted.append(mask)
                weight.append(1.0 + (SMALL - 1.0) * own)
            yield tuple(torch.from_numpy(np.stack(each).astype(np.float32))[:, None] for each in (seen, wanted, weight))


def altered(image: Images, rng: np.random.Generator) -> Images:
    """Return a levelled `image` with another contrast, blur, noise or sign: what instruments, publishers and users do to micrographs."""
    if rng.random() < 0.4:
        image = gaussian_filter(image, rng.uniform(0.3, 2.0))
        if rng.random() < 0.3:
            image = image - gaussian_filter(image, rng.uniform(8.0, 40.0))
        image = level(image)  # as a micrograph that was smoothed before it came here is levelled
    if rng.random() < 0.3:
        image = image + rng.uniform(0.1, 0.6) * rng.standard_normal(image.shape, dtype=np.float32)
    image = image * np.float32(np.exp(rng.normal(0.0, 0.2))) + np.float32(rng.normal(0.0, 0.2))
    return -image if rng.random() < 0.12 else image


def error(logits: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Return cross-entropy plus 1 - the soft Dice coefficient, the pixels of both weighted."""
    entropy = (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight).mean()
    probability = torch.sigmoid(logits)
    shared = 2.0 * (weight * probability * wanted).sum() + 1.0
    return entropy + 1.0 - shared / ((weight * (probability + wanted)).sum() + 1.0)


def judged(network: Segmenter, pixels: Images, classes: NDArray[np.uint8]) -> dict[str, float]:
    """Return intersection over union of what is masked and what is to be, the part of each kind that is found, and of clear ice masked."""
    found = np.stack([probability(torch.from_numpy(image), network).numpy() > 0.5 for image in pixels])
    wanted, _ = targets(classes)
    told = {"iou": float((found & wanted).sum() / (found | wanted).sum()), "clear ice masked": float(found[~wanted].mean())}
    return told | {kind: float(found[classes == number].mean()) for number, kind in enumerate(CLASSES) if number}


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
