"""Averages laid over images on the polar grid, against harmonics, in which any turn is exact; and what a masked average holds of an image."""

import math

import numpy as np
import pytest
import torch

from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align.class2d_match import kept_harmonics, kept_noise
from cryoloom.numerics.align.class2d_observations import circle
from cryoloom.numerics.align.class2d_poses import shift_ramp, turned
from cryoloom.numerics.align.hierarchical_overlay import Overlay, Pairs, lines_of
from cryoloom.numerics.align.hierarchical_turns import Turns

BOX, PIXEL = 48, 4.0
FRAME = prepare.geometry(BOX, PIXEL, 0.6 * BOX * PIXEL, 8.5, reach=0.1).frame
LAYOUT = FRAME.sampler.layout
BAND = LAYOUT.rings


def samples(count, seed):
    """Return samples of masked noise, ``(H, band, n)``."""
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, BOX, BOX)).astype(np.float32))
    return FRAME.sampler.samples(FRAME.masked(noise))


def laid(average, flip, steps):
    """Return an average ``(H, band, 1)``, turned by steps of the grid and then perhaps mirrored, by its harmonics."""
    angle = torch.tensor([steps * math.pi / LAYOUT.half_angles])
    arrays = turned(LAYOUT, LAYOUT.analyse(average, BAND), angle, BAND)
    found = LAYOUT.synthesise(arrays, BAND)
    # Mirrored along x: the angle from +x towards +y changes its sign.
    return torch.flip(found, dims=(0,)).conj() if flip else found


def correlation(image, average):
    weight = (LAYOUT.areas / LAYOUT.half_angles)[None, :, None]
    return float((image * average.conj() * weight).real.sum())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("steps", [0, 7, LAYOUT.half_angles + 5, 2 * LAYOUT.half_angles - 1])
def test_turned_and_mirrored_averages_are_those_of_the_harmonics(flip, steps):
    images, averages = samples(2, 1), samples(3, 2)
    overlay = Overlay(LAYOUT, BAND, FRAME.radius, 2)
    lines = lines_of(averages * overlay.weights[:, None])
    split = lines[:, :2].copy(), lines[:, 2:].copy()
    pairs = Pairs(np.array([1, 0]), np.array([0, 2]), np.array([flip, flip]), np.array([steps, steps]))
    shift = torch.tensor([[1.0, -2.0], [0.0, 1.0]])
    at_shifts = overlay.shifted(lines_of(images), split, pairs)
    at_angles = overlay.turned(lines_of(images), split, pairs, shift)
    for row, (image, average) in enumerate(zip(pairs.image, pairs.average, strict=True)):
        moved = images[:, :, image, None] * shift_ramp(LAYOUT, -shift[row, None], BAND)
        wanted = correlation(moved, laid(averages[:, :, average, None], flip, steps))
        scale = abs(correlation(images[:, :, image, None], images[:, :, image, None]))
        place = int((overlay.steps == shift[row]).all(dim=1).nonzero()[0, 0])
        assert at_shifts[row, place] == pytest.approx(wanted, abs=2e-3 * scale)
        for lag in range(2 * overlay.lags + 1):
            wanted = correlation(moved, laid(averages[:, :, average, None], flip, steps + lag - overlay.lags))
            assert at_angles[row, lag] == pytest.approx(wanted, abs=2e-3 * scale)


def test_the_best_turn_of_all_is_the_one_that_was_made():
    averages = samples(3, 4)
    turns = Turns(LAYOUT, averages, BAND, FRAME.radius, mirrors=True)
    for flip in (False, True):
        for steps in (3, LAYOUT.half_angles + 11):
            image = laid(averages[:, :, 1, None], flip, steps)
            top, angle = turns.peaks(LAYOUT.analyse(image, BAND))
            assert top[0].argmax() == 3 * flip + 1
            away = float(angle[0, int(flip), 1]) - steps * math.pi / LAYOUT.half_angles
            assert abs(math.remainder(away, 2 * math.pi)) < 0.4 * math.pi / LAYOUT.half_angles


def test_a_masked_average_holds_less_of_high_orders():
    """White noise, cut as images are: what the mask leaves of each harmonic, as its product with the harmonic before."""
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=(400, BOX, BOX)).astype(np.float32))
    noise = noise * circle(BOX, 0.5 * BOX - 3.0, 3.0)
    whole, masked = (LAYOUT.analyse(FRAME.sampler.samples(each), BAND) for each in (noise, noise * FRAME.mask))
    power = kept = shares = 0.0
    for one, other, share, group in zip(whole, masked, kept_harmonics(FRAME, BAND), LAYOUT.groups_within(BAND), strict=True):
        before, after = (one * one).sum(dim=2), (one * other).sum(dim=2)
        assert torch.sum(after) / torch.sum(before) == pytest.approx(float((before * share[..., 0]).sum() / before.sum()), abs=0.05)
        area = LAYOUT.areas[group.ring - 1 : BAND].repeat(2) * (2.0 - (torch.tensor(list(group.orders)) == 0)[:, None].float())
        power, kept, shares = power + (area * before).sum(), kept + (area * after).sum(), shares + (area * before * share[..., 0]).sum()
    assert float(kept / power) == pytest.approx(kept_noise(FRAME), abs=0.02)
    assert float(shares / power) == pytest.approx(kept_noise(FRAME), abs=0.02)
