from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align import fold_sums, refine
from cryoloom.numerics.align.halves import random_halves
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.align.refine_task import JOIN
from cryoloom.numerics.filters.sharpen import mean_amplitudes
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.sums import divided

BOX, PIXEL = 40, 4.0


@pytest.fixture(scope="module")
def rods(blobs, project, image_set):
    """A crooked rod, a sixth as thick as long: most of a sphere around it is empty."""
    rng = np.random.default_rng(3)
    along = np.linspace(-14, 14, 40)
    centres = np.stack([along, 2.0 * np.sin(along / 4) + rng.normal(size=40), rng.normal(size=40) * 1.5 + 0.1 * along], axis=1)
    rod = replace(blobs(BOX), centres=centres - centres.mean(axis=0), width=1.1)
    stack = project(rod, 300, snr=0.08, pixel_size=PIXEL, shift=1.0)
    images = image_set(stack, PIXEL, 0.95 * BOX * PIXEL)
    task = refine.Task(images, random_halves(np.arange(300), 1), PIXEL, 0.95 * BOX * PIXEL, 30.0, 1, iterations=6)
    return stack, task, rod.volume()


def finish(task, volume, iterations=20):
    state = refine.begin(task, [volume])
    while not state["finished"] and state["iteration"] < iterations:
        state = refine.iterate(task, state)
    return state


def test_a_mask_that_follows_the_surface_leaves_the_solvent_out_and_finds_better_poses(rods):
    stack, task, volume = rods
    errors = {}
    for follow in (False, True):
        state = finish(replace(task, follow_surface=follow), volume)
        agreement = compare_poses(state["rotations"], state["shifts"], stack.rotations, stack.shifts, either_hand=False)
        errors[follow] = np.mean(np.minimum(agreement.angles, 30.0))
        sphere = task.sphere(state["references"].shape[-1]) > 0.5
        empty = np.mean(state["references"][0, 0][sphere] == 0)
        assert empty > 0.3 if follow else empty < 0.01
    assert errors[True] < 0.85 * errors[False]


def test_sums_of_folds_that_do_not_fit_are_made_twice_and_are_the_same(rods, monkeypatch):
    _, task, volume = rods
    held = finish(task, volume, iterations=2)
    monkeypatch.setattr(fold_sums, "LANES_KEPT", 0)
    again = finish(replace(task, threads=2), volume, iterations=2)
    assert np.array_equal(held["references"], again["references"]) and np.array_equal(held["rotations"], again["rotations"])


@pytest.mark.parametrize(("symmetry", "kept"), [("C1", 0), ("C1", 1 << 29), ("D3", 0), ("D3", 1 << 29)])
def test_sums_of_folds_out_to_a_shell_are_those_of_all_shells_there(rods, monkeypatch, symmetry, kept):
    monkeypatch.setattr(fold_sums, "LANES_KEPT", kept)
    stack, task, _ = rods
    some = np.arange(60)
    task = replace(task, images=task.images.subset(some), half=task.half[some], folds=2, group=point_group(symmetry))
    alone = Points(some, stack.rotations[some].astype(np.float32), stack.shifts[some], np.ones(60), np.zeros((60, 3)))
    sums = fold_sums.FoldSums(task, alone, 18, np.ones((1, 21)), 2)
    pairs = list(zip(sums.others(), sums.others(9), strict=True))
    assert len(pairs) == 2
    for whole, near in pairs:
        for one, other in zip(whole, near, strict=True):
            assert other.nbytes < 0.3 * one.nbytes
            expected, found = (divided(each, 9, 22, BOX, group=task.group) for each in (one, other))
            np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_images_show_a_reference_that_they_hold_and_noise_shows_none_nor_what_it_made_itself(rods):
    stack, task, volume = rods
    assert refine.begin(task, [volume])["shown"]
    noise = np.random.default_rng(4).normal(size=task.images.storage.masked.shape + (2,)).astype(np.float32)
    held = replace(task.images.storage, **{name: noise.view(np.complex64)[..., 0] * BOX / np.sqrt(2) for name in ("masked", "whole")})
    alone = replace(task, images=replace(task.images, storage=held))
    state = refine.begin(alone, [volume])
    assert not state["shown"] and state["band"] == alone.shell(JOIN)
    for _ in range(3):
        state = refine.iterate(alone, state)
    assert not refine.shown(alone, state) and state["band"] == alone.shell(JOIN)


