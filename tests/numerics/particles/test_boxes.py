"""Sizes and ratios, scores of evenness, and dust."""

from fractions import Fraction

import numpy as np
import pytest

from cryoloom.numerics.fourier.ratios import close_ratio
from cryoloom.numerics.particles.boxes import TOLERANCE, BoxSampling, even_box, fast_box
from cryoloom.numerics.particles.normalise import remove_dust, whole_normalised
from cryoloom.numerics.particles.scores import gini, grid, local_variance


def test_boxes_are_even_and_fast():
    assert [fast_box(each) for each in (64, 65, 73, 101, 300, 301, 2000.5)] == [64, 72, 80, 108, 300, 320, 2002]
    assert [even_box(each) for each in (99, 100, 100.9, 101, 200.99999999)] == [100, 100, 100, 102, 202]


@pytest.mark.parametrize("factor", [1.0, 1.5, 3.0, 2.0 / 1.34, 1.2345678])
def test_ratios_are_close_and_simple(factor):
    ratio = close_ratio(factor, tolerance=TOLERANCE)
    assert float(ratio) == pytest.approx(factor, rel=1e-6) and ratio.denominator < 1024
    assert close_ratio(2 / 1.34, tolerance=TOLERANCE) == Fraction(100, 67)


def test_a_box_in_all_units():
    assert str(BoxSampling(100, Fraction(3), 1.34)) == "100 px of 4.02 Å = 300 px of 1.34 Å = 402.0 Å"
    assert str(BoxSampling(300, Fraction(1), 1.34)) == "300 px of 1.34 Å = 402.0 Å"


def test_local_variance_is_that_of_the_window():
    image = np.random.default_rng(0).uniform(0, 1, (40, 50)).astype(np.float32)
    low, high = np.percentile(image, [0.1, 99.9])
    scaled = np.clip((image - low) / (high - low), 0, 1)
    inner, corner = local_variance(image, 8, np.array([(30, 20), (49, 1)]))
    assert inner == pytest.approx(scaled[16:24, 26:34].var(), rel=1e-5)
    assert corner == pytest.approx(scaled[0:5, 45:50].var(), rel=1e-5)
    assert (local_variance(np.full((9, 9), 3.0, np.float32), 4, grid((9, 9), 2)) == 0).all()


def test_gini_by_hand():
    assert gini(np.full(100, 7.0)) == pytest.approx(0, abs=1e-12)
    assert gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)
    assert gini(np.array([1.0, 3.0])) == pytest.approx(0.25)
    assert gini(np.zeros(5)) == 0


def test_dust_is_filled_with_noise_like_what_is_around_it():
    """On the quiet half with little noise, on the noisy one with much."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((200, 400)).astype(np.float32)
    image[:, :200] *= 0.3
    dust = np.zeros(image.shape, bool)
    dust[5::10, 5::10] = True
    cleaned, count = remove_dust(np.where(dust, np.float32(1e4), image), 20.0, np.random.default_rng(1))
    assert count == dust.sum()
    assert (cleaned[~dust] == image[~dust]).all()
    quiet, noisy = (cleaned[:, half][dust[:, half]].std() for half in (slice(0, 200), slice(200, 400)))
    assert quiet == pytest.approx(0.3, rel=0.2) and noisy == pytest.approx(1.0, rel=0.2)


def test_whole_images_are_normalised():
    images = whole_normalised(np.random.default_rng(0).normal(50, 9, (3, 40, 40)).astype(np.float32))
    assert np.abs(images.mean(axis=(1, 2))).max() < 1e-5 and np.abs(images.std(axis=(1, 2)) - 1).max() < 1e-5
    assert np.isfinite(whole_normalised(np.ones((1, 8, 8), np.float32))).all()
