"""What cells should answer, and that a few steps make a detector better."""

import math

import numpy as np
import pytest
import torch

from cryoloom.numerics.learn.batches import Batches, Example
from cryoloom.numerics.learn.detector import CELL, GRAIN, Detector
from cryoloom.numerics.learn.detector_loss import CONTAMINANT, IGNORED, TEMPTING, loss, targets
from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.levelling import level

PLACES = torch.tensor([[0.0, 21.5, 33.5, 24.0], [1.0, 40.3, 8.0, 48.0], [1.0, 70.0, 8.0, 24.0]])


def examples(count=4, size=128):
    """Return images with discs in noise."""
    rng, made = np.random.default_rng(3), []
    y, x = np.indices((size, size))
    for _ in range(count):
        image, places = rng.standard_normal((size, size)), []
        for centre_x, centre_y in rng.uniform(14, size - 14, (6, 2)):
            image += 1.5 * (np.hypot(x - centre_x, y - centre_y) < 10.0)
            places.append((centre_x, centre_y, 20.0))
        levelled = level(torch.from_numpy(image[None].astype(np.float32)), GRAIN)[0]
        made.append(Example(levelled, torch.zeros(size, size, dtype=torch.uint8), torch.tensor(places, dtype=torch.float32)))
    return made


def test_targets_are_where_the_particles_are():
    wanted = targets(PLACES, torch.zeros(2, 64, 64, dtype=torch.uint8))
    # The first lies on the centre of cell (8, 5); the last is outside the image.
    assert wanted.cells.tolist() == [[0, 8, 5], [1, 2, 10]]
    assert (wanted.heat == 1.0).sum() == 2
    assert wanted.answers[0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert wanted.answers[1].tolist() == pytest.approx([(40.3 - 1.5) / CELL - 10, (8.0 - 1.5) / CELL - 2, math.log(2.0)], abs=1e-5)
    sigma = 0.15 * 24.0 / CELL
    assert float(wanted.heat[0, 8, 6]) == pytest.approx(math.exp(-0.5 / sigma**2), abs=1e-5)


def test_what_is_ignored_costs_nothing():
    ground = torch.zeros(2, 64, 64, dtype=torch.uint8)
    ground[:, 32:] = IGNORED
    wanted = targets(torch.zeros(0, 4), ground)
    answers = torch.full((2, 4, 16, 16), -20.0)
    answers[:, 0, 8:] = 20.0
    assert float(loss(answers, wanted)) < 1e-6
    answers[:, 0, :8] = 20.0
    assert float(loss(answers, wanted)) > 100


def test_a_pick_on_a_contaminant_costs_more():
    ground = torch.zeros(1, 64, 64, dtype=torch.uint8)
    ground[:, 32:] = CONTAMINANT
    wanted = targets(torch.zeros(0, 4), ground)
    costs = []
    for row in (2, 12):
        answers = torch.full((1, 4, 16, 16), -20.0)
        answers[:, 0, row, 5] = 2.0
        costs.append(float(loss(answers, wanted)))
    assert costs[1] == pytest.approx(TEMPTING * costs[0], rel=1e-4)


def test_the_right_answers_cost_little_and_wrong_places_more():
    wanted = targets(PLACES, torch.zeros(2, 64, 64, dtype=torch.uint8))
    answers = torch.zeros(2, 4, 16, 16)
    answers[:, 0] = torch.where(wanted.heat == 1.0, 20.0, -20.0)
    image, rows, columns = wanted.cells.T
    answers[image, 1:, rows, columns] = wanted.answers
    right = float(loss(answers, wanted))
    answers[:, 1] += 0.5
    assert right < 1e-4 and float(loss(answers, wanted)) == pytest.approx(right + 0.5, abs=1e-4)


def test_a_few_steps_reduce_the_loss_the_same_way_each_time():
    torch.set_num_threads(1)
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        fit, batches = Fit(Detector(), loss, steps=20, rate=3e-3), Batches(examples(), 2, 7, crop=64)
        runs.append([fit.step(*batches.next()) for _ in range(20)])
    assert runs[0] == runs[1]
    assert np.mean(runs[0][-6:]) < 0.7 * np.mean(runs[0][:6])


def test_fine_tuning_leaves_the_encoder_and_the_averages_alone_at_first():
    torch.manual_seed(0)
    network = Detector()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    fit, batches = Fit(network, loss, steps=6, rate=1e-2, settled=True), Batches(examples(), 2, 7, crop=96)
    fit.step(*batches.next())
    now = network.state_dict()
    assert torch.equal(now["stem.0.weight"], before["stem.0.weight"]) and not torch.equal(now["answers.bias"], before["answers.bias"])
    for _ in range(4):
        fit.step(*batches.next())
    now = network.state_dict()
    assert not torch.equal(now["stem.0.weight"], before["stem.0.weight"]) and torch.equal(
        now["stem.1.running_mean"], before["stem.1.running_mean"]
    )
