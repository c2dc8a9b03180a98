"""Grouping the picks of several pickers."""

import numpy as np
import pytest

from cryoloom.numerics.picking.groups import group_picks


def test_picks_of_one_particle_are_one_group():
    groups = group_picks([np.array([[10.0, 10], [50, 50]]), np.array([[12.0, 10]]), np.array([[90.0, 20], [50, 53]])], 5.0)
    assert groups.x.tolist() == [11.0, 90.0, 50.0] and groups.y.tolist() == [10.0, 20.0, 51.5]
    assert groups.members.tolist() == [[0, 0, -1], [-1, -1, 0], [1, -1, 1]]
    assert groups.votes.tolist() == [2, 1, 2]


def test_a_group_never_has_two_picks_of_one_picker():
    one, two = np.array([[0.0, 0], [3, 0]]), np.array([[1.0, 0]])
    groups = group_picks([one, two], 5.0)
    assert sorted(groups.votes.tolist()) == [1, 2]
    assert groups.members[groups.votes == 2].tolist() == [[0, 0]], "the nearer of the two is its partner"


def test_a_chain_does_not_swallow_its_neighbours():
    chain = [np.array([[4.0 * step, 0.0]]) for step in range(6)]
    groups = group_picks(chain, 5.0)
    assert groups.votes.tolist() == [2, 2, 2]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_pickers_and_of_picks_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 500, (80, 2))
    pickers = [true[rng.random(80) < 0.8] + rng.normal(0, 3, (1, 2)) for _ in range(4)]
    pickers = [np.round(np.concatenate([each + rng.normal(0, 2, each.shape), rng.uniform(0, 500, (20, 2))])) for each in pickers]
    groups = group_picks(pickers, 12.0)
    turned = group_picks([each[::-1] for each in reversed(pickers)], 12.0)
    assert groups.x.tobytes() == turned.x.tobytes() and groups.y.tobytes() == turned.y.tobytes()
    assert np.array_equal(groups.votes, turned.votes)
    assert np.array_equal(groups.members >= 0, turned.members[:, ::-1] >= 0)


def test_nothing_and_one_picker():
    assert group_picks([np.zeros((0, 2)), np.zeros((0, 2))], 3.0).votes.tolist() == []
    assert group_picks([np.array([[1.0, 2.0], [1.5, 2.0]])], 3.0).votes.tolist() == [1, 1]
