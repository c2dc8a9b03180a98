import numpy as np
import pytest
import torch

from cryoloom.numerics.align.class2d_observations import Observations
from cryoloom.numerics.align.class2d_witnesses import with_negatives, witnesses
from cryoloom.numerics.align.negatives import better_than_negatives


@pytest.mark.parametrize(("count", "expected"), [(20, 0), (79, 0), (80, 8), (1000, 100), (50_000, 256)])
def test_a_tenth_of_the_images_bears_witness_and_too_few_do_not(count, expected):
    rows = witnesses(count, 1)
    assert len(rows) == expected == len(set(rows.tolist()))
    assert np.array_equal(rows, np.sort(rows)) and np.array_equal(rows, witnesses(count, 1))
    assert not expected or not np.array_equal(rows, witnesses(count, 2))


def test_negatives_follow_their_images_and_differ_in_sign_alone():
    every = [torch.rand(5, 3) for _ in range(3)]
    twice = with_negatives(Observations(*every, torch.ones(5, dtype=torch.bool)), torch.tensor([4, 1]))
    assert torch.equal(twice.harmonics, torch.cat([every[0][[4, 1]], -every[0][[4, 1]]]))
    assert torch.equal(twice.power, every[1][[4, 1, 4, 1]]) and torch.equal(twice.transfer, every[2][[4, 1, 4, 1]])


def test_what_is_as_likely_as_its_negative_shows_nothing():
    images, negatives = np.random.default_rng(3).gamma(4.0, 2.0, (2, 128))
    assert not better_than_negatives(images, negatives)
    assert better_than_negatives(images + 4.0, negatives)
