"""Which classes show a view twice, and which of them are given away."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.align.class2d_doubles import doubles, likeness

ANGLES, RINGS = 36, 12


def turned(view, steps):
    """Turn polar samples ``(H, R)`` of half a circle by so many of their steps."""
    return torch.roll(torch.cat([view, view.conj()]), steps, 0)[:ANGLES]


@pytest.mark.parametrize("noise", [0.0, 0.4, 0.7])
def test_the_same_view_turned_is_alike_whatever_noise_is_in_it(noise):
    generator = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.complex64, generator=generator)

    one, other = random(ANGLES, RINGS), random(ANGLES, RINGS)
    shown = torch.stack([one, turned(one, 7), other, turned(other, 40)], dim=2)[..., None].expand(-1, -1, -1, 2)
    found = likeness(shown + noise * random(ANGLES, RINGS, 4, 2), torch.arange(1.0, RINGS + 1)).numpy()
    np.testing.assert_allclose([found[0, 1], found[2, 3]], 1.0, atol=1e-5 if noise == 0 else 0.15)
    np.testing.assert_allclose(found, found.T, atol=1e-5)
    assert found[:2, 2:].max() < 0.4


def test_noise_is_like_nothing():
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(ANGLES, RINGS, 6, 2, dtype=torch.complex64, generator=generator)
    noise[:, :, 0, 1] = noise[:, :, 0, 0]  # but one, that shows something
    found = likeness(noise, torch.ones(RINGS)).numpy()
    assert found[0, 0] == pytest.approx(1.0)
    assert not np.delete(found, 0).any()


def test_the_smaller_of_two_alike_is_given_to_a_larger_class():
    alike, counts = np.eye(5), np.array([50.0, 40.0, 200.0, 60.0, 55.0])
    alike[0, 1] = alike[1, 0] = 0.95
    assert doubles(alike, counts, 200.0) == [1]
    assert doubles(np.minimum(alike, 0.7), counts, 200.0) == []
    alike[3, 4] = alike[4, 3] = 0.97
    assert doubles(alike, counts, 200.0) == [4]  # an eighth of all at once, one at least, the most alike first


def test_two_classes_of_a_frequent_view_stay():
    alike = np.array([[1.0, 0.99, 0.1], [0.99, 1.0, 0.1], [0.1, 0.1, 1.0]])
    assert doubles(alike, np.array([90.0, 80.0, 200.0]), 200.0) == []
