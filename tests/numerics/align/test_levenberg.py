import numpy as np
import pytest

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.levenberg import damped_step, evaluate, refine_pose, turned
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.geometry.euler import geodesic_angle
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.reconstruct.grids import reference_grid

BOX = 48


@pytest.fixture(scope="module")
def scene(blobs, project, image_set):
    phantom = blobs(BOX)
    stack = project(phantom, 40, snr=0.15, pixel_size=5.0)
    images = image_set(stack, 5.0, 240.0)
    plane = images.plane.within(20)
    noise = np.full((1, images.plane.last + 1), stack.noise**2 * BOX**2)
    data, weight = images.prepare(np.arange(40), plane, noise)
    return stack, plane, reference_grid(phantom.volume(), plane.radius, BOX), data, weight


def at(scene, number, rotation, shift):
    _, plane, grid, data, weight = scene
    gradient, curvature = np.empty(5), np.empty((5, 5))
    cost = evaluate(grid, plane.kx, plane.ky, len(plane.kx), BOX, data[number], weight[number], rotation, shift, gradient, curvature)
    return cost, gradient, curvature


def test_cost_is_minus_the_log_likelihood(scene, blobs):
    """Against projections by formula: |X - M|² - |X|² in units of the noise, over the half plane."""
    stack, plane, _, data, weight = scene
    model = HalfPlane.of(BOX, 20).of_images(blobs(BOX).projections(stack.rotations[:1], -stack.shifts[:1]))[0]
    wanted = np.sum(weight[0] * np.abs(model) ** 2) - 2 * np.sum(np.real(np.conj(data[0]) * model))
    assert at(scene, 0, stack.rotations[0], stack.shifts[0])[0] == pytest.approx(wanted, rel=0.02)


def test_gradient_is_the_slope_of_the_cost(scene):
    stack = scene[0]
    rotation = rotation_from_vector(np.array([0.02, -0.03, 0.01])) @ stack.rotations[3]
    shift = stack.shifts[3] + [0.3, -0.2]
    _, gradient, _ = at(scene, 3, rotation, shift)
    scale = np.sqrt(np.diag(at(scene, 3, rotation, shift)[2]))
    for axis in range(5):
        step, costs = np.zeros(5), []
        # Trilinear interpolation has kinks: the slope is that over a few hundredths of a grid cell.
        step[axis] = 4e-3 if axis < 3 else 1e-2
        for sign in (1, -1):
            moved = np.empty((3, 3))
            turned(rotation, sign * step, moved)
            costs.append(at(scene, 3, moved, shift + sign * step[3:])[0])
        slope = (costs[0] - costs[1]) / (2 * step[axis])
        assert gradient[axis] == pytest.approx(slope, abs=0.35 * scale[axis])


def prior(precision):
    """Return what `refine_pose` takes for a prior of shifts about zero."""
    one = PosePrior(precision)
    return one.rows(np.arange(1))[0], one.mates


def test_errors_are_those_the_curvature_predicts(scene):
    stack, plane, grid, data, weight = scene
    rng, ratios = np.random.default_rng(0), []
    for number in range(40):
        rotation = rotation_from_vector(rng.normal(size=3) * 0.04) @ stack.rotations[number]
        shift, curvature = stack.shifts[number] + rng.normal(size=2) * 0.4, np.empty((5, 5))
        refine_pose(grid, plane.kx, plane.ky, len(plane.kx), BOX, data[number], weight[number], *prior(0.0), 12, rotation, shift, curvature)
        spread = np.linalg.inv(curvature)
        angle = np.deg2rad(geodesic_angle(rotation, stack.rotations[number]))
        ratios.append([angle**2 / np.trace(spread[:3, :3]), np.sum((shift - stack.shifts[number]) ** 2) / np.trace(spread[3:, 3:])])
    # Mean squared error over expected: one, with forty particles to tell.
    assert np.all(np.abs(np.mean(ratios, axis=0) - 1.0) < 0.45)


def test_a_strong_prior_holds_the_shift(scene):
    stack, plane, grid, data, weight = scene
    rotation, shift, curvature = stack.rotations[1].copy(), np.zeros(2), np.empty((5, 5))
    refine_pose(grid, plane.kx, plane.ky, len(plane.kx), BOX, data[1], weight[1], *prior(1e8), 10, rotation, shift, curvature)
    assert np.abs(shift).max() < 1e-3


def test_step_solves_the_damped_system_and_refuses_an_indefinite_one():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 5))
    curvature, gradient, step = root @ root.T, rng.normal(size=5), np.empty(5)
    assert damped_step(curvature, gradient, 0.1, step)
    assert np.allclose(step, -np.linalg.solve(curvature + 0.1 * np.diag(np.diag(curvature)), gradient))
    assert not damped_step(-curvature, gradient, 0.1, step)


def test_turning_is_the_exponential_of_minus_the_vector():
    rng = np.random.default_rng(2)
    rotation, out = rotation_from_vector(rng.normal(size=3)), np.empty((3, 3))
    for length in (0.0, 1e-6, 0.1, 2.0):
        step = np.concatenate([rng.normal(size=3), [0, 0]])
        step[:3] *= length / np.linalg.norm(step[:3])
        turned(rotation, step, out)
        assert np.allclose(out, rotation_from_vector(-step[:3]) @ rotation, atol=1e-8)
