import numpy as np
import pytest

from cryoloom.numerics.align.posterior import SETTLED, Candidates, Posterior, insertion_points
from cryoloom.numerics.geometry.euler import geodesic_angle, random_rotations
from cryoloom.numerics.geometry.rotations import rotation_from_vector, vector_from_rotation


def candidates(rotations, costs, curvatures=None):
    count = len(costs)
    curvatures = np.tile(np.eye(5) * 1e4, (1, count, 1, 1)) if curvatures is None else curvatures
    return Candidates(rotations[None], np.arange(2.0 * count).reshape(1, count, 2), np.array([costs], float), curvatures, np.array([count]))


def test_one_of_each_peak_is_kept_best_first():
    base = random_rotations(3, np.random.default_rng(0))
    close = rotation_from_vector(np.array([0.02, 0, 0])) @ base[1]
    kept = candidates(np.stack([base[0], base[1], close, base[2]]), [5.0, 3.0, 2.0, 9.0]).distinct(3)
    assert kept.found.tolist() == [3]
    assert kept.costs[0].tolist() == [2.0, 5.0, 9.0]
    assert np.array_equal(kept.rotations[0, 0], close) and kept.shifts[0, 0].tolist() == [4.0, 5.0]
    assert candidates(base, [1.0, 0.0, 2.0]).distinct(2).found.tolist() == [2]


def test_masses_follow_cost_and_curvature_and_small_ones_are_dropped():
    curvatures = np.stack([np.eye(5), 4 * np.eye(5), np.eye(5)])[None]
    posterior = Posterior.of(candidates(random_rotations(3, np.random.default_rng(1)), [0.0, 0.0, 9.0], curvatures))
    assert posterior.weights[0, 0] / posterior.weights[0, 1] == pytest.approx(4**2.5, rel=1e-5)
    assert posterior.weights[0, 2] == 0 and posterior.weights[0].sum() == pytest.approx(1)
    assert np.allclose(posterior.covariances[0, 1], np.eye(5) / 4)
    assert posterior.log_likelihood.tolist() == [0.0]
    assert posterior.evidence[0] == pytest.approx(np.log(1 + 4**-2.5 + np.exp(-9)), rel=1e-5)


def spread_posterior(covariance):
    rotation = random_rotations(1, np.random.default_rng(2))
    return Posterior(rotation[None], np.array([[[1.0, -2.0]]]), np.ones((1, 1)), covariance[None, None], np.zeros(1), np.zeros(1))


def test_four_points_have_the_covariance_of_the_rotation_and_move_the_shift_along():
    root = np.random.default_rng(3).normal(size=(5, 5)) * np.array([0.05] * 3 + [0.5] * 2)[:, None]
    covariance = root @ root.T
    posterior = spread_posterior(covariance)
    points = insertion_points(posterior, 64, 30, 25.0)
    assert len(points.image) == 4 and points.weights.sum() == pytest.approx(1)
    vectors = vector_from_rotation(posterior.rotations[0, 0] @ np.swapaxes(points.rotations.astype(float), -1, -2))
    assert np.allclose(vectors.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(vectors.T @ vectors / 4, covariance[:3, :3], rtol=0.02, atol=2e-5)
    moved = points.shifts - posterior.shifts[0, 0]
    assert np.allclose(vectors.T @ moved / 4, covariance[:3, 3:], rtol=0.02, atol=2e-4)
    # What is left of the shift's spread and what the points carry make up the whole.
    xx, xy, yy = points.spreads[0]
    assert np.allclose(moved.T @ moved / 4 + [[xx, xy], [xy, yy]], covariance[3:, 3:], rtol=0.02, atol=1e-3)


def test_a_sharp_pose_is_one_point():
    points = insertion_points(spread_posterior(np.diag([1e-8] * 3 + [1e-4] * 2)), 64, 30, 25.0)
    assert len(points.image) == 1 and np.allclose(points.shifts, [[1.0, -2.0]])


def test_points_of_a_hopeless_pose_stay_within_thirty_degrees_a_standard_deviation():
    posterior = spread_posterior(np.diag([100.0] * 3 + [1.0] * 2))
    points = insertion_points(posterior, 64, 30, 25.0)
    assert geodesic_angle(points.rotations.astype(float), posterior.rotations[0, 0]).max() < 30 * np.sqrt(3) + 1


def test_a_settled_pose_is_one_point_in_maps_to_be_compared():
    """The blur of 0.01 radians at 15 px of 25: 0.44 radians at shell 30, where a point will do; 0.88 at shell 60."""
    posterior = spread_posterior(np.diag([1e-4] * 3 + [1e-4] * 2))
    assert [len(insertion_points(posterior, 64, shell, 25.0, SETTLED).image) for shell in (30, 60)] == [1, 4]
    assert len(insertion_points(posterior, 64, 30, 25.0).image) == 4
