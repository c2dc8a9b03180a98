import numpy as np
import pytest

from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.symmetry import C1, point_group
from cryoloom.numerics.geometry.views import efficiency, empty_part, largest_gap, view_figures
from cryoloom.numerics.simulate.poses import PREFERRED, preferred_poses, uniform_poses, viewing_directions


def figures(poses, group=C1):
    return view_figures(viewing_directions(poses), group, diameter=180.0, resolution=8.0)


def test_even_views_are_efficient_and_see_what_chance_lets_them():
    found = figures(uniform_poses(5000, np.random.default_rng(1)))
    assert found.efficiency >= 0.95 and found.empty == 0.0 and found.gap < 6.0 and not found.preferred
    few = figures(uniform_poses(150, np.random.default_rng(2)))
    # 150 views in 190 cells: the number of empty ones is off by some 3 % of all.
    assert few.coverage == pytest.approx(few.expected, abs=0.08) and found.coverage == pytest.approx(found.expected, abs=0.01)


def test_preferred_views_lower_the_efficiency_and_are_found_where_they_are():
    found = figures(preferred_poses(20_000, 0.7, 25.0, np.random.default_rng(3)))
    assert 0.5 < found.efficiency < 0.85 and len(found.preferred) == 2
    for pole in viewing_directions(PREFERRED):
        nearest = max(float(one.direction @ pole) for one in found.preferred)
        assert np.rad2deg(np.arccos(nearest)) < 3.0
    # 35 % lie evenly within 25 degrees of each, and 30 % anywhere.
    inner, outer = (1 - np.cos(np.deg2rad(angle)) for angle in (15.0, 25.0))
    assert found.preferred[0].share == pytest.approx(0.35 * inner / outer + 0.3 * inner / 2, abs=0.01)


def test_a_single_view_is_the_worst_there_is():
    found = figures(np.tile([30.0, 50.0, 0.0], (500, 1)))
    assert found.efficiency < 0.1 and found.empty > 0.95 and found.gap == pytest.approx(90.0, abs=2.0) and len(found.preferred) == 1


def test_a_cap_of_views_leaves_the_cone_empty_that_geometry_says():
    """Views within 30° of z measure no direction nearer to z than 60°: half of the sphere."""
    rng = np.random.default_rng(4)
    poses = uniform_poses(20_000, rng)
    poses[:, 1] = np.rad2deg(np.arccos(rng.uniform(np.cos(np.deg2rad(30.0)), 1.0, len(poses))))
    views = viewing_directions(poses)
    assert empty_part(views, C1, 0.005) == pytest.approx(0.5, abs=0.01)
    assert largest_gap(views) == pytest.approx(60.0, abs=2.0)


def test_the_efficiency_does_not_depend_on_the_frame():
    views = viewing_directions(preferred_poses(3000, 0.9, 20.0, np.random.default_rng(5)))
    turned = views @ rotation_from_vector(np.array([0.5, -0.9, 1.2]))
    ones = np.ones(len(views), np.int64)
    assert efficiency(turned, ones) == pytest.approx(efficiency(views, ones), abs=0.03)


def test_symmetry_spreads_one_view_over_all_that_are_equal():
    one = np.tile([20.0, 70.0, 0.0], (400, 1))
    alone, seven, many = (figures(one, point_group(name)) for name in ("C1", "D7", "I"))
    assert alone.efficiency < seven.efficiency < many.efficiency and alone.empty > seven.empty > many.empty
    assert len(seven.preferred) == 1 and point_group("D7").in_unit(seven.preferred[0].direction, margin=1.0)
