"""The density of a model is that of its Gaussians, up to near Nyquist, whatever the grid."""

from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.atoms.density import model_density
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.simulate.projection import density


@pytest.mark.parametrize(("box", "pixel_size"), [(48, 4.4), (51, 4.1)])
def test_it_is_that_of_the_simulator(particle, atoms, box, pixel_size):
    found, truth = model_density(atoms, box, pixel_size), density(particle, box, pixel_size)
    last = int(0.85 * box / 2)
    assert fourier_shell_correlation(found, truth)[:last].min() > 0.995
    assert found.sum() == pytest.approx(truth.sum(), rel=1e-3)


def test_occupancy_and_scattering_count(atoms):
    half = model_density(replace(atoms, occupancies=np.full(len(atoms.positions), 0.5)), 32, 6.6)
    assert np.allclose(2 * half, model_density(atoms, 32, 6.6), atol=1e-4 * half.max())


def test_what_lies_outside_the_box_is_left_out(atoms):
    assert np.abs(model_density(atoms.at(atoms.positions + 1000.0), 32, 6.6)).max() == 0.0
