"""Background, envelope and the criteria, on spectra and micrographs of which they are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import j0
from thon_micrographs import WAVELENGTHS, Optics, Truth, grid, micrograph, transfer

from cryoloom.numerics.ctf.agreement import agreement_resolution, mean_ctf
from cryoloom.numerics.ctf.criteria import criteria, failing, normality, zero_disagreement
from cryoloom.numerics.ctf.enhance import radius_of_phase
from cryoloom.numerics.ctf.estimate import Settings, estimate_ctf, estimate_from_spectrum
from cryoloom.numerics.ctf.rings import Astigmatic
from cryoloom.numerics.ctf.rings import Optics as Column
from cryoloom.numerics.ctf.spectrum import Spectrum, fine_spectrum, mean_spectrum
from cryoloom.numerics.ctf.tiles import TileProfiles, tile_profiles

COLUMN = Column(300.0, 2.7, 0.1)


def measured(image, pixel_size, **settings):
    found = estimate_ctf(image, pixel_size, COLUMN, Settings(**settings))
    tiles = tile_profiles(image, pixel_size, found.ctf, COLUMN, 1 / 30, 1 / 5, window=256, spectral_pixel=pixel_size)
    return found, criteria(found, COLUMN, tiles, image)


def modelled(truth, optics, seed, window=512):
    """Return the power ``Bg + (K E CTF)²`` of Velázquez-Muriel et al., Ultramicroscopy 96:17 (2003), with drawn parameters."""
    rng = np.random.default_rng(seed)
    fx, fy = grid((window, window), optics.pixel_size)
    s2 = fx**2 + fy**2
    s, wavelength = np.sqrt(s2), WAVELENGTHS[300.0]
    background = 1 + rng.uniform(2, 8) * np.exp(-rng.uniform(4, 8) * np.sqrt(s)) - 0.1 * np.exp(-300 * (s - 0.1) ** 2)
    background += rng.uniform(0.2, 0.6) * np.exp(-rng.uniform(150, 400) * (s - rng.uniform(0.05, 0.2)) ** 2)
    spread = (0.25 * np.pi * 2.0e7 * wavelength * (0.9 / 3e5)) ** 2 / np.log(2)
    convergence = np.exp(-((np.pi * rng.uniform(2e-5, 8e-5)) ** 2) * (2.7e7 * wavelength**2 * s**3 - truth.mean * s) ** 2)
    envelope = np.exp(-spread * s2**2) * j0(np.pi * 30 * wavelength * s2) * np.sinc(rng.uniform(0.5, 2) * s) * convergence
    power = background + (rng.uniform(0.5, 1.5) * envelope * transfer(fx, fy, truth, optics)) ** 2
    power[0, 0] = 0
    return power


@pytest.mark.parametrize("seed", range(3))
def test_background_and_envelope_of_a_spectrum_without_noise(seed):
    optics, truth = Optics(pixel_size=1.4), Truth(15300 + 4000 * seed, 14900 + 4000 * seed, 40 * seed)
    spectrum = Spectrum(np.sqrt(modelled(truth, optics, seed)), 1.4)
    found = estimate_from_spectrum(spectrum, COLUMN, Settings(high_res=4.0, astigmatism=0))
    assert found.ctf.mean == pytest.approx(truth.mean, abs=2)
    assert found.ctf.astigmatism == pytest.approx(400, abs=4)
    cells, fit = found.cells, found.refined
    rise = np.square(np.sin(COLUMN.phase(cells.radius**2, found.ctf.along(cells.azimuth), 0.0)))
    model = cells.background[cells.ring] * (fit.level[cells.ring] + fit.signal[cells.ring] * rise)
    off = model / (cells.background[cells.ring] * (1 + cells.excess)) - 1
    assert np.sqrt(np.mean(off**2)) < 0.006
    assert np.abs(off).max() < 0.02


@pytest.mark.parametrize("astigmatism", [0, 1000, 4000])
def test_criteria_that_follow_from_the_ctf(astigmatism):
    truth = Truth(20000 + astigmatism / 2, 20000 - astigmatism / 2, 20)
    image = micrograph((1024, 1024), truth, Optics(pixel_size=2.0), 7, dose=40)
    found, values = measured(image, 2.0, astigmatism=0)
    assert values["ctf_astigmatism_resolution"] == pytest.approx(np.sqrt(WAVELENGTHS[300.0] * found.ctf.astigmatism), rel=0.02)
    if astigmatism:
        assert values["ctf_astigmatism_resolution"] == pytest.approx(np.sqrt(WAVELENGTHS[300.0] * astigmatism), rel=0.05)
    zero = radius_of_phase(found.ctf, COLUMN, 2)
    turns = COLUMN.phase(zero**2, found.ctf.along(np.pi * (np.arange(180) + 0.5) / 180), 0.0) / np.pi
    np.testing.assert_allclose(turns, 1, atol=1e-6)
    assert values["ctf_first_zero_ratio"] == pytest.approx(np.sqrt(truth.u / truth.v), rel=0.02)
    told = failing(values, plate=False)
    assert (told == []) == (astigmatism < 4000), told


def test_good_ones_pass_and_empty_ones_do_not():
    rng = np.random.default_rng(3)
    for seed in range(3):
        mean = rng.uniform(8000, 30000)
        found, values = measured(micrograph((1024, 1024), Truth(mean + 100, mean - 100, 0), Optics(pixel_size=2.0), seed), 2.0)
        assert found.doubts == () and failing(values, plate=False) == []
    for empty in (micrograph((1024, 1024), None, Optics(pixel_size=2.0), 5), rng.poisson(60, (1024, 1024)).astype(np.float32)):
        found, values = measured(empty, 2.0)
        assert found.doubts
        assert values["ctf_corr13"] < 0.2
        assert any(each.startswith("ctf_corr13") for each in failing(values, plate=False))


@pytest.mark.parametrize(
    ("mean", "apart", "angle"),
    [(6600, 1400, -61), (7350, 1000, 36), (4000, 1260, 70), (3650, 1000, -85), (6200, 1480, -30), (4700, 1100, 20)],
)
def test_strong_astigmatism_close_to_focus_is_right_or_wrong(mean, apart, angle):
    """Its first rings are broad and faint and nothing like circles; a fit of the other astigmatism is told by the same criteria."""
    image = micrograph(
        (1024, 1024), Truth(mean + apart / 2, mean - apart / 2, angle), Optics(pixel_size=1.4), round(mean), dose=14, particles=4
    )
    spectrum, fine, settings = mean_spectrum(image, 1.4), fine_spectrum(image, 1.4), Settings(min_defocus=2500)
    no_tiles = TileProfiles(np.nan, np.nan, np.nan)
    found = estimate_from_spectrum(spectrum, COLUMN, settings, fine=fine)
    assert abs(found.ctf.mean - mean) < 100 and abs(found.ctf.astigmatism - apart) < 200
    assert [*found.doubts, *failing(criteria(found, COLUMN, no_tiles, image), plate=False)] == []
    other = Astigmatic(found.ctf.mean, -found.ctf.a, -found.ctf.b)
    wrong = estimate_from_spectrum(spectrum, COLUMN, replace(settings, optimise=False), fine=fine, prior=other)
    assert any(each.startswith("ctf_corr90") for each in failing(criteria(wrong, COLUMN, no_tiles, image), plate=False))


def tilted(degrees, down):
    """Return a micrograph of strips whose defocus rises as on a specimen tilted about x (`down`) or y."""
    strips, side, pixel = 16, 2048, 2.0
    width, rise = side // strips, side // strips * pixel * np.tan(np.deg2rad(degrees))
    defocus = [18000 + (strip - (strips - 1) / 2) * rise for strip in range(strips)]
    shape = (width, side) if down else (side, width)
    parts = [micrograph(shape, Truth(d + 100, d - 100, 20), Optics(pixel_size=pixel), 100 + n) for n, d in enumerate(defocus)]
    return np.concatenate(parts, axis=0 if down else 1)


@pytest.mark.parametrize("down", [True, False])
def test_a_tilted_specimen_shows_in_the_order_of_its_tiles(down):
    runs = []
    for degrees in (0, 40):
        image = tilted(degrees, down)
        ctf = Astigmatic(18000.0, 75.0, 60.0)
        runs.append(tile_profiles(image, 2.0, ctf, COLUMN, 1 / 30, 1 / 5, window=256, spectral_pixel=2.0).runs)
    assert runs[0] < 2 < 3 < runs[1]


def test_failures_are_named_with_their_limit():
    values = {"ctf_first_zero": 4.0, "ctf_corr13": np.nan, "ctf_iceness": 1.5, "phase_shift": 150.0}
    assert failing(values, plate=False) == ["ctf_first_zero 4 is below 5", "ctf_iceness 1.5 is above 1.03"]
    assert failing(values, plate=True) == ["ctf_first_zero 4 is below 5", "phase_shift 150 is above 140"]


def test_normality():
    rng = np.random.default_rng(1)
    assert normality(rng.normal(size=(900, 900))) < 0.01
    assert normality(rng.poisson(40, (900, 900)).astype(np.float32)) < 0.05
    assert normality(rng.exponential(size=(900, 900))) > 0.5


def test_agreement_is_where_phases_are_90_degrees_apart():
    one, two = Astigmatic(15000.0, 200.0, 0.0, 0.2), Astigmatic(14600.0, -100.0, 50.0, -0.3)
    found = agreement_resolution(one, two, COLUMN.wavelength)
    azimuth = np.linspace(0, np.pi, 2000)
    apart = [COLUMN.phase(np.full(2000, 1 / found**2), ctf.along(azimuth), ctf.plate) for ctf in (one, two)]
    assert np.abs(apart[0] - apart[1]).max() == pytest.approx(np.pi / 2, rel=1e-3)
    assert agreement_resolution(one, one, COLUMN.wavelength) == 0
    both = mean_ctf([one, two])
    assert (both.mean, both.a, both.b, both.plate) == pytest.approx((14800, 50, 25, -0.05))
    assert zero_disagreement(one, one, COLUMN) == 0 < zero_disagreement(one, two, COLUMN) < 3
