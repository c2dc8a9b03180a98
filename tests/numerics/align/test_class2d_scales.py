"""Grey scales of micrographs in 2D classification: found, and images then count for what they show."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.align.optics import Optics

BOX, PIXEL, MASK, COUNT = 32, 5.0, 110.0, 320
CONTRAST = np.array([0.6, 0.9, 1.1, 1.4])


def classified(images, alike):
    shape = prepare.geometry(BOX, PIXEL, MASK, 12.0)
    observed = prepare.observations(iter([(images, None, Optics(300.0, 2.7, 0.1))]), shape, PIXEL, MASK)
    settings = schedule.Settings(classes=2, iterations=6, final_iterations=1, batch=160, start_band=shape.start_band, reach=shape.reach)
    group = torch.zeros(len(images), dtype=torch.int64)
    task = schedule.Task(observed, group, prepare.half_sets(len(images), 1), shape.frame, settings, 1, 1, alike)
    state = schedule.begin(task)
    while state["iteration"] < task.iterations(state):
        state = schedule.iterate(task, state)
    return prepare.outcome(task, state, shape)


@pytest.fixture(scope="module")
def images():
    """Two particles in the plane, turned at random, in micrographs of different contrast."""
    from scipy.ndimage import rotate

    rng, axis = np.random.default_rng(3), np.arange(BOX) - BOX // 2
    views = []
    for _ in range(2):
        points = rng.uniform(-8, 8, (14, 2))
        points -= points.mean(axis=0)
        view = sum(np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 4.0) for x, y in points)
        views.append(view / view.std())
    alike = np.arange(COUNT) % 4
    clean = np.stack([rotate(views[number // 4 % 2], rng.uniform(0, 360), reshape=False, order=3) for number in range(COUNT)])
    return (0.7 * CONTRAST[alike, None, None] * clean + rng.normal(size=clean.shape)).astype(np.float32), alike


def test_the_contrast_of_micrographs_is_found_and_taken_out(images):
    stack, alike = images
    out, plain = classified(stack, alike), classified(stack, None)
    found = np.array([out.scale[alike == one][0] for one in range(4)])
    assert found == pytest.approx(CONTRAST / CONTRAST.mean(), rel=0.08)
    assert (plain.scale == 1).all()
    spread = [np.std([one.match[alike == group].mean() for group in range(4)]) for one in (out, plain)]
    assert spread[0] < 0.4 * spread[1]
