"""Binning is exact, boxes are where they should be, backgrounds are flat."""

import numpy as np
import pytest

from cryoloom.numerics.fourier.ratios import exact_ratio
from cryoloom.numerics.particles.extract import bin_image, cut_boxes, flip_phases, inside
from cryoloom.numerics.particles.normalise import background, background_radius, normalise, remove_dust

RNG = np.random.default_rng(0)


def waves(shape, scale=1.0):
    y, x = np.indices(shape) * scale
    return (5 + np.cos(2 * np.pi * (0.031 * x + 0.017 * y)) + 0.5 * np.sin(2 * np.pi * (0.05 * x - 0.02 * y))).astype(np.float32)


@pytest.mark.parametrize("factor", [1.5, 1.75, 2, 3, 2.3])
@pytest.mark.parametrize("shape", [(256, 256), (250, 333)])
def test_one_pixel_of_the_binned_image_is_exactly_the_ratio(factor, shape):
    ratio = exact_ratio(factor)
    assert float(ratio) == pytest.approx(factor, rel=1e-3)
    small = bin_image(waves(shape), ratio)
    assert small.shape == (int(shape[0] / ratio), int(shape[1] / ratio))
    inner = (slice(12, -12), slice(12, -12))
    assert np.abs(small - waves(small.shape, float(ratio)))[inner].max() < 0.03


@pytest.mark.parametrize("box", [8, 9])
def test_boxes_have_their_centre_at_half_the_box(box):
    image = np.zeros((40, 50), np.float32)
    image[17, 31] = 1.0
    assert cut_boxes(image, np.array([[31, 17]]), box)[0, box // 2, box // 2] == 1.0
    assert inside(np.array([[31, 17], [2, 17], [31, 38]]), box, image.shape).tolist() == [True, False, False]


def test_backgrounds_become_flat_and_of_unit_deviation():
    boxes = RNG.normal(3, 2, (6, 64, 64)).astype(np.float32) + np.linspace(0, 5, 64, dtype=np.float32)[:, None]
    radius = background_radius(64, None)
    outside = background(64, radius)
    flat = normalise(boxes, radius)
    assert np.abs(flat[:, outside].mean(axis=1)).max() < 1e-3
    assert np.abs(flat[:, outside].std(axis=1) - 1).max() < 1e-3
    slopes = np.polyfit(np.nonzero(outside)[0], flat[0][outside], 1)
    assert abs(slopes[0]) < 1e-4
    assert background_radius(32, None) == pytest.approx(14.4)


def test_a_constant_box_does_not_become_nan():
    assert np.isfinite(normalise(np.full((1, 32, 32), 7.0, np.float32), 14)).all()


def test_planted_dust_goes_and_nothing_else():
    image = RNG.standard_normal((200, 200)).astype(np.float32)
    spoiled = image.copy()
    places = RNG.choice(image.size, 50, replace=False)
    spoiled.flat[places] += RNG.choice([-1, 1], 50) * RNG.uniform(12, 1e5, 50)
    cleaned, count = remove_dust(spoiled, 6.0, np.random.default_rng(1))
    assert count == 50
    assert np.abs(cleaned).max() < 6.0
    untouched = np.ones(image.size, bool)
    untouched[places] = False
    assert np.array_equal(cleaned.flat[untouched], image.flat[untouched])


def test_flipped_phases_have_the_sign_of_the_ctf():
    point = np.zeros((128, 128), np.float32)
    point[0, 0] = 1.0
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None, :]) / 3.0
    wavelength = 0.0196875
    chi = np.pi * wavelength * frequency**2 * (15000 - 0.5 * wavelength**2 * frequency**2 * 2.7e7) + np.arcsin(0.1)
    blurred = np.fft.ifft2(np.fft.fft2(point) * np.sin(chi)).real.astype(np.float32)
    flipped = flip_phases(blurred, 3.0, (15000, 15000, 0, 0), voltage=300, cs=2.7, ac=0.1)
    assert np.fft.fft2(flipped).real[np.abs(np.sin(chi)) > 0.05].min() > 0
