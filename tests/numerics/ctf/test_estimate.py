"""The fit on simulated micrographs whose defocus is known."""

from dataclasses import replace

import numpy as np
import pytest
from thon_micrographs import Optics, Truth, micrograph

from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.ctf.estimate import Settings, estimate_ctf, estimate_from_spectrum
from cryoloom.numerics.ctf.rings import Astigmatic
from cryoloom.numerics.ctf.rings import Optics as Column
from cryoloom.numerics.ctf.spectrum import fine_spectrum, mean_spectrum


def estimate(image, optics, **settings):
    return estimate_ctf(image, optics.pixel_size, Column(optics.voltage, optics.cs, optics.amplitude_contrast), Settings(**settings))


def tiled(image, optics):
    """Estimate from the average over small tiles alone."""
    return estimate(image, optics, whole=False)


def drawn(rng, low, high, most_apart):
    mean, apart = rng.uniform(low, high), rng.uniform(0, most_apart)
    return Truth(mean + apart / 2, mean - apart / 2, rng.uniform(-90, 90))


def errors(found, truth):
    """Return the error of the mean, and of the astigmatism as a vector (both components), in Å."""
    double = 2 * np.deg2rad(truth.angle)
    apart = truth.u - truth.v
    return found.ctf.mean - truth.mean, 2 * found.ctf.a - apart * np.cos(double), 2 * found.ctf.b - apart * np.sin(double)


@pytest.fixture(scope="module")
def weak_ones():
    """Ten micrographs of 1024² as in the acceptance: 2.5 Å/px, 20 to 40 e/Å², with estimate and truth."""
    cases = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        optics, truth = Optics(cs=2.0), drawn(rng, 8000, 25000, 600)
        image = micrograph(
            (1024, 1024), truth, optics, seed, dose=rng.uniform(20, 40), particles=rng.uniform(1, 9), b_factor=rng.uniform(60, 150)
        )
        cases.append((image, optics, truth, estimate(image, optics)))
    return cases


def test_defocus_of_weak_micrographs(weak_ones):
    found = np.array([errors(estimate, truth) for _, _, truth, estimate in weak_ones])
    assert np.median(np.abs(found[:, 0])) < 15
    assert np.abs(found[:, 0]).max() < 60
    assert np.sqrt(np.mean(found[:, 1:] ** 2)) < 60
    assert not any(estimate.doubts for *_, estimate in weak_ones)


def test_standard_errors_are_honest(weak_ones):
    ratios = [np.array(errors(found, truth)) / (found.error[:3] * [1, 2, 2]) for _, _, truth, found in weak_ones]
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 1.6


def test_the_whole_of_a_faint_micrograph_tells_more_than_its_tiles():
    """Rings gain likelihood by the border that the tapers of tiles throw away, and by the narrower cross that whole lines need."""
    optics, gained = Optics(pixel_size=1.3), []
    for seed in range(3):
        truth = Truth(15000 + 2000 * seed, 14600 + 2000 * seed, 20)
        image = micrograph((720, 1024), truth, optics, seed, dose=12, particles=2, b_factor=120)
        found = estimate(image, optics)
        assert abs(found.ctf.mean - truth.mean) < 3 * found.error[0]
        gained.append(found.gain / tiled(image, optics).gain)
    assert np.mean(gained) > 1.5


def test_both_searches_agree(weak_ones):
    for image, optics, _, exhaustive in weak_ones[:4]:
        assert estimate(image, optics, exhaustive=False).ctf.mean == pytest.approx(exhaustive.ctf.mean, abs=5)


def test_the_same_bits_twice(weak_ones):
    image, optics, _, found = weak_ones[0]
    again = estimate(image.copy(), optics)
    assert again.ctf == found.ctf
    assert again.score == found.score
    np.testing.assert_array_equal(again.curves.quality, found.curves.quality)


