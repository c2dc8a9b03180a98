import numpy as np
import pytest

from cryoloom.numerics.geometry.cells import equal_cells
from cryoloom.numerics.geometry.euler import random_rotations


@pytest.mark.parametrize("side", [2.5, 5.0, 10.0, 45.0])
def test_centres_lie_in_their_cells_and_cells_are_about_as_large_as_asked(side):
    cells = equal_cells(side)
    assert (cells.of(cells.centres) == np.arange(cells.count)).all()
    assert 4 * np.pi / cells.count == pytest.approx(np.deg2rad(side) ** 2, rel=0.15)


def test_cells_have_equal_areas():
    """By directions of which every part of the sphere has its share."""
    cells = equal_cells(20.0)
    counts = np.bincount(cells.of(random_rotations(400_000, np.random.default_rng(1))[:, 2]), minlength=cells.count)
    expected = 400_000 / cells.count
    assert ((counts - expected) ** 2 / expected).mean() == pytest.approx(1.0, abs=0.4)


def test_the_ends_of_the_sphere_have_cells():
    cells = equal_cells(5.0)
    ends = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [1, -1e-18, 0]], dtype=float)
    assert ((cells.of(ends) >= 0) & (cells.of(ends) < cells.count)).all()
    assert cells.of(ends[0]) == 0 and cells.of(ends[1]) >= cells.count - cells.rings[-1]
