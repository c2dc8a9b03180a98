"""Euler angles: RELION's matrix, its inverse, its equivalences, and the hand."""

import numpy as np
import pytest

from cryoloom.numerics.geometry.euler import euler_to_matrix, flip_hand, geodesic_angle, matrix_to_euler, random_rotations


def _reference(rot, tilt, psi):
    def rz(a):
        c, s = np.cos(np.deg2rad(a)), np.sin(np.deg2rad(a))
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

    def ry(b):
        c, s = np.cos(np.deg2rad(b)), np.sin(np.deg2rad(b))
        return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])

    return rz(psi) @ ry(tilt) @ rz(rot)


def test_the_matrix_is_the_product_of_three():
    angles = np.random.default_rng(1).uniform(-180, 180, (50, 3))
    for rot, tilt, psi in angles:
        assert np.allclose(euler_to_matrix(rot, tilt, psi), _reference(rot, tilt, psi))


def test_third_row_is_the_projection_direction():
    matrix = euler_to_matrix(30.0, 50.0, 70.0)
    r, t = np.deg2rad([30.0, 50.0])
    assert np.allclose(matrix[2], [np.sin(t) * np.cos(r), np.sin(t) * np.sin(r), np.cos(t)])


@pytest.mark.parametrize("tilt", [0.0, 1e-7, 90.0, 180.0, -35.0])
def test_angles_come_back_as_the_same_rotation_in_normal_form(tilt):
    matrices = euler_to_matrix(np.array([10.0, -170.0]), np.array([tilt, tilt]), np.array([33.0, 120.0]))
    rot, back, psi = matrix_to_euler(matrices)
    assert np.allclose(euler_to_matrix(rot, back, psi), matrices, atol=1e-7)
    assert (back >= 0).all() and (back <= 180).all() and (np.abs(rot) <= 180).all() and (np.abs(psi) <= 180).all()


def test_equivalent_angles():
    assert np.allclose(euler_to_matrix(20.0, 40.0, 60.0), euler_to_matrix(200.0, -40.0, 240.0))
    opposite = np.diag([-1.0, 1.0, -1.0]) @ euler_to_matrix(20.0, 40.0, 60.0)
    assert np.allclose(euler_to_matrix(20.0, 220.0, -60.0), opposite)


def test_flipping_the_hand_adds_180_to_rot_and_psi():
    assert np.allclose(flip_hand(euler_to_matrix(20.0, 40.0, 60.0)), euler_to_matrix(200.0, 40.0, 240.0))


def test_geodesic_angle_of_a_known_rotation():
    first = random_rotations(20, np.random.default_rng(0))
    assert np.allclose(geodesic_angle(first, euler_to_matrix(0.0, 0.0, 25.0) @ first), 25.0)


def test_random_rotations_are_proper_and_uniform():
    rotations = random_rotations(4000, np.random.default_rng(3))
    assert np.allclose(np.linalg.det(rotations), 1.0)
    assert np.abs(rotations.mean(axis=0)).max() < 0.05
    # The angle of a uniform rotation has density (1 - cos w) / pi on [0, pi], whose mean is pi/2 + 2/pi.
    angles = np.deg2rad(geodesic_angle(rotations, np.broadcast_to(np.eye(3), rotations.shape)))
    assert abs(angles.mean() - (np.pi / 2 + 2 / np.pi)) < 0.03
