"""Picks and truth are paired one to one, as well as they can be."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cryoloom.numerics.picking.matching import agreement, match_points


def test_as_many_pairs_as_can_be_and_then_the_nearest():
    true = np.array([[0.0, 0.0], [10.0, 0.0]])
    # Nearest first would give the middle one to the first particle and leave the second without.
    rows, columns = match_points(np.array([[-6.0, 0.0], [4.0, 0.0]]), true, 6.5)
    assert dict(zip(rows, columns, strict=True)) == {0: 0, 1: 1}
    rows, columns = match_points(np.array([[1.0, 0.0], [0.5, 0.0], [50.0, 0.0]]), true, 3.0)
    assert (rows.tolist(), columns.tolist()) == ([1], [0])


@pytest.mark.parametrize("seed", range(4))
def test_the_clusters_together_are_the_whole_assignment(seed):
    rng = np.random.default_rng(seed)
    found, true = rng.uniform(0, 100, (60, 2)), rng.uniform(0, 100, (50, 2))
    apart = np.linalg.norm(found[:, None] - true[None], axis=2)
    whole = linear_sum_assignment(np.where(apart <= 9.0, apart - 1e4, 0.0))
    expected = apart[whole][apart[whole] <= 9.0]
    rows, columns = match_points(found, true, 9.0)
    assert len(set(rows)) == len(set(columns)) == len(rows) == len(expected)
    assert apart[rows, columns].sum() == pytest.approx(expected.sum()) and apart[rows, columns].max() <= 9.0


def test_nothing_matches_nothing():
    none = np.zeros((0, 2))
    assert [len(part) for part in match_points(none, np.ones((3, 2)), 1.0)] == [0, 0]
    assert [len(part) for part in match_points(np.ones((3, 2)), none, 1.0)] == [0, 0]
    assert [len(part) for part in match_points(np.zeros((1, 2)), np.ones((3, 2)) * 9, 1.0)] == [0, 0]


def test_figures_of_a_list_of_picks():
    true = [np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0]]), np.array([[0.0, 0.0]])]
    found = [(np.array([[0.0, 6.0], [50.0, 0.0], [100.0, 8.0]]), np.array([0.9, 0.8, 0.7])), (np.zeros((0, 2)), np.zeros(0))]
    result = agreement(found, true, 100.0)
    assert (result.true, result.picked, result.hits) == (4, 3, 2)
    assert (result.recall, result.precision, result.f1) == pytest.approx((0.5, 2 / 3, 4 / 7))
    # The first pick adds a quarter of recall at precision 1, the third a quarter at 2/3.
    assert result.auprc == pytest.approx(0.25 * (1 + 2 / 3))
    assert result.centring == pytest.approx(np.sqrt((0.06**2 + 0.08**2) / 2))
    assert agreement([(np.zeros((0, 2)), np.zeros(0))], [true[0]], 100.0).f1 == 0
