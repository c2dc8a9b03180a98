import numpy as np
import pytest
from thon_micrographs import Optics, Truth, micrograph

from cryoloom.numerics.ctf.spectrum import Spectrum, Taper, fine_spectrum, mean_spectrum, tile_size, without_spikes


def _reference_mean_amplitude(image, tile):
    taper = np.sin(np.pi * (np.arange(tile) + 0.5) / tile)
    total = np.zeros((tile, tile // 2 + 1))
    for y in range(0, image.shape[0] - tile + 1, tile // 2):
        for x in range(0, image.shape[1] - tile + 1, tile // 2):
            part = image[y : y + tile, x : x + tile].astype(np.float64)
            rows, columns = np.indices(part.shape)
            design = np.stack([np.ones(part.size), rows.ravel(), columns.ravel()], axis=1)
            flat = part.ravel() - design @ np.linalg.lstsq(design, part.ravel(), rcond=None)[0]
            amplitude = np.abs(np.fft.rfft2(flat.reshape(part.shape) * np.outer(taper, taper)))
            amplitude[0, 0] = 0
            total += amplitude / amplitude.mean()
    return total


def test_equals_the_plain_average_over_tiles():
    rng = np.random.default_rng(0)
    y, x = np.indices((256, 384))
    image = rng.normal(size=(256, 384)) + 0.01 * x - 0.02 * y + 50
    spectrum = mean_spectrum(image, 2.0, window=128)
    expected = _reference_mean_amplitude(image, 128)
    ratio = spectrum.amplitude.ravel()[1:] / expected.ravel()[1:]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=2e-4)
    assert spectrum.tiles == 15
    assert spectrum.pixel_size == 2.0
    assert spectrum.taper == Taper(256.0, 256.0, 0.5)


@pytest.mark.parametrize(
    ("shape", "pixel_size", "spectral_pixel"), [((1000, 1400), 0.81, 1.4), ((719, 512), 1.0, 1.4), ((512, 2000), 2.7, 1.4)]
)
def test_frequencies_are_exact_whatever_the_size_and_the_downsampling(shape, pixel_size, spectral_pixel):
    wave = np.array([0.083, -0.117])  # 1/Å along y and x
    y, x = np.indices(shape) * pixel_size
    image = np.cos(2 * np.pi * (wave[0] * y + wave[1] * x)) + 1e-3 * np.random.default_rng(1).normal(size=shape)
    spectrum = mean_spectrum(image, pixel_size, spectral_pixel=spectral_pixel)
    fy, fx = spectrum.frequencies()
    power = spectrum.amplitude**2
    peak = np.unravel_index(power.argmax(), power.shape)
    near = (np.abs(fy - fy[peak[0]]) < 3 * spectrum.step) & (np.abs(fx - fx[0, peak[1]]) < 3 * spectrum.step)
    weight = power * near
    found = np.array([(weight * fy).sum(), (weight * fx).sum()]) / weight.sum()
    np.testing.assert_allclose(found * np.sign(found[1]), wave * np.sign(wave[1]), atol=0.05 * spectrum.step)
    assert spectrum.pixel_size == pytest.approx(max(pixel_size, spectral_pixel), rel=0.02)


def test_small_images_get_small_windows_and_the_same_resolution():
    tile, window = tile_size((400, 4000), 1.0, 512, 1.4)
    assert tile <= 300
    assert tile / window == pytest.approx(1.4, rel=0.01)


def test_gradients_and_hot_pixels_do_not_rule():
    optics = Optics()
    clean = micrograph((768, 768), Truth(15000, 14500, 20), optics, 5)
    rng = np.random.default_rng(2)
    spoilt = clean * np.linspace(0.5, 1.5, 768, dtype=np.float32)
    spoilt[rng.integers(0, 768, 200), rng.integers(0, 768, 200)] *= 100
    band = np.s_[40:110, 40:110]
    before, after = (mean_spectrum(image, 2.5, window=256).amplitude[band] for image in (clean, spoilt))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_spikes_go_and_rings_stay():
    rng = np.random.default_rng(3)
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :]
    rings = np.abs(np.sin(800 * (fy**2 + fx**2))) + 0.2
    amplitude = rings * (1 + 0.1 * rng.normal(size=rings.shape))
    spiked = amplitude.copy()
    spiked[60:62, 40:42] = 1e3
    cleaned = without_spikes(Spectrum(spiked, 1.0)).amplitude
    assert cleaned[60:62, 40:42].max() < 3
    untouched = np.ones_like(rings, dtype=bool)
    untouched[60:62, 40:42] = untouched[0, 0] = False
    np.testing.assert_array_equal(cleaned[untouched], amplitude[untouched])


@pytest.mark.parametrize("ramp", [0.5, 1 / 16])
def test_the_taper_s_autocorrelation_and_its_derivatives(ramp):
    length = 4000
    place = (np.arange(length) + 0.5) / length
    taper = np.sin(np.pi / 2 * np.clip(np.minimum(place, 1 - place) / ramp, 0, 1))
    lags = np.arange(0, length, 100)
    direct = [taper[: length - lag] @ taper[lag:] / (taper @ taper) for lag in lags]
    value, slope, curvature = Taper(1.0, 1.0, ramp).autocorrelation(lags / length)
    np.testing.assert_allclose(value, direct, atol=1e-5)
    near = [
        (taper[: length - lag - 1] @ taper[lag + 1 :] - taper[: length - lag + 1] @ taper[lag - 1 :]) / (taper @ taper) for lag in lags[1:]
    ]
    np.testing.assert_allclose(slope[1:], np.array(near) * length / 2, atol=5e-3)
    lag = np.linspace(0.2, 0.8, 61)
    _, slope, curvature = Taper(1.0, 1.0, ramp).autocorrelation(lag)
    np.testing.assert_allclose(np.gradient(slope, lag)[1:-1], curvature[1:-1], atol=0.05)


@pytest.mark.parametrize(("shape", "pixel_size"), [((1000, 1000), 2.0), ((800, 1200), 1.3), ((2400, 2500), 0.9)])
def test_powers_of_the_fine_spectrum_are_as_independent_as_its_taper_says(shape, pixel_size):
    """The mean of many powers of white noise scatters by their number over `correlated`."""
    image = np.random.default_rng(4).normal(size=shape)
    spectrum = fine_spectrum(image, pixel_size, spectral_pixel=1.4)
    power = spectrum.amplitude[64 : spectrum.window // 2, 64:] ** 2
    power = power / power.mean()
    side = 16
    blocks = power[: len(power) // side * side, : power.shape[1] // side * side]
    means = blocks.reshape(len(blocks) // side, side, -1, side).mean(axis=(1, 3))
    assert means.var() * side**2 / power.var() == pytest.approx(spectrum.taper.correlated, rel=0.15)


def test_the_fine_spectrum_keeps_the_frequencies_and_the_whole_of_the_image():
    wave = np.array([0.083, -0.117])  # 1/Å along y and x
    y, x = np.indices((700, 1100)) * 1.2
    image = 5 + np.cos(2 * np.pi * (wave[0] * y + wave[1] * x)) + 1e-3 * np.random.default_rng(1).normal(size=y.shape)
    spectrum = fine_spectrum(image, 1.2, spectral_pixel=1.4)
    fy, fx = spectrum.frequencies()
    peak = np.unravel_index(spectrum.amplitude.argmax(), spectrum.amplitude.shape)
    found = np.array([fy[peak[0], 0], fx[0, peak[1]]])
    np.testing.assert_allclose(found * np.sign(found[1]), wave * np.sign(wave[1]), atol=spectrum.step)
    assert spectrum.tiles == 1
    assert (spectrum.taper.height, spectrum.taper.width) == pytest.approx((840.0, 1320.0))
    assert spectrum.pixel_size == pytest.approx(1.4, rel=0.01)


@pytest.mark.parametrize("measure", [mean_spectrum, fine_spectrum])
def test_what_has_no_spectrum_says_so(measure):
    with pytest.raises(ValueError, match="not finite"):
        measure(np.full((256, 256), np.nan), 1.0)
    with pytest.raises(ValueError, match="no variance"):
        measure(np.full((256, 256), 7.0), 1.0)
    with pytest.raises(ValueError, match="at least 32 px"):
        measure(np.zeros((16, 500)), 1.0)
