import numpy as np
import pytest

from cryoloom.numerics.fsc.growth import Measured, fitted, level_for, separation, verdict

COUNTS = np.array([80, 100, 200, 400, 800])
EXTENT = 200.0


def repeats(intercept, slope, noise=0.0, seed=0, counts=COUNTS, many=400):
    rng = np.random.default_rng(seed)
    values = intercept + slope * np.log(counts) + noise * rng.normal(size=(many, len(counts)))
    return 1.0 / np.sqrt(values)


def measured(resolutions, available=100_000, finest=1.0):
    return Measured.of(COUNTS, resolutions, available, finest, EXTENT)


def test_the_line_that_was_planted_is_found_with_its_extrapolation():
    line = fitted(measured(repeats(-0.005, 0.004, 2e-4)))
    assert line.slope == pytest.approx(0.004, rel=0.02) and line.b_factor == pytest.approx(500.0, rel=0.02)
    value, band = line.at(np.array([1600.0]))
    assert abs(value[0] - (-0.005 + 0.004 * np.log(1600))) < band[0] < 2e-3
    assert line.needed(1 / np.sqrt(-0.005 + 0.004 * np.log(3200))) == pytest.approx(3200, rel=0.1)


def test_few_particles_do_not_bend_the_line():
    """A curve that is flat below 100 particles; the line is put through the last decade."""
    counts = np.array([10, 20, 40, 100, 300, 1000])
    values = np.where(counts < 100, 0.001, 0.001 + 0.004 * np.log(np.maximum(counts, 100) / 100))
    found = Measured.of(counts, np.tile(1 / np.sqrt(values), (3, 1)), 10_000, 1.0, EXTENT)
    assert fitted(found).slope == pytest.approx(0.004, rel=1e-6)


def test_signal_over_noise_grows_as_the_number():
    """At a third, signal is half of the noise; with twice as many it equals it: 0.5."""
    assert level_for(2) == pytest.approx(1 / 3) and level_for(1) == 0.5
    assert level_for(5, 0.143) == pytest.approx(0.143 / (0.143 + 5 * 0.857))


def test_where_the_curve_is_saturated_it_is_left_out():
    resolutions = np.maximum(repeats(-0.005, 0.004), 7.5)
    found = measured(resolutions, finest=7.5)
    assert found.saturated.tolist() == [False, False, False, True, True] and fitted(found).slope == pytest.approx(0.004, rel=0.01)
    assert fitted(measured(np.full((4, 5), 7.5), finest=7.5)) is None


def test_repeats_that_share_particles_are_told_as_independent_ones_would_be():
    """Means of n of N numbers, drawn without repetition, scatter less than means of n other numbers."""
    rng = np.random.default_rng(3)
    pool = 0.02 + 0.002 * rng.normal(size=1000)
    drawn = np.array([[rng.permutation(pool)[:n].mean() for n in COUNTS] for _ in range(600)])
    found = Measured.of(COUNTS, 1 / np.sqrt(drawn), 1000, 1.0, 1e4)
    assert found.spread[:4] == pytest.approx(0.002 / np.sqrt(COUNTS[:4]), rel=0.12)
    # At 800 of 1000 it is that of the largest number that says something.
    assert found.spread[4] == pytest.approx(found.spread[3])


def test_above_noise_or_not():
    data, noise = measured(repeats(-0.005, 0.004, 4e-4)), measured(repeats(0.0, 0.0005, 4e-4, seed=1))
    assert verdict(data, noise) == "above noise" and separation(data, noise)[-1] > 10
    same = measured(repeats(0.0, 0.0005, 4e-4, seed=2))
    assert verdict(same, noise) == "not distinguishable" and np.abs(separation(same, noise)).max() < 1
    full = measured(np.full((4, 5), 7.5), finest=7.5)
    assert verdict(full, full) == "saturated"


def test_no_measurement_is_surer_than_a_tenth_of_a_shell():
    found = measured(np.full((4, 5), 20.0))
    shell = EXTENT / 20.0
    assert found.spread == pytest.approx(((shell + 0.1) ** 2 - shell**2) / EXTENT**2, rel=0.01)
