"""Weighing who found a position against what it looks like."""

import numpy as np

from cryoloom.numerics.picking.votes import particle_probability


def drawn(seed, recalls, falses, looks, count=4000):
    """Return who found what, the log odds of its looks (of the given signal to noise), and what is a particle; what nobody found is left out."""
    rng = np.random.default_rng(seed)
    particle = rng.random(count) < 0.5
    found = rng.random((count, len(recalls))) < np.where(particle[:, None], recalls, falses)
    odds = looks * (rng.normal(size=count) + looks * (particle - 0.5))
    seen = found.any(axis=1)
    return found[seen], odds[seen], particle[seen]


def right(score, particle):
    return np.mean((score > 0.5) == particle)


def test_votes_and_looks_together_beat_either():
    found, odds, particle = drawn(1, [0.9, 0.85, 0.7], [0.3, 0.2, 0.25], 1.5)
    both = right(particle_probability(found, odds), particle)
    assert both > right(1 / (1 + np.exp(-odds)), particle) + 0.05
    assert both > right(found.sum(axis=1) >= 2, particle) + 0.02


def test_a_picker_that_finds_everything_counts_for_nothing():
    found, odds, _ = drawn(2, [0.9, 1.0], [0.2, 1.0], 2.0)
    assert np.corrcoef(particle_probability(found, odds), particle_probability(found[:, :1], odds))[0, 1] > 0.99


def test_probabilities_are_calibrated_where_the_model_holds():
    found, odds, particle = drawn(3, [0.9, 0.8, 0.7], [0.4, 0.3, 0.3], 1.5, count=20_000)
    score = particle_probability(found, odds)
    for low in (0.1, 0.3, 0.5, 0.7, 0.9):
        near = np.abs(score - low) < 0.05
        assert abs(particle[near].mean() - score[near].mean()) < 0.12


def test_no_positions():
    assert particle_probability(np.zeros((0, 2), dtype=bool), np.zeros(0)).shape == (0,)
