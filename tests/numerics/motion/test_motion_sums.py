"""Sums of frames moved back, dose weighting, and the picture of power spectra."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.fourier.grids import radius_2d
from cryoloom.numerics.motion.correct import Exposure, sum_frames
from cryoloom.numerics.motion.dose import critical_dose, weights
from cryoloom.numerics.motion.field import Field
from cryoloom.numerics.motion.picture import halves, log_power


def test_critical_dose_is_the_published_curve():
    """Grant & Grigorieff 2015: 0.24499 k^-1.6649 + 2.8141 e/Å² at 300 kV, a fifth less at 200 kV."""
    k = np.array([1 / 20, 1 / 10, 1 / 5, 1 / 3])
    published = 0.24499 * k**-1.6649 + 2.8141
    np.testing.assert_allclose(critical_dose(torch.from_numpy(k), 300.0), published, rtol=3e-3)
    np.testing.assert_allclose(critical_dose(torch.from_numpy(k), 200.0), 0.8 * published, rtol=3e-3)
    assert float(critical_dose(torch.tensor(0.1), 250.0)) == pytest.approx(0.9 * (0.24499 * 10**1.6649 + 2.8141), rel=3e-3)


def test_dose_weights_follow_the_curve_and_keep_noise_white():
    doses = torch.tensor([1.0, 11.0, 21.0, 31.0], dtype=torch.float64)
    table = weights(radius_2d(64, 96).flatten() / 1.25, doses, 300.0).reshape(4, 64, 49)
    assert torch.allclose(table.square().sum(0), torch.tensor(0.25, dtype=table.dtype), rtol=1e-5)
    ratio = float(table[3, 0, 48] / table[0, 0, 48])  # at 0.4 1/Å
    assert ratio == pytest.approx(np.exp(-30 / (2 * (0.24499 * 0.4**-1.6649 + 2.8141))), rel=5e-3)
    assert torch.allclose(table[:, 0, 0], torch.tensor(0.25, dtype=table.dtype))


@pytest.mark.parametrize("local", [False, True])
def test_the_sum_keeps_the_mean_and_undoes_the_motion(kit, local):
    path = kit.drift(8, 9.0)
    specimen = kit.specimen((256, 300), contrast=0.1)
    counts = kit.counted([specimen.moved(*place) for place in path], 4.0)
    field = Field(torch.from_numpy(path), torch.zeros(8, 6, 2, dtype=torch.float64) if local else None)
    sums = sum_frames(kit.prepared(counts), field, Exposure(1.5, 300.0, 1.5), halves=True)
    plain, weighted = sums.plain, sums.weighted
    assert plain.shape == weighted.shape == (256, 300)
    assert plain.mean() == pytest.approx(counts.mean(), rel=2e-3)
    assert weighted.mean() == pytest.approx(plain.mean(), rel=1e-5)
    inside = (slice(16, -16), slice(16, -16))

    def likeness(image):
        return np.corrcoef(image[inside].ravel(), specimen.moved(0, 0)[inside].ravel())[0, 1]

    true = specimen.moved(0, 0)[inside].var()
    assert likeness(plain) == pytest.approx(np.sqrt(true / (true + 1 / (8 * 4.0))), abs=0.03)
    assert likeness(counts.mean(0)) < 0.8 * likeness(plain)
    odd, even = sums.halves
    np.testing.assert_allclose((odd + even) / 2, plain, atol=1e-4)
    assert likeness(odd) == pytest.approx(np.sqrt(true / (true + 1 / (4 * 4.0))), abs=0.03)
    unweighted = sum_frames(kit.prepared(counts), field, Exposure(1.5, 300.0))
    assert unweighted.weighted is None and unweighted.halves == ()
    np.testing.assert_allclose(unweighted.plain, plain, atol=1e-4)


@pytest.mark.parametrize("local", [False, True])
def test_weights_of_the_sum_are_those_of_the_formula(kit, local):
    """White noise in one frame at a time: what comes out at a frequency over what went in is the weight."""
    shape, frames = (96, 130), 9
    noise = np.random.default_rng(0).normal(10.0, 1.0, (frames, *shape)).astype(np.float32)
    still = Field(torch.zeros(frames, 2, dtype=torch.float64), torch.zeros(frames, 6, 2, dtype=torch.float64) if local else None)
    weighted = sum_frames(kit.prepared(noise), still, Exposure(1.1, 300.0, 4.0, pre_exposure=2.0)).weighted
    doses = 2.0 + 4.0 * torch.arange(1, frames + 1, dtype=torch.float64)
    expected = weights(radius_2d(*shape).flatten() / 1.1, doses, 300.0).reshape(frames, shape[0], -1)
    total = (torch.fft.rfft2(torch.from_numpy(noise)).to(torch.complex128) * expected).sum(0)
    np.testing.assert_allclose(weighted, torch.fft.irfft2(total, s=shape).numpy(), atol=2e-5)


def test_the_picture_of_white_noise_has_no_edge(kit):
    """Neither half: sums of locally moved frames lack power next to Nyquist, and the two are on one scale."""
    counts = kit.counted(np.zeros((6, 640, 700)), 4.0)
    local = torch.zeros(6, 6, 2, dtype=torch.float64)
    local[:, 1] = local[:, 2] = torch.linspace(0, 3, 6, dtype=torch.float64)[:, None]
    frames = kit.prepared(counts)
    plain = sum_frames(frames, Field(torch.zeros(6, 2, dtype=torch.float64), local), Exposure(1.0, 300.0)).plain
    picture = halves(plain, counts.mean(0))
    assert picture.shape == (256, 256)
    spread = picture.std()
    for half in (picture[:, :128], picture[:, 128:]):
        middle = half[64:192].mean()
        for edge in (half[:2], half[-2:], half[:, :2], half[:, -2:]):
            assert abs(edge.mean() - middle) < 0.4 * spread
    # and the loss it hides is there: this is what the test is about
    assert log_power(plain)[:, :128].mean() == pytest.approx(log_power(counts.mean(0))[:, 128:].mean(), abs=0.1)


def test_the_picture_keeps_directions():
    """A wave along x at 0.125 cycles/px lies beside the origin, a quarter of the full side away from the middle of its row."""
    y, x = np.indices((576, 576))
    noise = np.random.default_rng(0).normal(size=(576, 576))
    along = log_power((noise + 3 * np.cos(2 * np.pi * (x / 8 + y / 16))).astype(np.float32))
    row, column = np.unravel_index(np.argmax(along[:, 128:]), (256, 128))
    assert (row - 128, column) == (18, 36)
    mirrored = np.unravel_index(np.argmax(along[:, :128]), (256, 128))
    assert (mirrored[0] - 128, mirrored[1] - 128) == (-18, -36)
