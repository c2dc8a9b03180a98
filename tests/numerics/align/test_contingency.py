"""Contingency tables against counting by hand, against chance and against equal classifications."""

from math import comb

import numpy as np
import pytest

from cryoloom.numerics.align.contingency import Contingency


def test_counts_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 5, 300), rng.integers(0, 3, 300)
    table = Contingency.of(first, second)
    for row in range(5):
        for column in range(3):
            both = sum(1 for one, two in zip(first, second, strict=True) if (one, two) == (row, column))
            assert table.counts[row, column] == both
            assert table.expected[row, column] == pytest.approx((first == row).sum() * (second == column).sum() / 300)


def test_a_cell_is_as_likely_as_drawing_says():
    # Of 10 items 4 are in class 0 of the first, 5 in class 0 of the second; 4 of them are in both.
    table = Contingency(np.array([[4, 0], [1, 5]]))
    assert table.by_chance(0, 0) == pytest.approx(comb(5, 4) * comb(5, 0) / comb(10, 4))
    rng = np.random.default_rng(2)
    drawn = np.array([np.sum(rng.permutation(10)[:4] < 5) for _ in range(4000)])
    assert table.deviations[0, 0] == pytest.approx((4 - drawn.mean()) / drawn.std(), rel=0.05)


def test_independent_classifications_agree_no_more_than_by_chance():
    rng = np.random.default_rng(3)
    tables = [Contingency.of(rng.integers(0, 8, 600), rng.integers(0, 6, 600)) for _ in range(100)]
    assert sum(table.verdict == "no more than by chance" for table in tables) >= 95
    assert abs(np.mean([table.adjusted_rand for table in tables])) < 0.01


def test_equal_classifications_agree_whatever_their_classes_are_called():
    rng = np.random.default_rng(4)
    first = rng.integers(0, 9, 500)
    table = Contingency.of(first, rng.permutation(9)[first])
    assert (table.adjusted_rand, table.mutual_information) == pytest.approx((1.0, 1.0)) and table.verdict == "agree"
    flipped = np.where(rng.random(500) < 0.3, rng.integers(0, 9, 500), first)
    assert 0.3 < Contingency.of(first, flipped).adjusted_rand < 0.8


def test_one_class_tells_nothing():
    table = Contingency.of(np.zeros(20, np.int64), np.arange(20) % 2)
    assert (table.adjusted_rand, table.mutual_information, table.significance) == (0.0, 0.0, 1.0)
    assert table.verdict == "no more than by chance"
