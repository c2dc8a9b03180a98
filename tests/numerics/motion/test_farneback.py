"""Polynomial expansions against a plain least-squares fit of every pixel, and what their normal equations make of noise."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.motion.farneback import REACH, SIGMA, expand, normal_equations, responses


def fitted(image, y, x):
    """``b₁, b₂, A₁₁, A₂₂, A₁₂`` of one pixel by weighted least squares."""
    u = np.arange(-REACH, REACH + 1)
    across, down = (each.ravel() for each in np.meshgrid(u, u))
    basis = np.stack([np.ones_like(across), across, down, across**2, down**2, across * down], axis=1).astype(float)
    root = np.exp(-0.25 * (across**2 + down**2) / SIGMA**2)
    values = image[y - REACH : y + REACH + 1, x - REACH : x + REACH + 1].ravel()
    c = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)[0]
    return np.array([c[1], c[2], c[3], c[4], 0.5 * c[5]])


def test_expansions_are_the_least_squares_fit():
    image = np.random.default_rng(0).normal(size=(40, 52))
    found = expand(image.astype(np.float32))
    for y, x in [(5, 5), (20, 31), (34, 46), (12, 7)]:
        np.testing.assert_allclose(found[:, y, x], fitted(image, y, x), atol=2e-6)
    mirrored = np.pad(image, REACH, mode="reflect")
    for y, x in [(0, 0), (39, 51), (0, 25), (38, 1)]:
        np.testing.assert_allclose(found[:, y, x], fitted(mirrored, y + REACH, x + REACH), atol=2e-6)


@pytest.mark.parametrize("frequency", [0.02, 0.1, 0.25, 0.4])
def test_responses_are_those_of_plane_waves(frequency):
    x = np.arange(200)
    wave = np.repeat(np.cos(2 * np.pi * frequency * x)[None], 40, axis=0).astype(np.float32)
    slope, bend = (float(each) for each in responses(torch.tensor(frequency)))
    turn = 2 * np.pi * frequency
    inside = slice(20, 180)
    found = expand(wave)[:, 20, inside]
    np.testing.assert_allclose(found[0], -turn * slope * np.sin(turn * x[inside]), atol=1e-5)
    np.testing.assert_allclose(found[2], -0.5 * turn**2 * bend * np.cos(turn * x[inside]), atol=1e-5)


def test_noise_does_not_shrink_displacements(kit):
    """With the polynomials of the image itself on the left, as published, a third of the displacement is lost here."""
    moves = np.array([0.0] * 8 + [0.4])
    specimen, rng = kit.specimen((320, 320), contrast=1.0, falloff=0.05), np.random.default_rng(3)
    ours, published = [], []
    for _ in range(6):
        images = [specimen.moved(x, 0.0).astype(np.float32) + rng.normal(scale=2.5, size=(320, 320)).astype(np.float32) for x in moves]
        blurred = [_low_passed(image) for image in images]
        total, one = expand(np.sum(blurred, axis=0)), expand(blurred[-1])
        left, right = normal_equations(total, one, (4, 4))
        ours.append(right.sum((0, 1))[0] / left.sum())
        a, r = one[2:], (total[2:] - one[2:]) / 8
        both = 0.5 * (a + r)
        squares = (0.5 * (both[0] ** 2 + both[1] ** 2) + both[2] ** 2).sum()
        apart = 0.5 * ((total[:2] - one[:2]) / 8 - one[:2])
        published.append((both[0] * apart[0] + both[2] * apart[1]).sum() / squares)
    assert np.mean(ours) == pytest.approx(0.4, abs=0.06)
    assert np.mean(published) < 0.31


def _low_passed(image):
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None, :])
    return np.fft.irfft2(np.fft.rfft2(image) * np.exp(-((radius / 0.12) ** 2)), s=image.shape).astype(np.float32)
