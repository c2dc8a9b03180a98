"""Transforms, shifts and resampling against closed forms, for odd and even sizes."""

import math
from fractions import Fraction

import pytest
import torch

from cryoloom.numerics.fourier.grids import frequencies_2d, hermitian_weights, shells_2d, shells_3d
from cryoloom.numerics.fourier.ratios import exact_ratio
from cryoloom.numerics.fourier.transforms import (
    centred_irfft2,
    centred_irfft3,
    centred_rfft2,
    centred_rfft3,
    resample_images,
    resample_volume,
    shift_images,
)


def gaussian(shape, centre, sigma=2.0):
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    grids = torch.meshgrid(*axes, indexing="ij")
    squared = sum((grid - c) ** 2 for grid, c in zip(grids, centre, strict=True))
    return torch.exp(-squared / (2 * sigma**2))


@pytest.mark.parametrize("shape", [(16, 16), (15, 17), (16, 21)])
def test_a_point_at_the_centre_has_a_flat_real_transform(shape):
    image = torch.zeros(shape)
    image[shape[0] // 2, shape[1] // 2] = 1.0
    transform = centred_rfft2(image)
    assert torch.allclose(transform, torch.ones_like(transform), atol=1e-6)
    assert torch.allclose(centred_irfft2(transform, shape), image, atol=1e-6)


@pytest.mark.parametrize("box", [12, 13])
def test_centred_3d_round_trip(box):
    volume = torch.randn(box, box, box)
    assert torch.allclose(centred_irfft3(centred_rfft3(volume), box), volume, atol=1e-5)
    point = torch.zeros(box, box, box)
    point[box // 2, box // 2, box // 2] = 1.0
    assert torch.allclose(centred_rfft3(point).imag, torch.zeros(box, box, box // 2 + 1), atol=1e-6)


def test_a_positive_shift_moves_content_towards_larger_indices():
    image = gaussian((40, 48), (20, 24))
    moved = shift_images(image, torch.tensor([3.25, -2.5]))
    assert torch.allclose(moved, gaussian((40, 48), (17.5, 27.25)), atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [((48, 60), (24, 30)), ((45, 51), (15, 17)), ((48, 48), (32, 36)), ((24, 30), (48, 60))])
def test_resampling_keeps_grey_values_and_the_first_pixel(old, new):
    height, width = old
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    wave = 5.0 + torch.cos(2 * math.pi * (2 * x + 3 * y))
    y, x = torch.meshgrid(torch.arange(new[0]) / new[0], torch.arange(new[1]) / new[1], indexing="ij")
    expected = 5.0 + torch.cos(2 * math.pi * (2 * x + 3 * y))
    assert torch.allclose(resample_images(wave, new), expected, atol=1e-4)


def test_what_the_new_grid_cannot_hold_is_gone():
    x = torch.arange(64) / 64
    wave = torch.cos(2 * math.pi * 20 * x).expand(64, 64)
    assert resample_images(wave, (32, 32)).abs().max() < 1e-5


@pytest.mark.parametrize(("old", "new"), [(32, 24), (24, 32), (33, 21)])
def test_resampled_volumes_keep_their_centre(old, new):
    sigma = 3.5
    volume = gaussian((old,) * 3, (old // 2,) * 3, sigma)
    expected = gaussian((new,) * 3, (new // 2,) * 3, sigma * new / old)
    assert torch.allclose(resample_volume(volume, new), expected, atol=2e-3)


@pytest.mark.parametrize("box", [8, 9])
def test_hermitian_weights_give_parseval(box):
    image = torch.randn(box, box, dtype=torch.float64)
    power = torch.fft.rfft2(image).abs() ** 2
    assert torch.isclose((power * hermitian_weights(box)).sum() / box**2, (image**2).sum())


def test_grids_agree_with_the_transform():
    ky, kx = frequencies_2d(10, 12)
    assert ky.shape == (10, 1) and kx.shape == (1, 7)
    assert shells_2d(10)[3, 4] == 5
    assert shells_3d(10)[9, 0, 0] == 1


def test_a_factor_becomes_a_ratio_within_a_ten_thousandth():
    for factor in (1.0, 1.005, 1.75 / 1.34, 1.37, 2.5, 2.68, math.pi, 7.77):
        assert abs(float(exact_ratio(factor)) / factor - 1) <= 1e-4
    usual = {1: 1, 1.5: Fraction(3, 2), 1.75: Fraction(7, 4), 2.68 / 1.34: 2, 3: 3, 4.0 / 3: Fraction(4, 3), 4: 4}
    assert {factor: exact_ratio(factor) for factor in usual} == usual
    with pytest.raises(ValueError, match="cannot be enlarged"):
        exact_ratio(0.9)
