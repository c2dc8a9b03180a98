"""Classes and particles that are kept: what is common to members decides, and one population is hardly cut."""

import numpy as np
import pytest

from cryoloom.numerics.align.class_quality import GOOD, class_quality, least_match, reasons


def test_a_class_whose_members_share_nothing_is_bad():
    axis = np.arange(32) - 16
    disc = (np.hypot(axis[:, None], axis[None, :]) < 9).astype(np.float32)
    averages, counts, rings = np.stack([disc] * 4), np.array([50, 40, 60, 30]), np.full(4, 8.0)
    quality = class_quality(averages, counts, rings, 20.0, match=np.array([1.0, 0.95, 0.85, 0.4]))
    assert (quality.total >= GOOD).tolist() == [True, True, True, False]
    assert (class_quality(averages, counts, rings, 20.0).total >= GOOD).all()


def test_a_coarse_class_is_kept_when_its_members_are_sure():
    axis = np.arange(32) - 16
    averages = np.stack([(np.hypot(axis[:, None], axis[None, :]) < 9).astype(np.float32)] * 4)
    counts, rings = np.array([300, 300, 40, 40]), np.array([20.0, 20.0, 9.6, 9.6])
    quality = class_quality(averages, counts, rings, 20.0, evidence=np.array([150.0, 150.0, 36.0, 19.0]))
    assert (quality.total >= GOOD).tolist() == [True, True, True, False]


def test_pairs_and_noise_are_bad_and_the_reason_says_so():
    axis = np.arange(48) - 24
    discs = [np.hypot(axis[:, None], axis[None, :] - place) < 5.0 for place in (0, -9, 9)]
    single, pair = 2.5 * discs[0], 1.2 * (discs[1] + discs[2])
    averages = np.stack([single, single, single, pair, single]).astype(np.float32)
    counts, rings = np.array([50, 60, 50, 40, 60]), np.full(5, 8.0)
    # The halves of the last class have next to nothing in common at any ring.
    frc = np.tile(np.linspace(0.95, 0.4, 12), (5, 1))
    frc[4] = 0.15
    quality = class_quality(averages, counts, rings, 22.0, frc=frc)
    assert (quality.total >= GOOD).tolist() == [True, True, True, False, False]
    words = reasons(quality.total, quality.scores)
    assert words[:3] == ["kept"] * 3
    assert (
        words[3].startswith("spread out: several particles")
        and words[4] == f"members show little signal together: noise (signal {quality.signal[4]:.2f})"
    )
    assert reasons(quality.total, quality.scores, 0.0)[3].startswith("kept; spread out")
    assert reasons(np.array([0.2]), {}) == ["quality 0.20: nothing in it that its images have"]


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.4])
def test_one_population_is_hardly_cut(spread):
    match = np.random.default_rng(2).normal(1.0, spread, 4000)
    least = least_match(match, 0.75)
    assert least <= 0.75
    assert np.mean(match < least) < 0.03


def test_two_populations_are_cut_where_asked():
    rng = np.random.default_rng(3)
    match = np.concatenate([rng.normal(1.0, 0.10, 900), rng.normal(0.45, 0.15, 100)])
    assert least_match(match, 0.75) == pytest.approx(0.75)
    assert least_match(match, 0.0) == 0.0
    assert least_match(np.array([]), 0.75) == 0.75


def test_two_populations_are_told_apart_where_they_nearly_meet():
    rng = np.random.default_rng(3)
    particles, others = rng.normal(1.0, 0.12, 900), rng.normal(0.45, 0.15, 100)
    least = least_match(np.concatenate([particles, others]), 0.75)
    assert np.mean(particles < least) < 0.025 and np.mean(others < least) > 0.9
