import numpy as np
import pytest

from cryoloom.numerics.fsc.shells import (
    crossing_shell,
    fourier_shell_correlation,
    recovered_shell,
    resolution_at,
    shell_frequencies,
)


def direct_fsc(first, second):
    """The definition over the full transform, one shell at a time."""
    n = len(first)
    one, two = np.fft.fftn(first), np.fft.fftn(second)
    k = np.fft.fftfreq(n, 1 / n)
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2)
    curve = [1.0]
    for s in range(1, n // 2 + 1):
        here = np.round(radius) == s
        cross = np.sum(one[here] * np.conj(two[here])).real
        curve.append(cross / np.sqrt(np.sum(np.abs(one[here]) ** 2) * np.sum(np.abs(two[here]) ** 2)))
    return np.array(curve)


@pytest.mark.parametrize("box", [16, 21])
def test_equals_the_definition_over_the_full_transform(box):
    rng = np.random.default_rng(1)
    first = rng.normal(size=(box, box, box)).astype(np.float32)
    second = (0.6 * first + rng.normal(size=first.shape)).astype(np.float32)
    assert np.allclose(fourier_shell_correlation(first, second), direct_fsc(first, second), atol=2e-6)


def test_a_map_with_itself_is_one_and_with_its_negative_is_minus_one():
    first = np.random.default_rng(2).normal(size=(20, 20, 20)).astype(np.float32)
    assert np.allclose(fourier_shell_correlation(first, first), 1.0, atol=1e-6)
    assert np.allclose(fourier_shell_correlation(first, -3 * first)[1:], -1.0, atol=1e-6)


def test_shift_by_half_a_pixel_gives_the_mean_cosine():
    n = 32
    rng = np.random.default_rng(3)
    transform = np.fft.fftn(rng.normal(size=(n, n, n)))
    kx = np.fft.fftfreq(n)[None, None, :]
    transform[..., n // 2] = transform[:, n // 2] = transform[n // 2] = 0
    first, second = np.fft.ifftn(transform).real, np.fft.ifftn(transform * np.exp(-2j * np.pi * kx * 0.5)).real
    curve = fourier_shell_correlation(first.astype(np.float32), second.astype(np.float32))
    s = np.arange(1, n // 2)
    x = np.pi * s / n
    assert np.allclose(curve[1:-1], np.sin(x) / x, atol=0.08)


def test_empty_shells_are_zero_not_nan():
    curve = fourier_shell_correlation(np.zeros((8, 8, 8), np.float32), np.ones((8, 8, 8), np.float32))
    assert curve.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_unequal_boxes_are_refused():
    with pytest.raises(ValueError, match="one box"):
        fourier_shell_correlation(np.zeros((8, 8, 8), np.float32), np.zeros((6, 6, 6), np.float32))


def test_crossing_is_the_last_shell_before_the_first_fall():
    curve = np.array([1.0, 0.9, 0.8, 0.6, 0.1, 0.7, 0.05])
    assert crossing_shell(curve, 0.5) == 3
    assert resolution_at(curve, 0.5, box=12, pixel_size=2.0) == pytest.approx(8.0)
    assert resolution_at(curve, 0.5, box=12, pixel_size=2.0, interpolated=True) == pytest.approx(24 / 3.2)


def test_curves_that_never_fall_end_at_nyquist_and_hopeless_ones_at_the_box():
    assert resolution_at(np.ones(9), 0.143, box=16, pixel_size=1.5) == pytest.approx(3.0)
    assert resolution_at(np.array([1.0, 0.0, 0.0]), 0.143, box=4, pixel_size=5.0) == pytest.approx(20.0)


def test_recovery_needs_more_than_three_shells():
    curve = np.array([1, 0.9, 0.1, 0.5, 0.5, 0.5, 0.1, 0.1])
    assert recovered_shell(curve, 0.143) is None
    assert recovered_shell(np.insert(curve, 3, 0.5), 0.143) == 6


def test_frequencies_are_per_angstrom():
    assert shell_frequencies(10, 2.0)[5] == pytest.approx(0.25)
