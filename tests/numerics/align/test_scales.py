from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align import classify3d, refine
from cryoloom.numerics.align.halves import random_halves
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.align.scales import group_scales

BOX, PIXEL, COUNT = 24, 6.0, 160
CONTRAST = np.array([0.7, 0.9, 1.1, 1.3])


def told(scales, group, information, rng):
    """Return what images of given inverse variances would tell about scales."""
    norm = np.full(len(group), information / 2.0)
    cross = norm * scales[group] + rng.normal(size=len(group)) * np.sqrt(norm / 2.0)
    return np.stack([cross, norm], axis=1)


def test_scales_are_those_of_the_groups_whatever_the_reference_is_scaled_by():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), 50)
    scales = np.array([0.7, 0.85, 1.0, 1.0, 1.15, 1.3])
    for reference in (1.0, 20.0):
        grey = told(scales, group, 400.0, rng) * np.array([reference, reference**2])
        assert group_scales(grey, group) == pytest.approx(scales, abs=0.03)


def test_images_that_tell_nothing_leave_scales_at_one_and_their_mean_over_images_is_one():
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1, 2], [40, 10, 2])
    assert (group_scales(told(np.ones(3), group, 0.01, rng), group) == 1).all()
    assert group_scales(np.zeros((52, 2)), group) == pytest.approx(1.0)
    scales = group_scales(told(np.array([0.5, 1.0, 2.0]), group, 50.0, rng), group)
    assert scales[group].mean() == pytest.approx(1.0)
    # Two images at 50 tell a scale to 0.1: the prior draws it hardly; without any, not at all.
    assert 1.4 < scales[2] / scales[1] < 2.0


def of_micrographs(blobs, project, snr=0.4):
    """Return images of four micrographs of different contrast, and which they are of."""
    stack = project(blobs(BOX), COUNT, snr=snr, pixel_size=PIXEL, shift=1.0)
    clean = project(blobs(BOX), COUNT, snr=1e9, pixel_size=PIXEL, shift=1.0)
    group = np.arange(COUNT) % 4
    signal = clean.images * (np.vdot(clean.images, stack.images) / np.vdot(clean.images, clean.images))
    return replace(stack, images=(stack.images + (CONTRAST[group, None, None] - 1.0) * signal).astype(np.float32)), group


def test_a_classification_finds_the_contrast_of_micrographs(blobs, project, image_set):
    stack, group = of_micrographs(blobs, project)
    images, halves = image_set(stack, PIXEL, 0.9 * BOX * PIXEL), random_halves(np.arange(COUNT), 1)
    task = classify3d.Task(images, halves, PIXEL, 0.9 * BOX * PIXEL, 40.0, 1, iterations=6, classes=2, search="fixed", alike=group)
    state = classify3d.begin(task, [blobs(BOX).volume()], stack.rotations, stack.shifts)
    while not state["finished"]:
        state = classify3d.iterate(task, state)
    assert state["scales"] == pytest.approx(CONTRAST, rel=0.06)


@pytest.mark.parametrize("premultiplied", [False, True])
def test_a_refinement_finds_the_contrast_of_micrographs(blobs, project, image_set, premultiplied):
    (varied, group), truth = of_micrographs(blobs, project), blobs(BOX)
    images = image_set(varied, PIXEL, 0.9 * BOX * PIXEL, optics=(Optics(300.0, 2.7, 0.1, premultiplied=premultiplied),))
    if premultiplied:
        transfers = images.transfers.take(np.arange(COUNT), len(images.plane.kx))
        for held in (images.storage.whole, images.storage.masked):
            held *= transfers
    task = refine.Task(images, random_halves(np.arange(COUNT), 1), PIXEL, 0.9 * BOX * PIXEL, 40.0, 1, iterations=4, alike=group)
    state = refine.begin(task, [truth.volume()])
    while not state["finished"]:
        state = refine.iterate(task, state)
    assert state["scales"] == pytest.approx(CONTRAST, rel=0.06)
