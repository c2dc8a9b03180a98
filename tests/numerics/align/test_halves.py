import numpy as np

from cryoloom.numerics.align.halves import duplicate_groups, random_halves


def test_halves_are_equal_random_and_repeatable():
    half = random_halves(np.arange(1001), 3)
    assert abs(int(half.sum()) * 2 - 1001) == 1
    assert np.array_equal(half, random_halves(np.arange(1001), 3))
    assert 0.4 < np.mean(half == random_halves(np.arange(1001), 4)) < 0.6


def test_groups_stay_together():
    groups = np.repeat(np.arange(50), 5)
    half = random_halves(groups, 1).reshape(50, 5)
    assert (half == half[:, :1]).all() and half[:, 0].sum() == 25


def test_neighbours_on_one_micrograph_share_a_group_and_others_do_not():
    micrograph = np.array([1, 1, 1, 1, 2])
    x, y = np.array([0.0, 8.0, 16.0, 100.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.0, 0.0])
    groups = duplicate_groups(micrograph, x, y, 10.0)
    assert len({*groups[:3].tolist()}) == 1
    assert len(set(groups.tolist())) == 3
