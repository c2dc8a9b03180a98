import numpy as np
import pytest

from cryoloom.numerics.motion.frame_weights import fitted_weights

FREQUENCY = np.arange(30) / 200.0
SCALE, FALL = np.array([0.8, 1.0, 0.95, 0.7]), np.array([30.0, 0.0, 20.0, 90.0])


@pytest.fixture
def sums():
    def make(strength):
        rng = np.random.default_rng(0)
        norm = np.repeat((strength * np.exp(-60 * FREQUENCY**2) * (np.arange(30) > 3))[None], 4, axis=0)
        left = SCALE[:, None] * np.exp(-0.25 * FALL[:, None] * FREQUENCY**2)
        return norm * left + np.sqrt(0.5 * norm) * rng.normal(size=norm.shape), norm

    return make


def test_scales_and_falls_of_frames_are_found(sums):
    found = fitted_weights(*sums(3e4), FREQUENCY, None, 300.0)
    assert found.measured
    assert found.scale == pytest.approx(SCALE, abs=0.05)
    assert found.b_factor == pytest.approx(FALL - FALL[1], abs=15.0)
    weights = found.weights(FREQUENCY)
    assert (weights**2).sum(axis=0) == pytest.approx(1.0)
    assert weights[1, -1] > weights[3, -1] and weights[1].argmax() > 10


def test_frames_that_tell_nothing_are_weighted_by_the_dose(sums):
    found = fitted_weights(*sums(1.0), FREQUENCY, np.array([5.0, 10.0, 15.0, 20.0]), 300.0)
    assert not found.measured
    assert (np.diff(found.b_factor) > 0).all()
    assert (fitted_weights(*sums(1.0), FREQUENCY, None, 300.0).weights(FREQUENCY) == pytest.approx(0.5)) is True