def test_a_given_mask_is_not_changed(rods):
    _, task, volume = rods
    mask = task.sphere(BOX)
    given, followed = (finish(replace(task, mask=mask, follow_surface=follow), volume, iterations=2) for follow in (True, False))
    assert np.array_equal(given["references"], followed["references"])


def test_settled_poses_make_the_half_maps_alone_and_the_map_of_both_with_their_spread(blobs, project, image_set, monkeypatch):
    monkeypatch.setattr(refine, "SETTLED", 10.0)
    stack, truth = project(blobs(BOX), 160, snr=0.5, pixel_size=PIXEL, shift=1.0), blobs(BOX).volume()
    images, every = image_set(stack, PIXEL, 0.9 * BOX * PIXEL), np.arange(160)
    task = refine.Task(images, random_halves(every, 1), PIXEL, 0.9 * BOX * PIXEL, 30.0, 1, iterations=2)
    state, sphere = finish(task, truth), task.sphere(BOX)
    alone = Points(every, state["rotations"].astype(np.float32), state["shifts"], np.ones(160), np.zeros((160, 3)))
    sums = list(accumulate(images, every, alone, images.plane, state["noise"], task.half))
    for ours, one in zip(state["half_maps"], sums, strict=True):
        again = divided(one, images.plane.last, BOX, BOX)
        assert fourier_shell_correlation(ours * sphere, again * sphere).min() > 0.999
        assert ours[BOX // 2, BOX // 2, 0] != 0 and ours[0, 0, 0] == 0
    both = divided(sums[0] + sums[1], images.plane.last, BOX, BOX)
    against_truth = [fourier_shell_correlation(one * sphere, truth * sphere).sum() for one in (both, state["unfiltered"])]
    assert against_truth[1] > against_truth[0] + 0.1


def test_noise_outside_the_mask_leaves_poses_as_good_as_zeros_do(rods, image_set):
    stack, task, volume = rods
    filled = image_set(stack, PIXEL, 0.95 * BOX * PIXEL, noise=np.full(BOX // 2 + 1, stack.images[:, 0].var() * BOX**2))
    errors = []
    for images in (task.images, filled):
        state = finish(replace(task, images=images), volume, iterations=1)
        agreement = compare_poses(state["rotations"], state["shifts"], stack.rotations, stack.shifts, either_hand=False)
        errors.append(np.mean(np.minimum(agreement.angles, 30.0)))
    assert errors[1] < 1.15 * errors[0]


def test_particles_far_from_the_centre_are_found_as_far_as_asked_for(blobs, project, image_set):
    small = replace(blobs(BOX), centres=0.45 * blobs(BOX).centres, width=1.2)
    stack = project(small, 40, snr=0.5, pixel_size=PIXEL, shift=7.0)
    images = image_set(stack, PIXEL, 0.98 * BOX * PIXEL)
    task = refine.Task(images, random_halves(np.arange(40), 1), PIXEL, 0.98 * BOX * PIXEL, 20.0, 1, folds=2, follow_surface=False)
    away = np.linalg.norm(stack.shifts, axis=1)
    far = (away > 8.0) & (away < 14.0)
    found = {}
    for reach in (None, 16.0):
        state = finish(replace(task, reach=reach), small.volume(), iterations=1)
        found[reach] = np.mean(np.linalg.norm(state["shifts"] - stack.shifts, axis=1)[far] < 1.5)
    assert far.sum() > 8 and found[16.0] > 0.85 and found[None] < 0.6, found


def test_halves_share_what_they_are_to_share_and_references_keep_what_they_are_told_to(rods):
    _, task, volume = rods
    some = np.arange(80)
    task = replace(task, images=task.images.subset(some), half=task.half[some], folds=1, follow_surface=False)
    power = {}
    for join, factor in ((40.0, 1.0), (15.0, 1.0), (40.0, 8.0)):
        state = finish(replace(task, join=join, regularisation=factor), volume, iterations=1)
        first, second = state["references"][:, 0]
        curve = fourier_shell_correlation(first, second)
        assert curve[:4].min() > 0.98 and (curve[7] > 0.98) == (join < 40.0)
        power[join, factor] = mean_amplitudes(first)[7:10].sum()
    assert power[40.0, 8.0] > 1.3 * power[40.0, 1.0], power
