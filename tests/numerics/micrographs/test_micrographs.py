"""Operations on whole micrographs, on images whose outcome is known."""

from fractions import Fraction

import numpy as np
import pytest

from cryoloom.numerics.fourier.ratios import exact_ratio
from cryoloom.numerics.micrographs.bands import Band, Edge, resized
from cryoloom.numerics.micrographs.pixels import bad_pixels, normalised, replace_pixels, scanner_curve
from cryoloom.numerics.micrographs.variation import denoise

RNG = np.random.default_rng(0)


def wave(side, cycles, amplitude=1.0):
    """Return a diagonal wave of `cycles` along x and half as many along y, periodic in the image, mean 10."""
    y, x = np.indices((side, side)) / side
    return (10 + amplitude * np.cos(2 * np.pi * (cycles * x + cycles // 2 * y) + 0.4)).astype(np.float32)


def amplitude(image, cycles):
    return 2 * abs(np.fft.rfft2(image)[cycles // 2, cycles]) / image.size


# -- bad pixels -------------------------------------------------------------------------------------------------


def test_all_planted_outliers_go_and_no_good_pixel():
    image = RNG.normal(20, 4, (2048, 2048)).astype(np.float32)
    clean, planted = image.copy(), RNG.choice(image.size, 500, replace=False)
    image.ravel()[planted] = 20 + 4 * RNG.uniform(8, 100, 500) * RNG.choice([-1, 1], 500)
    image.ravel()[planted[0]] = 1e6  # one that would hide all others from a plain deviation
    bad = bad_pixels(image, 5)
    assert bad.ravel()[planted].all()
    bad.ravel()[planted] = False
    assert np.count_nonzero(bad) < 1e-5 * image.size
    bad = bad_pixels(image, 5)
    filled = replace_pixels(image, bad)
    assert np.array_equal(filled[~bad], image[~bad])
    assert np.abs(filled - 20).max() <= 4 * 5.5
    assert filled.mean(dtype=np.float64) == pytest.approx(clean.mean(dtype=np.float64), rel=1e-4)


def test_clusters_are_filled_from_outside_and_corners_from_inside():
    y, x = np.indices((64, 80))
    image = (100 + x).astype(np.float32)
    bad = np.zeros(image.shape, bool)
    bad[20:41, 30:41] = True
    bad[:3, :3] = bad[63, 79] = True
    filled = replace_pixels(np.where(bad, np.float32(1e5), image), bad)
    assert np.abs(filled - image)[bad].max() <= 6, "the slope goes on in the cluster"
    assert filled[63, 79] in image[61:, 77:]
    assert replace_pixels(image, np.zeros_like(bad)) is image


def test_constant_and_nearly_constant_images_have_few_bad_pixels():
    image = np.full((100, 100), 3, np.float32)
    assert not bad_pixels(image, 5).any()
    image[4, 5] = 9
    assert np.argwhere(bad_pixels(image, 5)).tolist() == [[4, 5]]


# -- size and bands ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "factor"), [(512, 2.0), (600, 1.5), (600, 3.0), (822, 1.37)])
def test_waves_below_nyquist_stay_and_others_vanish(side, factor):
    ratio = exact_ratio(factor)
    small = resized(wave(side, int(0.8 * side / factor / 2), 3.0), ratio, Band())
    assert small.shape == (int(side / ratio),) * 2
    assert abs(side / small.shape[0] / factor - 1) < 1e-4
    assert small.mean(dtype=np.float64) == pytest.approx(10, rel=1e-4)
    assert amplitude(small, int(0.8 * side / factor / 2)) == pytest.approx(3, rel=1e-3)
    beyond = resized(wave(side, int(1.02 * side / factor / 2) + 1, 3.0), ratio, Band())
    assert np.abs(beyond - 10).max() < 3e-3


def test_the_first_pixel_keeps_its_place_on_both_axes():
    y, x = np.indices((300, 401))
    image = np.exp(-((x - 150.0) ** 2 + (y - 90.0) ** 2) / 200).astype(np.float32)
    small = resized(image, exact_ratio(2.68), Band()) ** 2
    rows, columns = np.indices(small.shape)
    ratio = float(exact_ratio(2.68))
    assert (small * columns).sum() / small.sum() * ratio == pytest.approx(150, abs=0.02)
    assert (small * rows).sum() / small.sum() * ratio == pytest.approx(90, abs=0.02)


def test_one_transform_does_what_each_filter_would():
    band = Band(sigma=1.5, high=Edge(0.03, 0.01), low=Edge(0.25, 0.05))
    side = 400

    def kept(cycles, band):
        return amplitude(resized(wave(side, cycles), Fraction(1), band), cycles)

    def frequency(cycles):
        return np.hypot(cycles, cycles // 2) / side

    assert kept(4, band) < 1e-5, "below the high-pass"
    assert kept(140, band) < 1e-5, "beyond the low-pass"
    for cycles in (30, 60):
        assert kept(cycles, band) == pytest.approx(np.exp(-2 * (np.pi * 1.5 * frequency(cycles)) ** 2), rel=1e-4)
    high, low = Band(high=band.high), Band(low=band.low)
    for cycles in range(8, 12):
        place = np.clip((frequency(cycles) - 0.03) / 0.01, -1, 0)
        assert kept(cycles, high) == pytest.approx(0.5 + 0.5 * np.cos(np.pi * place), abs=1e-4)
    assert kept(88, low) == pytest.approx(1, abs=1e-4)
    place = (frequency(100) - 0.25) / 0.05
    assert 0 < place < 1 and kept(100, low) == pytest.approx(0.5 + 0.5 * np.cos(np.pi * place), abs=1e-4)
    assert abs(resized(wave(side, 30), Fraction(1), high).mean()) < 1e-5, "a high-pass takes the mean"


def test_both_axes_share_one_scale_whatever_the_shape():
    image = RNG.normal(size=(211, 350)).astype(np.float32)
    assert resized(image, exact_ratio(3), Band()).shape == (70, 116)


# -- values -----------------------------------------------------------------------------------------------------


def test_the_scanner_curve_and_what_lies_outside():
    image = np.array([[100.0, -400.0], [0.0, -336.6]], np.float32)
    found, outside = scanner_curve(image, 4.431, 0.402, 336.6)
    assert outside == 2
    assert found[0, 0] == pytest.approx(4.431 - 0.402 * np.log(436.6), rel=1e-6)
    assert found[0, 1] == found[1, 1] == found[1, 0] == pytest.approx(4.431 - 0.402 * np.log(336.6), rel=1e-6)
    with pytest.raises(ValueError, match="no pixel is above"):
        scanner_curve(image - 1000, 4.431, 0.402, 336.6)


def test_normalising_with_and_without_contrast():
    image, contrast = normalised(RNG.normal(5000, 3, (300, 300)).astype(np.float32))
    assert contrast and abs(image.mean(dtype=np.float64)) < 1e-4 and image.std(dtype=np.float64) == pytest.approx(1, abs=1e-4)
    image, contrast = normalised(np.full((20, 20), 7.1, np.float32))
    assert not contrast and not image.any()


# -- denoising --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def discs():
    """Return an image of dark discs, and one of its counts."""
    y, x = np.indices((256, 256))
    truth = np.full((256, 256), 40.0)
    for cx, cy in RNG.uniform(20, 236, (12, 2)):
        truth[np.hypot(x - cx, y - cy) < 18] = 25
    return truth, RNG.poisson(truth).astype(np.float32)


@pytest.mark.parametrize("counts", [True, False])
def test_denoising_brings_an_image_nearer_to_the_truth_than_any_gaussian(discs, counts):
    truth, noisy = discs
    if not counts:
        truth, noisy = truth - 35, truth - 35 + RNG.normal(0, 6, truth.shape)
    found, iterations = denoise(noisy.astype(np.float32), 300)
    assert iterations < 300, "it settles"

    def error(image):
        return np.sqrt(np.mean((image - truth) ** 2))

    smoothed = [resized(noisy.astype(np.float32), Fraction(1), Band(sigma=sigma)) for sigma in (1, 1.5, 2, 3, 4)]
    assert error(found) < 0.25 * error(noisy)
    assert error(found) < 0.8 * min(map(error, smoothed))
    assert found.mean() == pytest.approx(noisy.mean(), abs=0.2)


def test_denoising_keeps_a_constant_image():
    image = np.full((30, 40), 5, np.float32)
    assert np.array_equal(denoise(image, 50)[0], image)
