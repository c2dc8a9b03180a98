import numpy as np
from scipy.linalg import expm

from cryoloom.numerics.geometry.euler import geodesic_angle, random_rotations
from cryoloom.numerics.geometry.rotations import median_rotation, nearest_rotation, rotation_from_vector, vector_from_rotation


def test_equals_the_matrix_exponential():
    rng = np.random.default_rng(0)
    for length in (0.0, 1e-9, 0.3, 3.0):
        v = rng.normal(size=3)
        v *= length / np.linalg.norm(v)
        cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
        assert np.allclose(rotation_from_vector(v), expm(cross), atol=1e-12)


def test_vectors_come_back():
    rng = np.random.default_rng(1)
    v = rng.normal(size=(500, 3))
    v *= (rng.uniform(0, np.pi - 1e-3, 500) / np.linalg.norm(v, axis=1))[:, None]
    assert np.allclose(vector_from_rotation(rotation_from_vector(v)), v, atol=1e-7)


def test_half_turns_have_their_axis():
    axis = np.array([0.6, 0.0, -0.8])
    found = vector_from_rotation(rotation_from_vector(np.pi * axis))
    assert np.allclose(np.abs(found @ axis), np.pi, atol=1e-6)


def test_nearest_rotation_is_proper():
    found = nearest_rotation(np.diag([1.1, 0.9, -0.01])[None])[0]
    assert np.allclose(found @ found.T, np.eye(3)) and np.isclose(np.linalg.det(found), 1)


def test_the_median_ignores_a_third_of_outliers():
    rng = np.random.default_rng(2)
    true = random_rotations(1, rng)[0]
    near = rotation_from_vector(rng.normal(size=(200, 3)) * 0.02) @ true
    members = np.concatenate([near, random_rotations(100, rng)])
    assert geodesic_angle(median_rotation(members, near[0]), true) < 1.0
