"""Full expectation-maximisation in 2D: the log-likelihood rises, and no image is left in a wrong pose that a wider search would better."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.align.class2d_averages import average
from cryoloom.numerics.align.optics import Optics

BOX, PIXEL, MASK, COUNT, VIEWS = 48, 4.0, 140.0, 300, 3


@pytest.fixture(scope="module")
def task():
    """Three clouds of blobs, turned and moved at random, SNR 0.25, all images at once; what the FRC damps is no maximum of anything."""
    rng, axis, clean = np.random.default_rng(5), np.arange(BOX) - BOX // 2, []
    for _ in range(VIEWS):
        points = rng.uniform(-12, 12, (20, 2))
        view = sum(np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 3.0) for x, y in points - points.mean(axis=0))
        clean.append(view / view.std())
    images = np.stack(
        [np.roll(rotate(clean[n % VIEWS], rng.uniform(0, 360), reshape=False), rng.integers(-2, 3, 2), (0, 1)) for n in range(COUNT)]
    )
    images = (0.5 * images + rng.standard_normal(images.shape)).astype(np.float32)
    shape = prepare.geometry(BOX, PIXEL, MASK, 2.05 * PIXEL)
    observed = prepare.observations(iter([(images, None, Optics(300.0, 2.7, 0.1))]), shape, PIXEL, MASK)
    settings = schedule.Settings(VIEWS, 16, 1, COUNT, shape.start_band, shape.reach, uncertainty=1.0, frc_regularised=False)
    return schedule.Task(observed, torch.zeros(COUNT, dtype=torch.int64), prepare.half_sets(COUNT, 1), shape.frame, settings, 1, 1)


@pytest.fixture(scope="module")
def states(task):
    found = [schedule.begin(task)]
    while found[-1]["iteration"] < task.settings.iterations:
        found.append(schedule.iterate(task, found[-1]))
    return found


def test_the_log_likelihood_never_falls_where_nothing_but_the_model_changes(states):
    history = states[-1]["history"]
    steps = [
        (after["log_likelihood"] - before["log_likelihood"]) / abs(before["log_likelihood"])
        for before, after in zip(history, history[1:], strict=False)
        if before["band"] == after["band"] and not before["reseeded"] and not before["recentred"]
    ]
    assert len(steps) >= 5
    assert min(steps) > -1e-6
    assert history[-1]["log_likelihood"] > history[0]["log_likelihood"]


def test_the_log_likelihood_of_noise_is_its_density(task, states):
    rows = torch.arange(40)
    noise = torch.from_numpy(states[-1]["noise"])
    power, areas = task.observations.power[rows].double().numpy(), task.frame.sampler.layout.areas.numpy()
    expected = -(areas * (power / (2 * noise[0].numpy()) + np.log(noise[0].numpy()))).sum(axis=1).mean()
    assert schedule._of_noise(task, noise, rows) == pytest.approx(expected, rel=1e-6)


def test_a_wider_search_finds_no_better_poses(task, states):
    rows, state = torch.arange(120), states[-1]
    search = schedule._search(task, schedule.references(task, state), state["band"], fine=True, temperature=1.0)

    def evidence(**limits):
        return schedule._expect(task, replace(search, **limits), rows, report=False).assigned.evidence.numpy()

    usual, wide = evidence(), evidence(leeway=2.0, most=200)
    assert np.mean(wide - usual > 1.0) < 0.01
    assert np.mean(wide - evidence(leeway=0.0) > 1.0) > 0.03  # for the best fitting images a fixed margin is too narrow


def test_where_no_ring_is_supported_nothing_is_shown_twice(task, states):
    sums = schedule.stored_sums(states[-1])
    generator = torch.Generator().manual_seed(1)
    noise = replace(sums, images=torch.randn(sums.images.shape, dtype=sums.images.dtype, generator=generator))
    averages = average(noise, torch.from_numpy(states[-1]["noise"]), task.frame, frc_regularised=True, tau_fudge=1.0)
    counts = noise.counts.sum(dim=1)
    averages = replace(averages, frc=torch.zeros_like(averages.frc))
    assert schedule._doubled(task, averages, torch.zeros(VIEWS, 2), counts, torch.ones(VIEWS)) == []
