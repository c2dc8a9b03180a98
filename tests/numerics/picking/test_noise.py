"""The noise is measured between particles, and its peaks are as high as theory says."""

import numpy as np
import pytest
import torch
from blobby_micrographs import Scenery, draw

from cryoloom.numerics.picking.bank import Bank, noise_curvature
from cryoloom.numerics.picking.noise import chance_peak, noise_variance
from cryoloom.numerics.picking.peaks import find_peaks
from cryoloom.numerics.picking.scene import reduce_micrograph


def white(seed, shape=(400, 400)):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("diameter", [16.0, 24.0])
def test_variance_of_white_noise(diameter):
    assert noise_variance(3.0 * white(1), diameter) == pytest.approx(9.0, rel=0.06)


def test_half_a_field_of_texture_does_not_count():
    pixels = white(2)
    pixels[:, :200] *= 4
    assert noise_variance(pixels, 24.0) == pytest.approx(1.0, rel=0.15)


def test_particles_hardly_count_as_noise():
    # Half of this field is particles, whose own detail is several times the noise.
    crowded, empty = (reduce_micrograph(draw(Scenery(count=count), 5)[0], 2.4, 200.0) for count in (40, 0))
    assert noise_variance(crowded.pixels, crowded.diameter) < 1.7 * noise_variance(empty.pixels, empty.diameter)


def test_noise_exceeds_its_chance_peak_about_once():
    found = []
    for seed in range(12):
        bank = Bank(white(seed, (300, 300)), 24.0)
        response = bank.ball(0.7)
        assert float(response.std()) == pytest.approx(1.0, abs=0.1)
        chance = chance_peak(300.0 * 300.0, noise_curvature(bank.shape, 0.7 * 24.0))
        found.append(len(find_peaks(response.numpy(), chance, 5.0, border=12.0)[0]))
    assert 0.4 <= np.mean(found) <= 2.0