@pytest.mark.parametrize(
    ("shape", "optics", "defocus", "settings"),
    [
        ((1500, 1100), Optics(pixel_size=0.8), 14000, {}),
        ((1024, 1440), Optics(pixel_size=1.34, voltage=200.0), 9000, {}),
        ((900, 900), Optics(pixel_size=3.0, cs=2.0), 32000, {}),
        ((1200, 1200), Optics(pixel_size=1.06), 3600, {}),
        ((1200, 1200), Optics(pixel_size=1.06), 38000, {}),
        ((512, 512), Optics(pixel_size=2.68, amplitude_contrast=0.07), 17000, {}),
        ((1024, 1024), Optics(pixel_size=1.7), 15000, {"window": 256}),
        ((1024, 1024), Optics(pixel_size=1.34), 15000, {"spectral_pixel": 2.01, "low_res": 33.5, "high_res": 4.8}),
        ((1024, 1024), Optics(pixel_size=1.34), 15000, {"high_res": 3.0}),
    ],
)
def test_any_pixel_size_shape_and_defocus(shape, optics, defocus, settings):
    truth = Truth(defocus + 100, defocus - 100, 30)
    found = estimate(micrograph(shape, truth, optics, 4, dose=25), optics, min_defocus=3000, **settings)
    assert abs(found.ctf.mean - truth.mean) < max(15, 4 * found.error[0])
    assert found.error[0] < 40
    assert found.doubts == ()


def gold(image, rng):
    y, x = np.indices(image.shape)
    for cy, cx in rng.integers(0, image.shape, (30, 2)):
        image = np.where((y - cy) ** 2 + (x - cx) ** 2 < 100, 0.3 * image, image)
    return image


def crystal(image, rng):
    y, x = np.indices(image.shape)
    inside = (y - 300) ** 2 + (x - 500) ** 2 < 200**2
    return image + inside * image.std() * np.cos(2 * np.pi * (0.23 * x + 0.31 * y))


