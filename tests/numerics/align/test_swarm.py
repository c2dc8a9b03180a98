from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoloom.numerics.align import swarm
from cryoloom.numerics.align.maps import MapAlignment, moved_map
from cryoloom.numerics.align.swarm_maps import clearly_opposite, laid_one_by_one, laid_together, significant
from cryoloom.numerics.align.swarm_scores import Projecting
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.symmetry import C1
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.symmetry import turned_map

BOX, RADIUS = 32, 85.0 / 6


@pytest.fixture(scope="module")
def scene(blobs, project, image_set):
    """The plan of a small swarm, the truth at its working box, and a map of another particle."""
    phantom = blobs(BOX)
    images = image_set(project(phantom, 240, snr=0.5, pixel_size=6.0, shift=0.8), 6.0, 170.0, last=9)
    plan = swarm.Plan(Projecting(images, RADIUS, order=1), 6.0, seed=1, train=80, test=30)
    truth, other = (resample_volume(torch.from_numpy(one.volume()), plan.box).numpy() for one in (phantom, blobs(BOX, seed=8)))
    return plan, truth, other


def test_who_judges_never_builds_and_the_halves_share_no_image(scene):
    plan = scene[0]
    judges, *halves = plan.parted
    assert sorted(np.concatenate([judges, *halves])) == list(range(240)) and len(judges) == 60
    drawn = [[plan.builders(iteration, 0, half) for iteration in range(5)] for half in (0, 1)]
    for half, draws in enumerate(drawn):
        assert all(len(one) == 40 and set(one) <= set(halves[half]) for one in draws)
        assert not set(draws[0]) & set(draws[1]) and not set(draws[2]) & set(draws[3])


def test_evidence_is_not_fooled_by_a_map_that_offers_more_to_choose_from(scene, image_set):
    """Images of nothing: the best projection of a rough map follows their noise better than that of a smooth one."""
    plan, truth, _ = scene
    rng = np.random.default_rng(4)

    class Noise:
        images, defocus = rng.normal(size=(60, BOX, BOX)).astype(np.float32), np.full(60, 12000.0)

    projecting = Projecting(image_set(Noise, 6.0, 170.0, last=9), RADIUS, order=1)
    smooth = truth * plan.solvent
    rough = smooth + 3 * smooth.std() * rng.normal(size=truth.shape).astype(np.float32) * plan.solvent
    noise, turn, rows = projecting.images.total_power(), np.eye(3), np.arange(60)
    # Both as strong as the images allow a map to look.
    maps = [one * np.float32(0.5 * np.linalg.norm(smooth) / np.linalg.norm(one)) for one in (smooth, rough)]
    correlation = [projecting.correlations(one, rows, noise, turn).mean() for one in maps]
    evidence = [projecting.evidence(one, rows, noise, turn).mean() for one in maps]
    assert correlation[1] > correlation[0] + 0.02 and max(evidence) < 0.0, (correlation, evidence)


def test_a_weak_map_has_no_evidence_and_one_of_another_particle_less_than_a_rough_one_of_theirs(blobs, project, image_set):
    """Hardly any image tells its pose here: 200 of SNR 0.05. The rough map has half its power in noise, and none of that in the other's shells."""
    phantom = blobs(BOX)
    images = image_set(project(phantom, 200, snr=0.05, pixel_size=6.0, shift=0.8), 6.0, 170.0, last=9)
    projecting, rows, turn = Projecting(images, RADIUS), np.arange(200), np.eye(3)
    noise, solvent = images.total_power(), spherical_mask(BOX, RADIUS, 3.0)
    truth, other = phantom.volume() * solvent, lowpass(blobs(BOX, seed=8).volume() * solvent, 6.0, 40.0)
    rough = truth + lowpass(np.random.default_rng(5).normal(size=truth.shape).astype(np.float32), 6.0, 24.0) * solvent * truth.std() * 3
    assert abs(projecting.evidence(truth * np.float32(0.001), rows, noise, turn).mean()) < 0.05
    fitted = [projecting.fitted(one.astype(np.float32), rows, noise, turn) for one in (truth, rough, other)]
    right, noisy, wrong = (projecting.evidence(one, rows, noise, turn).mean() for one in fitted)
    assert right > noisy > wrong, (right, noisy, wrong)


