"""Priors on poses: their slopes, what they hold, and what they are worth where images are faint."""

from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align import refine
from cryoloom.numerics.align.halves import random_halves
from cryoloom.numerics.align.levenberg import turned
from cryoloom.numerics.align.priors import PosePrior, with_prior
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.sphere import rotation_grid
from cryoloom.numerics.geometry.symmetry import point_group

BOX, PIXEL, COUNT = 32, 5.0, 120
DEGREE = np.pi / 180


def cost_of(prior, rotation, shift):
    gradient, curvature = np.zeros(5), np.zeros((5, 5))
    cost = with_prior(0.0, rotation, shift, prior.rows(np.arange(1))[0], prior.mates, gradient, curvature)
    return cost, gradient, curvature


@pytest.mark.parametrize("about_axis", [False, True])
@pytest.mark.parametrize("group", ["C1", "D3"])
def test_slopes_are_those_of_the_cost_and_the_centre_costs_nothing(about_axis, group):
    rng = np.random.default_rng(1)
    centre = random_rotations(1, rng)
    prior = PosePrior(0.7, 30.0, centre, np.array([[3.0, -2.0]]), about_axis, point_group(group))
    for mate in prior.group.mates(centre)[0]:
        assert cost_of(prior, mate, np.array([3.0, -2.0]))[0] == pytest.approx(0.0, abs=1e-12)
    rotation, shift = rotation_from_vector(np.array([0.2, -0.3, 0.25])) @ prior.group.mates(centre)[0, -1], np.array([2.0, 1.0])
    cost, gradient, curvature = cost_of(prior, rotation, shift)
    assert cost > 0 and np.linalg.eigvalsh(curvature).min() > -1e-9
    for axis in range(5):
        step, costs = np.zeros(5), []
        step[axis] = 1e-4
        for sign in (1, -1):
            moved = np.empty((3, 3))
            turned(rotation, sign * step, moved)
            costs.append(cost_of(prior, moved, shift + sign * step[3:])[0])
        assert gradient[axis] == pytest.approx((costs[0] - costs[1]) / 2e-4, rel=1e-3, abs=1e-4)


def test_about_the_axis_rot_is_free_and_tilt_and_psi_are_held():
    centre = euler_to_matrix(20.0, 70.0, 40.0)[None]
    prior = PosePrior(0.0, 1.0 / (5 * DEGREE) ** 2, centre, about_axis=True)
    nowhere = np.zeros(2)
    assert cost_of(prior, euler_to_matrix(150.0, 70.0, 40.0), nowhere)[0] == pytest.approx(0.0, abs=1e-9)
    assert cost_of(prior, euler_to_matrix(150.0, 80.0, 40.0), nowhere)[0] == pytest.approx(2.0, rel=1e-6)
    whole = replace(prior, about_axis=False)
    assert cost_of(whole, euler_to_matrix(30.0, 70.0, 40.0), nowhere)[0] == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("about_axis", [False, True])
def test_no_node_of_the_coarse_grid_is_charged_more_than_the_best_pose_it_stands_for(about_axis):
    rng = np.random.default_rng(2)
    centres, group = random_rotations(3, rng), point_group("C2")
    prior = PosePrior(0.0, 1.0 / (10 * DEGREE) ** 2, centres, about_axis=about_axis, group=group)
    nodes = rotation_grid(2, 24)
    found = prior.penalties(np.arange(3), nodes)
    flat = nodes.reshape(-1, 3, 3)
    for image in range(3):
        for node in rng.choice(len(flat), 50):
            row = PosePrior(0.0, prior.turn, centres[image : image + 1], about_axis=about_axis, group=group)
            there = cost_of(row, flat[node], np.zeros(2))[0]
            angle = np.sqrt(2 * there / prior.turn)
            assert found[image, node] == pytest.approx(0.5 * prior.turn * max(angle - 7.5 * DEGREE, 0) ** 2, rel=1e-3, abs=1e-3)
    assert PosePrior(1.0).penalties(np.arange(3), nodes) is None


def errors(stack, task, volume, *given):
    state = refine.iterate(task, refine.begin(task, [volume], *given))
    return compare_poses(state["rotations"], state["shifts"], stack.rotations, stack.shifts, either_hand=False).angles


@pytest.fixture(scope="module")
def faint(blobs, project, image_set):
    """Images in which many poses cannot be found without knowing something."""
    particle = blobs(BOX, count=80)
    stack = project(particle, COUNT, snr=0.06, pixel_size=PIXEL, shift=1.0)
    images = image_set(stack, PIXEL, 0.95 * BOX * PIXEL)
    task = refine.Task(images, random_halves(np.arange(COUNT), 1), PIXEL, 0.95 * BOX * PIXEL, 20.0, 1, folds=2)
    return stack, task, particle.volume(), errors(stack, task, particle.volume())


@pytest.mark.parametrize("about_axis", [False, True])
def test_a_prior_finds_poses_that_images_alone_do_not_tell(faint, about_axis):
    stack, task, volume, alone = faint
    rng = np.random.default_rng(5)
    near = rotation_from_vector(rng.normal(size=(COUNT, 3)) * 4 * DEGREE) @ stack.rotations
    if about_axis:
        _, tilt, psi = matrix_to_euler(near)
        near = euler_to_matrix(rng.uniform(-180, 180, COUNT), tilt, psi)
    prior = PosePrior(0.0, 1.0 / (4 * DEGREE) ** 2, near, about_axis=about_axis)
    held = errors(stack, replace(task, prior=prior), volume, near, stack.shifts)
    assert np.mean(alone > 20) > 0.15
    assert np.mean(held > 20) < (0.6 if about_axis else 0.05) * np.mean(alone > 20), (np.mean(alone > 20), np.mean(held > 20))


def test_relaxed_symmetry_tries_the_mates_of_given_poses(blobs, project, image_set):
    """A particle that is nearly C3: three clusters, one of them larger. Two thirds of the poses given are those of a mate."""
    rng, group = np.random.default_rng(3), point_group("C3")
    arm = rng.normal(size=(25, 3)) * 1.5 + [7.0, 0.0, 1.0]
    extra = rng.normal(size=(14, 3)) * 1.2 + [10.0, 1.0, -5.0]
    centres = np.concatenate([*(arm @ one.T for one in group.operators), extra])
    particle = replace(blobs(BOX), centres=centres)
    stack = project(particle, COUNT, snr=0.5, pixel_size=PIXEL, shift=0.5)
    images = image_set(stack, PIXEL, 0.95 * BOX * PIXEL)
    task = refine.Task(
        images, random_halves(np.arange(COUNT), 1), PIXEL, 0.95 * BOX * PIXEL, 25.0, 1, folds=2, near=True, follow_surface=False
    )
    given = stack.rotations @ group.operators[np.arange(COUNT) % 3]
    right = {}
    for relaxed in (point_group("C1"), group):
        right[relaxed.name] = np.mean(errors(stack, replace(task, relaxed=relaxed), particle.volume(), given, stack.shifts) < 15)
    assert right["C1"] < 0.5 and right["C3"] > 0.95