def empty_third(image, rng):
    image = image.copy()
    image[:, : image.shape[1] // 3] = rng.poisson(1.3 * image.mean(), (image.shape[0], image.shape[1] // 3))
    return image


def beam_stop(image, rng):
    image = image.copy()
    image[: image.shape[0] // 4] = 0
    return image


def gradient(image, rng):
    return image * np.linspace(0.4, 1.6, image.shape[1])


def hot_pixels(image, rng):
    image = image.copy()
    image[rng.integers(0, image.shape[0], 300), rng.integers(0, image.shape[1], 300)] *= 50
    return image


def detector_lines(image, rng):
    return image + 0.3 * image.std() * (rng.normal(size=image.shape[1]) + rng.normal(size=(image.shape[0], 1)))


@pytest.mark.parametrize("spoil", [gold, crystal, empty_third, beam_stop, gradient, hot_pixels, detector_lines])
def test_what_lies_on_the_micrograph_does_not_pull(spoil):
    optics, truth = Optics(), Truth(17300, 16900, -20)
    rng = np.random.default_rng(7)
    found = estimate(spoil(micrograph((900, 1100), truth, optics, 7), rng).astype(np.float32), optics)
    assert abs(found.ctf.mean - truth.mean) < (80 if spoil is gold else 30)  # discs have rings of their own
    assert found.doubts == ()


def test_phase_plate():
    plates = tuple(np.deg2rad(np.arange(0, 181, 10)))
    for seed, plate in enumerate((35, 90, 145)):
        truth = Truth(11200, 10900, 15, plate)
        found = estimate(micrograph((1024, 1024), truth, Optics(pixel_size=1.34), seed, dose=20), Optics(pixel_size=1.34), plates=plates)
        assert np.rad2deg(found.ctf.plate) == pytest.approx(plate, abs=5)
        assert found.ctf.mean == pytest.approx(truth.mean, abs=150)


@pytest.mark.parametrize("drift", [(0.0, 0.0), (2.5, 1.0)])
def test_drift_is_measured(drift):
    optics = Optics(pixel_size=1.5, cs=2.0)
    image = micrograph((1024, 1024), Truth(14100, 13800, 30), optics, 3, dose=40, drift=drift)
    assert estimate(image, optics).refined.drift == pytest.approx(np.hypot(*drift), abs=0.8)


def test_crystalline_ice_is_measured_however_coarse_the_fit():
    rng = np.random.default_rng(5)
    optics = Optics(pixel_size=1.3)
    plain = micrograph((768, 768), Truth(14100, 13800, 30), optics, 5)
    angles = rng.uniform(0, np.pi, 24)
    y, x = np.indices(plain.shape) * 2 * np.pi * optics.pixel_size / 3.9
    spots = sum(np.cos(x * np.cos(angle) + y * np.sin(angle)) for angle in angles)
    iced = plain + 0.1 * plain.std() * spots.astype(np.float32)
    for settings in ({}, {"spectral_pixel": 2.6}):
        assert estimate(plain, optics, **settings).ice < 1.03 < 1.5 < estimate(iced, optics, **settings).ice
    assert np.isnan(estimate(micrograph((512, 512), Truth(14100, 13800, 30), Optics(), 5), Optics()).ice)


def test_astigmatism_that_is_known_or_none():
    optics, truth = Optics(pixel_size=2.0), Truth(16000, 14000, 30)
    image = micrograph((768, 768), truth, optics, 6)
    known, none = estimate(image, optics, known=(2000.0, 30.0)), estimate(image, optics, known=(0.0, 0.0))
    assert (known.ctf.astigmatism, known.ctf.angle) == pytest.approx((2000, 30))
    assert abs(known.ctf.mean - truth.mean) < 4 * known.error[0]
    assert known.error[1] == 0 and none.ctf.astigmatism == 0
    assert none.gain < 0.7 * known.gain


def test_powers_may_be_averaged_instead():
    optics, truth = Optics(pixel_size=2.0), Truth(15200, 14900, 30)
    image = micrograph((768, 768), truth, optics, 8)
    amplitude, power = estimate(image, optics), estimate(image, optics, power=True)
    assert not np.array_equal(amplitude.spectrum.amplitude, power.spectrum.amplitude)
    assert abs(power.ctf.mean - truth.mean) < 4 * power.error[0]


@pytest.mark.parametrize("off", [0.95, 1.05])
def test_near_a_ctf_known_before(off):
    """A prior five per cent off is corrected; one that nothing supports stays where it is told to."""
    optics, truth = Optics(pixel_size=2.0, cs=2.0), Truth(18300, 17900, 30)
    image = micrograph((768, 768), truth, optics, 9)
    whole, prior = estimate(image, optics).ctf, Astigmatic(truth.mean * off, 300.0, -200.0)
    spectrum, fine = mean_spectrum(image, 2.0), fine_spectrum(image, 2.0)
    common = {"fine": fine, "prior": prior}
    found = estimate_from_spectrum(spectrum, Column(300, 2.0, 0.1), Settings(min_defocus=20000, max_defocus=21000), **common)
    assert found.ctf.mean == pytest.approx(whole.mean, abs=1) and not found.prior_kept
    judged = estimate_from_spectrum(spectrum, Column(300, 2.0, 0.1), Settings(optimise=False), **common)
    assert judged.ctf == prior and judged.score < 0.8 * found.score


@pytest.mark.parametrize("pixel_size", [1.2, 2.5])
def test_no_rings_no_fit(pixel_size):
    rng = np.random.default_rng(11)
    optics = Optics(pixel_size=pixel_size)
    for seed in range(4):
        for image in (rng.poisson(60, (512, 512)), micrograph((512, 512), None, optics, seed)):
            found = estimate(image.astype(np.float32), optics, min_defocus=2000)
            assert found.gain < 20
            assert "no Thon rings" in found.doubts[0]
            assert found.resolution > 15


@pytest.mark.parametrize(("truth", "settings"), [(56000, {}), (2000, {}), (15000, {"min_defocus": 20000}), (24000, {"max_defocus": 12000})])
def test_a_defocus_outside_of_the_range_is_doubted(truth, settings):
    image = micrograph((900, 900), Truth(truth + 100, truth - 100, 10), Optics(), 3)
    assert estimate(image, Optics(), **settings).doubts


@pytest.mark.parametrize("last", [8.0, 6.0])
def test_the_fit_ends_where_the_rings_end(last):
    optics = Optics(pixel_size=1.8)
    ends = [estimate(micrograph((1024, 1024), Truth(d, d, 0), optics, 5, last_ring=1 / last), optics) for d in (13000, 20000)]
    assert [found.resolution for found in ends] == pytest.approx([last, last], rel=0.1)


def test_rings_narrower_than_the_window_s_pixels_do_not_end_the_fit():
    optics, last = Optics(pixel_size=1.4), 4.5
    found = estimate(micrograph((1280, 1280), Truth(36000, 36000, 0), optics, 5, dose=40, last_ring=1 / last), optics, window=256)
    assert found.resolution == pytest.approx(last, rel=0.1)


def test_real_particles_agree_with_cryosparc(test_data):
    """Seven windows of 320 px from one micrograph of EMPIAR-10076, and the CTF that cryoSPARC gave their places."""
    table = np.load(test_data / "particles-10076-50S" / "empiar_10076_7.cs")
    images = read_mrc(test_data / "particles-10076-50S" / "empiar_10076_7.mrc").data.astype(np.float32)
    voltage, cs, amplitude = (float(table[f"ctf/{name}"][0]) for name in ("accel_kv", "cs_mm", "amp_contrast"))
    spectra = [mean_spectrum(image, float(table["blob/psize_A"][0]), window=320) for image in images]
    together = replace(spectra[0], amplitude=np.mean([spectrum.amplitude for spectrum in spectra], axis=0))
    found = estimate_from_spectrum(together, Column(voltage, cs, amplitude), Settings())
    theirs = 0.5 * float(np.mean(table["ctf/df1_A"] + table["ctf/df2_A"]))
    assert found.doubts == ()
    assert found.error[0] < 80
    assert abs(found.ctf.mean - theirs) < 2.5 * found.error[0]


@pytest.mark.slow
def test_acceptance_on_large_micrographs():
    """4096², 1.34 Å/px, 20 e/Å², B = 80 Å², 0.8 to 3 µm, astigmatism to 800 Å, windows of 512 and 256."""
    optics = Optics(pixel_size=1.34)
    found = []
    for seed in range(4):
        truth = drawn(np.random.default_rng(seed), 8000, 30000, 800)
        image = micrograph((4096, 4096), truth, optics, seed, dose=20)
        for window in (512, 256):
            result = estimate(image, optics, window=window)
            found.append(errors(result, truth))
            if truth.u - truth.v >= 300:
                assert abs((result.ctf.angle - truth.angle + 90) % 180 - 90) < 5
    found = np.array(found)
    assert np.median(np.abs(found[:, 0])) < 10
    assert np.abs(found[:, 0]).max() < 30
    assert np.sqrt(np.mean(np.sum(found[:, 1:] ** 2, axis=1))) < 25


@pytest.mark.slow
def test_good_micrographs_are_kept():
    """Of 50 that hold enough to be fitted, none may be lost and none be off by a ring."""
    for seed in range(50):
        rng = np.random.default_rng(1000 + seed)
        optics = Optics(pixel_size=rng.uniform(1.2, 2.6), voltage=float(rng.choice([200.0, 300.0])))
        truth = drawn(rng, 6000, 30000, 600)
        image = micrograph((720, 800), truth, optics, seed, dose=rng.uniform(20, 40), particles=rng.uniform(2, 9))
        found = estimate(image, optics)
        assert found.doubts == (), seed
        assert abs(found.ctf.mean - truth.mean) < 150, seed
