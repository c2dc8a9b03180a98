"""Which classes show several views at once."""

import numpy as np
import torch

from cryoloom.numerics.align.class2d_mixed import mixed, of_particles

RING = torch.arange(1, 51, dtype=torch.float32)


def correlation(counts, reach):
    """Return the correlation of halves of classes of `counts` images whose signal falls with the ring, faster for a smaller `reach`."""
    ratio = counts[:, None] * 0.5 * torch.exp(-RING / torch.as_tensor(reach, dtype=torch.float32)[:, None])
    return ratio / (2.0 + ratio)


def test_a_class_that_resolves_less_than_its_size_says_is_named_the_worst_first():
    counts, reach = torch.full((32,), 300.0), np.full(32, 8.0)
    reach[[3, 17]] = 4.0, 2.5
    assert mixed(correlation(counts, reach), counts, np.ones(32, dtype=bool)) == [17, 3]


def test_a_small_class_of_one_view_is_left_though_it_resolves_less():
    counts = torch.full((32,), 1000.0)
    counts[5] = 110.0
    frc = correlation(counts, np.full(32, 8.0))
    reached = (frc > 0.5).sum(dim=1)
    assert reached[5] < 0.65 * reached[0]
    assert mixed(frc, counts, np.ones(32, dtype=bool)) == []


def test_classes_of_something_else_are_neither_named_nor_taken_for_usual():
    counts, reach = torch.full((32,), 300.0), np.full(32, 8.0)
    reach[:20] = 1.0
    reach[25] = 4.0
    assert mixed(correlation(counts, reach), counts, np.arange(32) >= 20) == [25]


def test_a_few_images_do_not_tell():
    counts, reach = torch.full((32,), 90.0), np.full(32, 8.0)
    reach[[3, 17]] = 4.0, 2.5
    assert mixed(correlation(counts, reach), counts, np.ones(32, dtype=bool)) == []


def test_an_eighth_of_all_classes_goes_at_once():
    counts, reach = torch.full((32,), 300.0), np.full(32, 8.0)
    reach[:10] = np.linspace(2.0, 4.0, 10)
    assert mixed(correlation(counts, reach), counts, np.ones(32, dtype=bool)) == [0, 1, 2, 3]


def test_where_no_class_resolves_anything_none_is_named():
    counts = torch.full((16,), 150.0)
    assert mixed(torch.zeros((16, 50)), counts, np.ones(16, dtype=bool)) == []
    assert mixed(torch.zeros((16, 50)), counts, np.zeros(16, dtype=bool)) == []


def test_contaminants_that_gain_less_or_far_more_are_no_classes_of_particles():
    label = np.repeat(np.arange(6), [50, 60, 40, 10, 80, 0])
    gain = np.repeat([60.0, 50.0, 12.0, 300.0, 1.0, 0.0], [50, 60, 40, 10, 80, 0])
    hollow = np.array([False, False, False, False, True, False])
    assert of_particles(hollow, label, gain).tolist() == [True, True, False, False, False, False]
    assert not of_particles(np.ones(6, dtype=bool), label, gain).any()
