import numpy as np
import pytest

from cryoloom.numerics.simulate.fourier import frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope, damage, detector_amplitude, ice_amplitude


@pytest.mark.parametrize(("voltage", "wavelength"), [(300.0, 0.0196875), (200.0, 0.0250793), (100.0, 0.0370144)])
def test_wavelength(voltage, wavelength):
    assert Microscope(voltage, 2.7, 0.1).wavelength == pytest.approx(wavelength, abs=2e-7)


def test_interaction_constant_at_300_kv():
    assert Microscope(300.0, 2.7, 0.1).phase_per_volt == pytest.approx(6.526e-4, rel=1e-3)


def test_transfer_function_is_the_textbook_one():
    microscope, s = Microscope(300.0, 2.7, 0.07), np.linspace(0.0, 0.4, 50)
    value = microscope.transfer(Defocus(15000.0, 15000.0, 33.0), s, np.zeros(50))
    wavelength = microscope.wavelength
    gamma = np.pi * wavelength * 15000.0 * s**2 - 0.5 * np.pi * 2.7e7 * wavelength**3 * s**4
    assert np.allclose(value, np.sqrt(1.0 - 0.07**2) * np.sin(gamma) + 0.07 * np.cos(gamma), atol=1e-12)
    assert value[0] == pytest.approx(0.07)


def test_the_u_axis_lies_at_the_angle_from_x_towards_y():
    microscope = Microscope(300.0, 2.7, 0.1)
    defocus = Defocus(20000.0, 16000.0, 30.0)
    along = microscope.transfer(defocus, 0.1 * np.cos(np.deg2rad(30.0)), 0.1 * np.sin(np.deg2rad(30.0)))
    across = microscope.transfer(defocus, -0.1 * np.sin(np.deg2rad(30.0)), 0.1 * np.cos(np.deg2rad(30.0)))
    assert along == pytest.approx(microscope.transfer(Defocus(20000.0, 20000.0, 0.0), 0.1, 0.0))
    assert across == pytest.approx(microscope.transfer(Defocus(16000.0, 16000.0, 0.0), 0.1, 0.0))


def test_damage_is_grant_and_grigorieffs():
    s, dose = 1.0 / 4.0, 20.0
    critical = 0.245 * s**-1.665 + 2.81
    assert damage(np.array(s), np.array(0.0), dose, 300.0) == pytest.approx(np.exp(-dose / (2.0 * critical)))
    assert damage(np.array(s), np.array(0.0), dose, 200.0) == pytest.approx(np.exp(-dose / (1.6 * critical)))
    assert damage(np.array(0.0), np.array(0.0), dose, 300.0) == pytest.approx(1.0, abs=1e-6)


def test_detector_and_ice_are_sane():
    kx, ky = frequencies(64, 64, 1.0)
    amplitude = detector_amplitude(kx, ky, 1.0)
    assert amplitude[0, 0] == 1.0 and amplitude[0, 32] == pytest.approx(0.4) and amplitude.min() == pytest.approx(0.4)
    ring = ice_amplitude(np.array([0.05, 1.0 / 3.7, 0.45]), np.array(0.0))
    assert ring[1] == pytest.approx(2.0, rel=1e-3) and ring[0] == pytest.approx(1.0, abs=1e-3) and ring[2] == pytest.approx(1.0, abs=1e-3)
