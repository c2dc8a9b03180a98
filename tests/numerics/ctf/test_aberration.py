import numpy as np
import pytest

from cryoloom.numerics.ctf.aberration import coma, fit_tilt
from cryoloom.numerics.simulate.optics import Microscope

OPTICS = {"voltage": 300.0, "cs": 2.7}


def half_plane(box=64, pixel_size=1.5):
    y, x = np.meshgrid(np.arange(-box // 2 + 1, box // 2), np.arange(box // 2), indexing="ij")
    kept = ((x > 0) | (y >= 0)) & (np.hypot(x, y) < box // 2)
    return x[kept] / (box * pixel_size), y[kept] / (box * pixel_size)


@pytest.fixture
def seen():
    """Return sums over images of a microscope whose beam is tilted, poses of which are off by a shift, in Å."""

    def make(tilt, shift=(0.0, 0.0), noise=0.0):
        x, y = half_plane()
        weight = 400.0 * np.exp(-50.0 * (x**2 + y**2))
        phases = Microscope(300.0, 2.7, 0.1, tilt).displaced(x, y) * np.exp(2j * np.pi * (x * shift[0] + y * shift[1]))
        rng = np.random.default_rng(1)
        return x, y, weight * phases + noise * np.sqrt(weight / 2) * (rng.normal(size=len(x)) + 1j * rng.normal(size=len(x))), weight

    return make


def test_a_tilt_is_recovered_whatever_shift_poses_took_for_it(seen):
    x, y, cross, weight = seen((0.8, -1.9), shift=(0.6, -0.4))
    fit = fit_tilt(cross, weight, x, y, **OPTICS)
    assert fit.tilt == pytest.approx([0.8, -1.9], abs=1e-3)
    assert fit.shift == pytest.approx([0.6, -0.4], abs=1e-3)
    assert np.allclose(cross * np.exp(1j * (fit.tilt @ coma(x, y, **OPTICS) - 2 * np.pi * (fit.shift[0] * x + fit.shift[1] * y))), weight)


def test_errors_are_as_large_as_told(seen):
    x, y, cross, weight = seen((0.0, 0.0), noise=1.0)
    fit = fit_tilt(cross, weight, x, y, **OPTICS)
    assert (np.abs(fit.tilt) < 4 * fit.error).all() and fit.gain < 12


def test_the_sign_is_relions():
    # selfApplyBeamTilt's phase of a correction, in degrees: 0.360 Cs λ² k² (k · b), Cs in Å, b in mrad.
    x, y = np.array([0.2]), np.array([0.1])
    wavelength = Microscope(300.0, 2.7, 0.1).wavelength
    degrees = 0.360 * 2.7e7 * wavelength**2 * 0.05 * (0.2 * 1.0 + 0.1 * 2.0)
    assert np.rad2deg(np.array([1.0, 2.0]) @ coma(x, y, **OPTICS)) == pytest.approx(degrees, rel=1e-4)
    assert np.angle(Microscope(300.0, 2.7, 0.1, (0.02, 0.04)).displaced(x, y), deg=True) == pytest.approx(-0.02 * degrees, rel=1e-4)
