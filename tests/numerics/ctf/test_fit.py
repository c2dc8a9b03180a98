"""The fit on spectra without noise, and its parts against independent formulas."""

import numpy as np
import pytest
import torch
from thon_micrographs import Optics, Truth, grid, transfer

from cryoloom.numerics.ctf.estimate import Settings, estimate_from_spectrum
from cryoloom.numerics.ctf.model import ctf
from cryoloom.numerics.ctf.picture import spectrum_picture
from cryoloom.numerics.ctf.refine import refine_ctf
from cryoloom.numerics.ctf.resolution import fit_curves, rings_end
from cryoloom.numerics.ctf.rings import Astigmatic, astigmatism_loss, gather, spline_basis
from cryoloom.numerics.ctf.rings import Optics as Column
from cryoloom.numerics.ctf.search import search_defocus, shapes_of
from cryoloom.numerics.ctf.spectrum import Spectrum


def column(optics):
    return Column(optics.voltage, optics.cs, optics.amplitude_contrast)


def ideal(truth, optics, window):
    return Spectrum(np.abs(transfer(*grid((window, window), optics.pixel_size), truth, optics)), optics.pixel_size)


def astigmatic(truth):
    half, double = 0.5 * (truth.u - truth.v), 2 * np.deg2rad(truth.angle)
    return Astigmatic(truth.mean, half * np.cos(double), half * np.sin(double), np.deg2rad(truth.plate))


@pytest.mark.parametrize("voltage", [200.0, 300.0])
@pytest.mark.parametrize("truth", [Truth(12000, 9000, 30), Truth(15000, 14000, -80, 70)])
def test_the_phase_is_that_of_the_model_and_of_the_textbook(voltage, truth):
    optics = Optics(voltage=voltage)
    fx, fy = grid((64, 64), 2.0)
    fitted = astigmatic(truth)
    phase = column(optics).phase(fx**2 + fy**2, fitted.along(np.arctan2(fy, fx)), fitted.plate)
    expected = transfer(fx, fy, truth, optics)
    np.testing.assert_allclose(-np.sin(phase), expected, atol=2e-3)
    same = ctf(
        *(torch.as_tensor(f) for f in (fx, fy)), truth.u, truth.v, truth.angle, truth.plate,
        voltage=voltage, cs=optics.cs, amplitude_contrast=optics.amplitude_contrast,
    )  # fmt: skip
    np.testing.assert_allclose(np.sin(phase), same.numpy(), atol=1e-6)


CASES = [(np.random.default_rng(seed), window) for seed, window in enumerate([256, 512, 512, 256, 512, 512, 256, 512])]


@pytest.mark.parametrize(("rng", "window"), CASES)
@pytest.mark.parametrize("exhaustive", [True, False])
def test_an_ideal_spectrum_is_fitted_exactly(rng, window, exhaustive):
    rng = np.random.default_rng(rng.bit_generator.seed_seq)
    optics = Optics(pixel_size=rng.uniform(1.5, 2.4), voltage=float(rng.choice([200.0, 300.0])))
    finest = 0.25 * window * optics.pixel_size * 5.0 / 0.0251  # above it, rings alias in this window
    mean, apart, angle = rng.uniform(5000, min(40000, finest)), rng.uniform(100, 1500), rng.uniform(-90, 90)
    truth = Truth(mean + apart / 2, mean - apart / 2, angle)
    found = estimate_from_spectrum(ideal(truth, optics, window), column(optics), Settings(exhaustive=exhaustive))
    half = found.ctf.astigmatism / 2
    assert found.ctf.mean + half == pytest.approx(truth.u, abs=2)
    assert found.ctf.mean - half == pytest.approx(truth.v, abs=2)
    assert abs((found.ctf.angle - truth.angle + 90) % 180 - 90) < 0.1
    assert found.score > 0.9
    assert found.doubts == ()
    assert found.resolution < 5.0


def test_derivatives_are_those_of_the_residual():
    from cryoloom.numerics.ctf.refine import _Problem

    optics, truth = Optics(pixel_size=2.0), Truth(14000, 13200, 25)
    cells = gather(ideal(truth, optics, 128), 1 / 30, 1 / 5, cross=4, smoothness=5)
    problem = _Problem(cells, column(optics), 5)
    at = astigmatic(Truth(14100, 13150, 30, 4)).vector()
    state = problem.at(at)
    for number, step in enumerate([1.0, 1.0, 1.0, 1e-3]):
        ahead, behind = at.copy(), at.copy()
        ahead[number] += step
        behind[number] -= step
        change = 0.5 * (problem.at(ahead).cost - problem.at(behind).cost) / (2 * step)
        assert -float(state.derivative[:, number] @ state.residual) == pytest.approx(change, rel=1e-3)


