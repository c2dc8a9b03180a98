"""Coverage of Fourier space for distributions whose gaps are known."""

import numpy as np
import pytest

from cryoloom.numerics.geometry.coverage import fibonacci_directions, fourier_coverage
from cryoloom.numerics.geometry.euler import random_rotations


def test_uniform_views_cover_everything():
    assert fourier_coverage(random_rotations(1000, np.random.default_rng(0))[:, 2]) > 0.99


def test_views_around_one_axis_cover_everything():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    assert fourier_coverage(np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)) > 0.98


def test_a_single_view_covers_one_disc():
    assert fourier_coverage(np.array([[0.0, 0.0, 1.0]])) == pytest.approx(np.sin(np.deg2rad(5.0)), abs=0.02)


def test_views_within_a_cone_leave_the_missing_cone():
    views = fibonacci_directions(4000)
    assert 0.3 < fourier_coverage(views[views[:, 2] > np.cos(np.deg2rad(30))]) < 0.65


def test_no_views_cover_nothing():
    assert fourier_coverage(np.zeros((0, 3))) == 0.0