def test_two_that_agree_lie_on_each_other_whatever_the_first_is(scene):
    plan, truth, other = scene
    rng = np.random.default_rng(6)
    rough = [
        truth + 0.5 * truth.std() * lowpass(rng.normal(size=truth.shape).astype(np.float32), 1.0, 4.0) * plan.solvent for _ in range(2)
    ]
    turned = [turned_map(one, turn).astype(np.float32) for one, turn in zip(rough, random_rotations(2, rng), strict=True)]
    placed, moves = laid_one_by_one(np.stack([turned[0], other, turned[1]]), 1, plan.voxel, C1)
    assert np.array_equal(placed[1], other) and sorted(moves) == [0, 2] and sorted(onto for onto, _ in moves.values()) != [1, 1]
    assert np.corrcoef(placed[0].ravel(), placed[2].ravel())[0, 1] > 0.8


def test_hands_are_opposite_between_maps_as_given():
    """The first of three is another particle's: the second hardly fits it mirrored, and the third, of the second's hand, is mirrored with it."""

    def move(correlation, other, *, mirrored):
        return MapAlignment(np.eye(3), np.zeros(3), mirrored, correlation, other, 25.0)

    unsure = (0, move(0.8, 0.79, mirrored=True))
    assert clearly_opposite({1: unsure, 2: (1, move(0.9, 0.8, mirrored=True))}) == []
    assert clearly_opposite({1: unsure, 2: (1, move(0.9, 0.8, mirrored=False))}) == [2]
    assert clearly_opposite({1: (0, move(0.9, 0.8, mirrored=True)), 2: (0, move(0.7, 0.5, mirrored=True))}) == [1]


def test_a_wrong_map_stays_out_and_threads_change_nothing(scene):
    plan, truth, other = scene
    states = []
    for threads in (1, 2):
        here = replace(plan, projecting=replace(plan.projecting, threads=threads))
        state = swarm.begin(here, swarm.laid_on_best(here, np.stack([truth, other])))
        for _ in range(2):
            state = swarm.iterate(here, state)
        states.append(state)
    one, two = states
    assert (
        all(np.array_equal(one[name], two[name]) for name in ("positions", "velocities", "bests", "noise"))
        and one["history"] == two["history"]
    )
    start = one["history"][0]
    assert start["fitness"][1] < start["fitness"][0] - 3 * start["error"][1]
    assert one["velocities"].any() and one["bests"].shape == (2, 2, plan.box, plan.box, plan.box)
    frozen = {**one, "bests": np.stack([one["bests"][0], np.stack([other, other]) * np.float32(truth.std() / other.std())])}
    found = swarm.consensus(plan, frozen)
    assert found["within"] == [True, False] and np.array_equal(found["halves"], frozen["bests"][0])
    assert found["scores"].shape == (3, 60) and np.array_equal(found["scores"][0], found["scores"][2])
    # All images make it better, or it stays.
    last = swarm.settle(plan, found, 1000)
    assert last["scores"][-1].mean() >= found["scores"][-1].mean()
    assert np.array_equal(last["halves"], found["halves"]) == last["settled"]


def test_members_are_laid_on_each_other_where_they_drifted(scene):
    plan, truth, _ = scene
    drift = MapAlignment(rotation_from_vector(np.array([0.06, -0.05, 0.08])), np.array([3.0, -2.0, 1.0]), False, 1.0, None, 25.0)
    moved = moved_map(truth, drift, plan.voxel)
    members = np.stack([[truth, truth], [moved, moved]])
    laid = laid_together(members, truth, plan.voxel, C1)
    assert np.array_equal(laid[0], members[0])

    def alike(one):
        return np.corrcoef(one.ravel(), truth.ravel())[0, 1]

    assert alike(moved) < 0.98 < 0.995 < alike(laid[1, 0]) and np.array_equal(laid[1, 0], laid[1, 1])


def test_a_dark_map_is_named(scene):
    plan, truth, _ = scene
    with pytest.raises(ValueError, match="volume 2: the images agree with the negative"):
        swarm.laid_on_best(plan, np.stack([truth, -truth]))


def test_the_published_denoising_keeps_the_particle_and_weakens_the_rest(scene):
    plan, truth, _ = scene
    rng = np.random.default_rng(2)
    rough = (truth + 0.1 * truth.max() * rng.normal(size=truth.shape)).astype(np.float32) * plan.solvent
    cleaned = significant(rough, plan.solvent)
    inside, outside = truth > 0.5 * truth.max(), (truth < 0.02 * truth.max()) & (plan.solvent > 0.5)
    kept, left = (np.abs(cleaned[where]).sum() / np.abs(rough[where]).sum() for where in (inside, outside))
    assert kept > 0.9 and left < 0.75, (kept, left)
