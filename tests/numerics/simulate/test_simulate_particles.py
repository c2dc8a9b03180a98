import numpy as np
import pytest

from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.particles import Particle, clean_image, signal_variance
from cryoloom.numerics.simulate.phantom import p80

MICROSCOPE = Microscope(300.0, 2.7, 0.1)


def image(origin, defocus=None, phantom=0):
    return clean_image(Particle(phantom, (10.0, 60.0, 35.0), origin, defocus), [p80()], MICROSCOPE, 64, 4.0)


@pytest.mark.parametrize("defocus", [None, Defocus(15000.0, 14700.0, 20.0)])
def test_adding_the_origin_centres_the_particle(defocus):
    origin = (9.5, -13.25)
    kx, ky = frequencies(64, 64, 4.0)
    moved = forward(image(origin, defocus)) * np.exp(-2j * np.pi * (kx * origin[0] + ky * origin[1]))
    centred = image((0.0, 0.0), defocus)
    assert np.allclose(backward(moved, (64, 64)), centred, atol=1e-4 * np.abs(centred).max())


def test_the_particle_lies_opposite_to_its_origin():
    shown = image((20.0, -8.0))
    y, x = np.mgrid[:64, :64] - 32
    assert (shown * x).sum() / shown.sum() * 4.0 == pytest.approx(-20.0, abs=0.5)
    assert (shown * y).sum() / shown.sum() * 4.0 == pytest.approx(8.0, abs=0.5)


def test_particles_are_bright_in_underfocus():
    shown = image((0.0, 0.0), Defocus(15000.0, 15000.0, 0.0))
    y, x = np.mgrid[:64, :64] - 32
    assert shown[np.hypot(x, y) < 10].mean() > 3.0 * np.abs(shown[np.hypot(x, y) > 28].mean())


def test_noise_images_are_empty_and_do_not_count():
    assert not image((0.0, 0.0), phantom=-1).any()
    shown = Particle(0, (0.0, 0.0, 0.0), (0.0, 0.0), None)
    nothing = Particle(-1, (0.0, 0.0, 0.0), (0.0, 0.0), None)
    one = signal_variance([shown], [p80()], MICROSCOPE, 64, 4.0)
    assert signal_variance([nothing, shown, nothing], [p80()], MICROSCOPE, 64, 4.0) == one > 0.0
    with pytest.raises(ValueError, match="no image shows"):
        signal_variance([nothing], [p80()], MICROSCOPE, 64, 4.0)