def test_the_search_finds_strong_astigmatism_and_the_round_one_does_not():
    optics, truth = Optics(pixel_size=2.0), Truth(21500, 18500, -40)
    cells = gather(ideal(truth, optics, 256), 1 / 30, 1 / 5, cross=5, smoothness=5)
    common = {"step": 100.0, "plates": np.zeros(1), "smoothness": 5, "tolerance": 0.0}
    full = search_defocus(cells, column(optics), 5000, 50000, shapes=shapes_of(np.arange(0, 3001, 500.0)), **common)
    best = full.best[0]
    assert best.mean == pytest.approx(20000, abs=150)
    assert best.astigmatism == pytest.approx(3000, abs=10)
    assert abs((best.angle + 40 + 90) % 180 - 90) < 3
    flat = search_defocus(cells, column(optics), 5000, 50000, shapes=[(0.0, 0.0)], **common)
    assert full.gain.max() > 3 * flat.gain.max()


def test_the_background_does_not_pull():
    """A steep background and a fast decay, both unknown to the fit, move the defocus by no more than a few Å."""
    optics, truth = Optics(pixel_size=2.0), Truth(10300, 9700, 60)
    fx, fy = grid((512, 512), 2.0)
    s2 = fx**2 + fy**2
    power = 1 + 30 * np.exp(-np.sqrt(s2) / 0.02) + 2 * np.exp(-60 * s2) * transfer(fx, fy, truth, optics) ** 2
    found = estimate_from_spectrum(Spectrum(np.sqrt(power), 2.0), column(optics), Settings())
    assert found.ctf.mean == pytest.approx(10000, abs=5)
    assert found.ctf.astigmatism == pytest.approx(600, abs=5)


def test_equal_phase_means_undo_astigmatism():
    optics, truth = Optics(pixel_size=1.5), Truth(22000, 20000, 35)
    found = fit_curves(ideal(truth, optics, 512), astigmatic(truth), column(optics), 30.0, cross=10)
    fine = found.frequency > 1 / 8
    round_ones = np.corrcoef(found.rotational[fine], found.fit[fine])[0, 1]
    equal_phase = np.corrcoef(found.equiphase[fine], found.fit[fine])[0, 1]
    assert equal_phase > 0.95
    assert round_ones < 0.7
    assert found.quality[fine].min() > 0.9


def test_overfocus_and_no_spherical_aberration_are_averaged_too():
    for truth, optics in ((Truth(-9000, -10000, 10), Optics()), (Truth(12000, 11000, 10), Optics(cs=0.0))):
        found = fit_curves(ideal(truth, optics, 256), astigmatic(truth), column(optics), 30.0, cross=5)
        assert np.median(found.quality) > 0.9


def noisy_end(height, truth, seed):
    """Return where rings end in exponential powers ``1 + height(s) · (CTF² - ½)``, 1/Å."""
    optics = Optics(pixel_size=1.5)
    fx, fy = grid((512, 512), optics.pixel_size)
    rings = transfer(fx, fy, truth, optics) ** 2 - 0.5
    power = (1 + height(np.hypot(fx, fy)) * rings) * np.random.default_rng(seed).exponential(size=rings.shape)
    cells = gather(Spectrum(np.sqrt(power), optics.pixel_size), 1 / 30, 1 / 3, cross=5, smoothness=5)
    return 1 / rings_end(cells, astigmatic(truth), column(optics))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("end", [0.13, 0.2])
def test_rings_end_where_they_stand_out_by_six_standard_errors(seed, end):
    """A ring's height is known to √(8 / pixels) of its mean, by the pixels within 12 % of its radius in the half plane."""
    pixels = 0.24 * np.pi * (end * 512 * 1.5) ** 2
    found = noisy_end(lambda s: 6 * np.sqrt(8 / pixels) * np.exp(2.2 * (1 - (s / end) ** 2)), Truth(20300, 19700, 30), seed)
    assert found == pytest.approx(end, rel=0.1)


