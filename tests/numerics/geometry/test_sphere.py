import numpy as np
import pytest

from cryoloom.numerics.geometry.sphere import disc_lattice, healpix_directions, rotation_grid


def unit(rot, tilt):
    a, b = np.deg2rad(rot), np.deg2rad(tilt)
    return np.stack([np.sin(b) * np.cos(a), np.sin(b) * np.sin(a), np.cos(b)], axis=-1)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_directions_are_even(order):
    vectors = unit(*healpix_directions(order))
    assert len(vectors) == 12 * 4**order
    assert np.allclose(vectors.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(vectors.T @ vectors / len(vectors), np.eye(3) / 3, atol=0.04 / 4**order)
    cosines = vectors @ vectors.T - 2 * np.eye(len(vectors))
    nearest = np.rad2deg(np.arccos(cosines.max(axis=1)))
    spacing = 58.6 / 2**order
    assert 0.6 * spacing < nearest.min()
    assert nearest.max() < 1.25 * spacing


def test_first_pixels_of_order_zero_and_one_are_those_of_the_paper():
    rot, tilt = healpix_directions(0)
    assert np.allclose(rot[:8], [45, 135, 225, 315, 0, 90, 180, 270])
    assert np.allclose(np.cos(np.deg2rad(tilt)), [2 / 3] * 4 + [0] * 4 + [-2 / 3] * 4)
    rot, tilt = healpix_directions(1)
    assert np.allclose(np.cos(np.deg2rad(tilt[:4])), 1 - 1 / 12)
    assert np.allclose(rot[4:12], np.arange(8) * 45 + 22.5)


def test_a_random_rotation_is_never_far_from_the_grid():
    from cryoloom.numerics.geometry.euler import random_rotations

    grid = rotation_grid(2, 24).reshape(-1, 9)
    wanted = random_rotations(300, np.random.default_rng(0)).reshape(-1, 9)
    angles = np.rad2deg(np.arccos(np.clip(((wanted @ grid.T).max(axis=1) - 1) / 2, -1, 1)))
    assert angles.max() < 15
    assert angles.mean() < 8.5


def test_lattice_counts_are_the_known_ones():
    assert [len(disc_lattice(radius, 1.0)) for radius in (0, 1, 2, 3)] == [1, 5, 13, 29]
    assert disc_lattice(4.0, 2.0)[0].tolist() == [0.0, 0.0]
    assert np.hypot(*disc_lattice(4.0, 2.0).T).max() == 4.0
