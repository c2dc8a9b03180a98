"""How much of its class average an image shows: exact in the mean, and blind to the image's own part in the average."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.align.class2d_averages import average
from cryoloom.numerics.align.class2d_estep import Posterior
from cryoloom.numerics.align.class2d_match import matches
from cryoloom.numerics.align.class2d_mstep import Sums, accumulate
from cryoloom.numerics.align.optics import Optics

BOX, PIXEL, MASK = 32, 5.0, 110.0


def matched(images):
    """Return the matches of images that are one class, all in one pose."""
    count = len(images)
    shape = prepare.geometry(BOX, PIXEL, MASK, 12.0)
    observed = prepare.observations(iter([(images, None, Optics(300.0, 2.7, 0.1))]), shape, PIXEL, MASK)
    settings = schedule.Settings(classes=1, iterations=1, final_iterations=1, batch=count, start_band=4, reach=shape.reach)
    group = torch.zeros(count, dtype=torch.int64)
    task = schedule.Task(observed, group, prepare.half_sets(count, 1), shape.frame, settings, 1, 1)
    layout = shape.frame.sampler.layout
    sums = Sums.zeros(layout.half_angles, layout.rings, 1, 2)
    rows, none, ones = torch.arange(count), torch.zeros(count), torch.ones(count)
    poses = Posterior(rows, rows, group, none, torch.zeros((count, 2)), ones, none.double())
    accumulate(layout, observed, poses, task.half, sums, 1, band=layout.rings)
    noise = observed.power.mean(dim=0, keepdim=True) / 2.0
    found = average(sums, noise, shape.frame, frc_regularised=True, tau_fudge=1.0)
    state = {
        "images": shape.frame.masked(shape.frame.sampler.images(found.raw)).numpy(), "noise": noise.numpy(), "labels": group.numpy(),
        "angle": none.numpy(), "shift": np.zeros((count, 2), np.float32), "share": ones.numpy(),
    }  # fmt: skip
    return matches(task, state, found).numpy()


@pytest.fixture
def signal():
    axis = np.arange(BOX) - BOX // 2
    points = np.random.default_rng(3).uniform(-7, 7, (12, 2))
    image = sum(np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 3.0) for x, y in points)
    return (image / image.std()).astype(np.float32)


def test_amplitudes_are_found(signal):
    rng = np.random.default_rng(5)
    amplitude = np.repeat([1.0, 0.5, 0.0], [100, 12, 12])
    images = (0.5 * amplitude[:, None, None] * signal + rng.normal(size=(124, BOX, BOX))).astype(np.float32)
    match = matched(images)
    whole, half, nothing = (match[amplitude == each] for each in (1.0, 0.5, 0.0))
    assert whole.mean() == pytest.approx(1.08, abs=0.12)  # The average is fainter than a whole particle by what the others lack.
    assert half.mean() / whole.mean() == pytest.approx(0.5, abs=0.12)
    assert abs(nothing.mean()) < 0.12


@pytest.mark.parametrize("count", [8, 40])
def test_noise_does_not_show_its_own_average(count):
    images = np.random.default_rng(count).normal(size=(count, BOX, BOX)).astype(np.float32)
    assert np.median(matched(images)) < 0.2


def test_noise_among_a_few_particles_shows_none_of_them(signal):
    odd, others = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        images = (0.6 * signal + rng.normal(size=(7, BOX, BOX))).astype(np.float32)
        images[0] = rng.normal(size=(BOX, BOX))
        match = matched(images)
        odd.append(match[0])
        others.extend(match[1:])
    assert abs(np.mean(odd)) < 0.1
    assert min(others) > 0.7
