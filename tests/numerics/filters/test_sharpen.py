"""Filters of maps against their formulas; the B-factor of a map that was blurred by a known one."""

import numpy as np
import pytest

from cryoloom.numerics.filters.maps import lowpass, lowpass_curve, multiply_shells
from cryoloom.numerics.filters.sharpen import Filtering, figure_of_merit, fit_b_factor, mean_amplitudes, sharpen


def white(box, seed=0):
    return np.random.default_rng(seed).standard_normal((box, box, box)).astype(np.float32)


def test_a_known_b_factor_is_recovered():
    box, pixel_size, known = 64, 1.5, 120.0
    frequency = np.arange(box // 2 + 1) / (box * pixel_size)
    blurred = multiply_shells(white(box), np.exp(-known * frequency**2 / 4))
    b_factor, *_ = fit_b_factor(mean_amplitudes(blurred), frequency, 10.0, 3.2)
    assert b_factor == pytest.approx(-known, rel=0.1)
    flat, used, guinier = sharpen(blurred, Filtering(pixel_size, np.ones(box // 2 + 1), 3.2, 3.2))
    assert used == pytest.approx(-known, rel=0.1)
    amplitudes = mean_amplitudes(flat)[5:28]
    assert amplitudes.max() / amplitudes.min() < 1.2
    assert np.isfinite(guinier.slope)


def test_without_weights_the_low_pass_alone_is_left():
    fsc, volume = np.linspace(1, 0.2, 33), white(64)
    plain, used, _ = sharpen(volume, Filtering(1.5, None, 3.2, 6.0, edge=4), 0.0)
    assert used == 0.0 and np.allclose(plain, lowpass(volume, 1.5, 6.0, edge=4), atol=1e-5)
    weighted, *_ = sharpen(volume, Filtering(1.5, fsc, 3.2, 6.0, edge=4), 0.0)
    ratio = mean_amplitudes(weighted)[1:12] / mean_amplitudes(plain)[1:12]
    assert ratio == pytest.approx(figure_of_merit(fsc)[1:12], rel=0.05)


def test_too_few_shells_for_a_b_factor():
    with pytest.raises(ValueError, match="too few"):
        fit_b_factor(np.ones(17), np.arange(17) / 64, 10.0, 9.0)


def test_figure_of_merit_ends_at_the_first_dead_shell():
    weight = figure_of_merit(np.array([1.0, 1.0, 0.5, 0.0, 0.9]))
    assert weight[2] == pytest.approx(np.sqrt(1.0 / 1.5))
    assert weight[3:].tolist() == [0.0, 0.0]


def test_low_pass_is_one_then_a_cosine_then_zero():
    curve = lowpass_curve(64, 2.0, 8.0, edge=4)
    assert curve[13] == 1.0 and curve[16] == pytest.approx(0.5) and curve[19] == 0.0
    filtered = lowpass(white(64), 2.0, 8.0)
    assert mean_amplitudes(filtered)[20:].max() < 1e-6
    assert mean_amplitudes(filtered)[5] == pytest.approx(mean_amplitudes(white(64))[5], rel=1e-4)
