"""Which classes that show nothing are given away to particles."""

import numpy as np

from cryoloom.numerics.align.class2d_spared import spared


def test_noise_is_left_half_of_its_share_of_classes_and_the_smallest_go_first():
    counts, signal = np.full(64, 100.0), np.ones(64)
    counts[:16], signal[:16] = np.arange(92, 108), 0.05
    assert spared(counts, signal) == list(range(8))  # an eighth of all at once
    held = counts[:16].sum()
    counts[8:16], counts[:8], counts[16:24], signal[:8] = held / 8, 50.0, 50.0, 1.0  # each given half of a large one
    assert spared(counts, signal) == []  # the eight that are left hold twice the mean


def test_where_all_show_the_same_none_goes():
    assert spared(np.full(20, 50.0), np.random.default_rng(0).uniform(0.5, 2.0, 20)) == []


def test_two_are_left_for_noise():
    counts, signal = np.full(32, 100.0), np.ones(32)
    counts[[4, 9, 20]], signal[[4, 9, 20]] = [3.0, 1.0, 2.0], 0.0
    assert spared(counts, signal) == [9]