@pytest.mark.parametrize(("between", "low", "high"), [(0.1, 0.22, 0.28), (-0.4, 0.08, 0.13)])
def test_faint_rings_are_passed_over_and_those_of_the_wrong_phase_are_not(between, low, high):
    """Rings to 10 Å, faint or reversed ones to 5.6 Å, clear ones to 4 Å."""
    found = noisy_end(lambda s: np.select([s < 0.1, s < 0.18, s < 0.25], [0.6, between, 0.5], 0.0), Truth(20300, 19700, 30), 3)
    assert low < found < high


def test_splines_sum_to_one():
    basis = spline_basis(np.linspace(0.1, 0.4, 50), 0.1, 0.4, 6)
    assert basis.shape == (50, 6)
    np.testing.assert_allclose(basis.sum(axis=1), 1)


def test_too_narrow_a_band_is_refused():
    with pytest.raises(ValueError, match="holds only"):
        gather(ideal(Truth(10000, 10000), Optics(), 64), 1 / 9, 1 / 8, cross=2, smoothness=5)


def test_the_picture_shows_the_spectrum_and_in_one_quarter_the_model():
    optics, truth = Optics(pixel_size=2.0), Truth(9000, 8000, 60)
    spectrum = ideal(truth, optics, 256)
    picture = spectrum_picture(spectrum, astigmatic(truth), column(optics), 30.0, 5.0)
    assert picture.shape == (256, 256)
    assert 0 <= picture.min() < picture.max() <= 1
    along = (np.arange(256) - 128) * spectrum.step
    model = transfer(along[None, :], along[:, None], truth, optics) ** 2
    s = np.hypot(along[None, :], along[:, None])
    ring = (s > 1 / 20) & (s < 1 / 6)
    for quarter in (np.s_[128:, :128], np.s_[:128, :128], np.s_[:128, 128:], np.s_[128:, 128:]):
        assert np.corrcoef(picture[quarter][ring[quarter]], model[quarter][ring[quarter]])[0, 1] > 0.8
    np.testing.assert_allclose(picture[128:, :128][ring[128:, :128]], model[128:, :128][ring[128:, :128]], atol=1e-2)


def test_clear_rings_overrule_the_restraint_and_a_plate_is_refined():
    optics, truth = Optics(pixel_size=2.0), Truth(12300, 11700, 20, 60)
    cells = gather(ideal(truth, optics, 256), 1 / 30, 1 / 5, cross=5, smoothness=5)
    near = astigmatic(Truth(12500, 11800, 30, 50))
    for tolerance in (0.0, 100.0):
        found = refine_ctf(cells, column(optics), [near], background=5, with_plate=True, tolerance=tolerance)
        assert np.rad2deg(found.ctf.plate) == pytest.approx(60, abs=0.5)
        assert found.ctf.astigmatism == pytest.approx(600, abs=6)


def test_astigmatism_is_lost_by_its_logarithm():
    assert astigmatism_loss(0.0, 200.0) == 0.0 == astigmatism_loss(900.0, 0.0)
    assert astigmatism_loss(200.0, 200.0) == pytest.approx(1.5 * np.log(2))
    assert astigmatism_loss(2000.0, 200.0) < 2.1 * astigmatism_loss(600.0, 200.0)


@pytest.mark.parametrize("mean", [8000.0, 14000.0, 18000.0])
def test_an_edge_damped_by_interpolation_feigns_no_astigmatism(mean):
    optics, truth = Optics(pixel_size=3.0), Truth(mean + 50, mean - 50, 20)
    fx, fy = grid((512, 512), optics.pixel_size)
    power = 1 + 0.15 * np.exp(-30 * (fx**2 + fy**2)) * transfer(fx, fy, truth, optics) ** 2
    power = power * np.random.default_rng(1).gamma(12, 1 / 12, power.shape)
    lost = np.clip((np.abs(fx) * optics.pixel_size - 0.44) / 0.06, 0, 1) * 0.6
    spectrum = Spectrum(np.sqrt(power) * (1 - lost), optics.pixel_size, 12)
    found = estimate_from_spectrum(spectrum, column(optics), Settings(high_res=6.0, spectral_pixel=3.0))
    assert found.ctf.mean == pytest.approx(mean, abs=200)
    assert found.ctf.astigmatism < 400
