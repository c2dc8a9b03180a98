"""The networks of pick.consensus: what is shown of a position, and the weights that come with cryoloom."""

from pathlib import Path

import numpy as np
import torch
from blake3 import blake3

from cryoloom.numerics.learn.scorer import GRAIN, MEMBERS, SIDE, cut_squares, read_scorer
from cryoloom.numerics.learn.scorer_fit import turned
from cryoloom.numerics.learn.weights import shipped_weights

CARD = Path(__file__).parents[3] / "docs/models/pick-consensus.md"


def blobs(count, seed):
    """Return an image of noise with bright discs, their places, and places between."""
    rng = np.random.default_rng(seed)
    side = 600
    y, x = np.mgrid[:side, :side]
    image = rng.normal(0, 1, (side, side))
    places = np.stack([column.ravel() for column in np.meshgrid(*[np.arange(60, side - 40, 80.0)] * 2)], axis=1)[:count]
    for place in places:
        image += 1.0 * (np.hypot(x - place[0], y - place[1]) < 0.4 * GRAIN)
    return torch.from_numpy(image.astype(np.float32)), places, places + 40.0


def test_shipped_weights_are_the_described_ones():
    path = shipped_weights("pick-consensus")
    assert path.stat().st_size < 1e6 and blake3(path.read_bytes()).hexdigest() in CARD.read_text()
    assert read_scorer(None).calibration.tolist() != [1.0, 0.0]


def test_particles_are_told_from_what_lies_between():
    image, right, wrong = blobs(36, 3)
    logits = [read_scorer(None).scores(image, *torch.from_numpy(places).T) for places in (right, wrong)]
    assert logits[0].shape == (MEMBERS, 36)
    assert logits[0].mean(dim=0).min() > logits[1].mean(dim=0).max()


def test_a_score_hangs_on_no_other_position():
    image, right, wrong = blobs(36, 4)
    x, y = torch.from_numpy(np.concatenate([right, wrong])).T
    together = read_scorer(None).scores(image, x, y)
    assert torch.equal(together[:, 5:9], read_scorer(None).scores(image, x[5:9], y[5:9]))
    assert read_scorer(None).scores(image, x[:0], y[:0]).shape == (MEMBERS, 0)


def test_squares_reach_over_the_edge_by_reflection():
    image = torch.arange(50.0)[:, None] * 100 + torch.arange(40.0)[None, :]
    square = cut_squares(image, torch.tensor([2.2]), torch.tensor([47.0]))[0]
    middle = SIDE // 2
    assert square[middle, middle] == 4702 and square[middle, middle - 3] == 4701 and square[middle + 3, middle] == 4802
    assert square.shape == (SIDE, SIDE)


def test_turning_keeps_the_centre():
    squares = torch.zeros(1, SIDE, SIDE)
    squares[0, SIDE // 2, SIDE // 2] = 1.0
    rng = np.random.default_rng(0)
    for _ in range(20):
        squares = turned(squares, rng)
        assert squares[0, SIDE // 2, SIDE // 2] == 1.0
