"""Levelling takes off what is not the particle's, and nothing else."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.learn.levelling import EXTREME, level


def noise(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_noise_becomes_standard_whatever_its_unit_and_illumination():
    grain = noise((1, 200, 312))
    slope = torch.linspace(-1.0, 1.0, 312)[None, None, :]
    plain = level(grain, 24.0)
    assert float(plain.mean()) == pytest.approx(0.0, abs=0.01) and float(plain.std()) == pytest.approx(1.0, abs=0.05)
    lit = level(1000.0 + 40.0 * grain + 100.0 * slope, 24.0)
    assert float((lit - plain)[:, 30:-30, 30:-30].abs().mean()) < 0.05


def test_half_the_contrast_on_one_side_is_made_up_for():
    grain = noise((1, 320, 640))
    grain[:, :, :320] *= 0.4
    levelled = level(grain, 24.0)
    left, right = levelled[:, :, :160].std(), levelled[:, :, -160:].std()
    assert float(left / right) > 0.8


def test_extremes_are_cut_and_constants_stay_finite():
    grain = noise((1, 64, 64))
    grain[0, 30, 30] = 1e6
    assert float(level(grain, 24.0).abs().max()) <= EXTREME
    assert torch.isfinite(level(torch.full((1, 40, 50), 7.0), 24.0)).all()
