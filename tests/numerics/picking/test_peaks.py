"""Maxima are found once, where they are, strongest first."""

import numpy as np

from cryoloom.numerics.picking.peaks import find_peaks, keep_apart, refine_peaks


def bumps(places, heights, shape=(60, 80), width=3.0):
    y, x = np.indices(shape)
    score = np.zeros(shape, np.float32)
    for (px, py), height in zip(places, heights, strict=True):
        score += height * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2)).astype(np.float32)
    return score


def test_peaks_are_refined_to_a_tenth_of_a_pixel():
    places = [(20.3, 15.8), (50.6, 40.2), (65.0, 10.5)]
    score = bumps(places, [1.0, 3.0, 2.0])
    rows, columns = find_peaks(score, 0.5, 8.0)
    y, x = refine_peaks(score, rows, columns)
    assert np.abs(np.stack([x, y], axis=1) - np.array(places)[[1, 2, 0]]).max() < 0.1


def test_the_weaker_of_two_near_peaks_goes_and_borders_are_kept_clear():
    score = bumps([(20, 20), (30, 20), (2, 40)], [1.0, 2.0, 3.0])
    assert [tuple(map(int, peak)) for peak in zip(*find_peaks(score, 0.5, 12.0, border=5), strict=True)] == [(20, 30)]
    assert len(find_peaks(score, 0.5, 6.0, border=5)[0]) == 2
    assert find_peaks(score, 5.0, 6.0)[0].size == 0


def test_a_point_that_went_does_not_remove_others():
    assert keep_apart(np.array([0.0, 4.0, 8.0]), np.zeros(3), 5.0).tolist() == [True, False, True]
