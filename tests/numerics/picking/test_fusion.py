"""What votes, scores and looks of known pickers are worth together."""

import numpy as np
import pytest

from cryoloom.numerics.picking.fusion import KINDS, WORTH, confirmed, fused_probability


def positions(count=400, seed=1):
    """Return scores of three pickers, most of them on the same positions, and looks."""
    rng = np.random.default_rng(seed)
    scores = np.where(rng.random((count, 3)) < 0.85, rng.uniform(0.05, 1.0, (count, 3)), np.nan)
    scores[0] = (0.9, 0.9, 0.9)
    return scores, rng.normal(0.0, 3.0, count)


def test_the_order_of_the_pickers_does_not_matter():
    scores, looks = positions()
    straight = fused_probability(KINDS, scores, looks)
    assert straight is not None and ((straight > 0) & (straight < 1)).all()
    for order in ([1, 2, 0], [2, 1, 0], [0, 2, 1]):
        assert np.array_equal(straight, fused_probability([KINDS[number] for number in order], scores[:, order], looks))


def test_a_position_does_not_hang_on_others():
    scores, looks = positions()
    assert np.array_equal(fused_probability(KINDS, scores, looks)[:300], fused_probability(KINDS, scores[:300], looks[:300]))


@pytest.mark.parametrize("kinds", sorted(WORTH))
def test_votes_scores_and_looks_speak_for_a_particle(kinds):
    scores = np.full((40, len(kinds)), 0.7)
    plain = fused_probability(kinds, scores, np.zeros(40))
    assert (fused_probability(kinds, scores, np.full(40, 2.0)) > plain).all()
    for number in range(len(kinds)):
        surer, without = scores.copy(), scores.copy()
        surer[0, number], without[0, number] = 0.95, np.nan
        assert fused_probability(kinds, surer, np.zeros(40))[0] > plain[0] > fused_probability(kinds, without, np.zeros(40))[0]


def test_what_is_not_known_is_not_weighed():
    scores, looks = positions()
    assert fused_probability(("pick.blob", "pick.blob", "pick.deep"), scores, looks) is None
    assert fused_probability(("pick.blob", "", "pick.deep"), scores, looks) is None
    assert fused_probability(KINDS[:1], scores[:, :1], looks) is None


def test_a_picker_that_finds_what_no_other_does_is_not_trusted():
    scores, looks = positions()
    alone = np.full((900, 3), np.nan)
    alone[:, 1] = 0.9
    astray = np.concatenate([scores, alone])
    assert confirmed(scores).min() > 0.9 and confirmed(astray)[1] < 0.5 < confirmed(astray)[0]
    assert fused_probability(KINDS, astray, np.concatenate([looks, np.zeros(900)])) is None
    assert confirmed(np.full((3, 2), np.nan)).tolist() == [1.0, 1.0]
