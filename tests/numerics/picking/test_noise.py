"""The noise is measured between particles."""

import numpy as np
import pytest
import torch
from blobby_micrographs import Scenery, draw

from cryoloom.numerics.picking.detail import Detail
from cryoloom.numerics.picking.noise import quiet_variance
from cryoloom.numerics.picking.scene import reduce_micrograph


def white(seed, shape=(400, 400)):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("diameter", [16.0, 40.0])
def test_variance_of_white_noise(diameter):
    """The filter lets half of the variance through."""
    band = torch.full((400, 201), 0.5**0.5)
    assert quiet_variance(3.0 * band[0, 0] * white(1), band, diameter) == pytest.approx(4.5, rel=0.06)


def test_half_a_field_of_texture_does_not_count():
    pixels = white(2)
    pixels[:, :200] *= 4
    assert quiet_variance(pixels, torch.ones(400, 201), 40.0) == pytest.approx(1.0, rel=0.15)


def test_particles_hardly_count_as_noise():
    """Half of this field is particles, whose own detail is several times the noise; what is left of a pixel between them tells."""
    crowded, empty = (reduce_micrograph(draw(Scenery(count=count), 5)[0], 2.4, 200.0) for count in (40, 0))
    spread = [float(Detail(scene.pixels, scene.pixel_size, scene.diameter).standard.abs().median()) for scene in (crowded, empty)]
    assert spread[1] == pytest.approx(0.6745, rel=0.06) and spread[0] > 0.9 * spread[1]
