"""Templates are projections and averages, turned and centred as they should be."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.fourier.grids import radius_2d
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.picking.bank import band, build_bank
from cryoloom.numerics.picking.templates import (
    ROOM,
    centres_of_mass,
    evenly_spaced_views,
    looks_dark,
    projections,
    resampled,
    template_box,
    turned,
)
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import pose_matrix
from cryoloom.numerics.simulate.projection import density, project

DIAMETER, WORKING = 160.0, 8.0


@pytest.fixture(scope="module")
def phantom():
    return p80(atoms=400)


def correlation(first, second):
    """Return the correlation of two images within the band that is used."""
    first, second = (torch.fft.irfft2(torch.fft.rfft2(one) * band(radius_2d(*one.shape))) for one in map(torch.as_tensor, (first, second)))
    return float(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1])


def test_projections_of_a_map_at_another_pixel_size_are_those_of_its_atoms(phantom):
    angles = np.array([[0.0, 0.0], [70.0, 50.0], [-130.0, 110.0]])
    found = projections(density(phantom, 48, 4.0), 4.0, angles, WORKING, 1.2 * DIAMETER)
    box = template_box(1.2 * DIAMETER, WORKING)
    assert found.shape == (3, box, box) and box * WORKING >= ROOM * 1.2 * DIAMETER
    for image, (rot, tilt) in zip(found, angles, strict=True):
        assert correlation(image, project(phantom, pose_matrix(rot, tilt, 0.0), box, WORKING)) > 0.98


def test_a_projection_turned_by_psi_is_the_projection_at_psi(phantom):
    box = template_box(DIAMETER, WORKING)
    upright = project(phantom, pose_matrix(40.0, 65.0, 0.0), box, WORKING)
    for image, psi in zip(turned(upright[None], np.array([0.0, 35.0, 210.0]))[0], (0.0, 35.0, 210.0), strict=True):
        assert correlation(image, project(phantom, pose_matrix(40.0, 65.0, psi), box, WORKING)) > 0.98


def test_averages_are_rescaled_and_centred_and_their_sign_is_seen(phantom):
    pose = pose_matrix(40.0, 65.0, 0.0)
    straight = project(phantom, pose, 64, 4.0)
    shifted = project(phantom, pose, 64, 4.0, (20.0, -12.0))
    first, second = resampled(np.stack([straight, shifted + 3.0]), 4.0, WORKING, DIAMETER)
    assert first.shape == (template_box(DIAMETER, WORKING),) * 2
    assert correlation(first, second) > 0.99
    assert np.abs(centres_of_mass(np.stack([first, second]), DIAMETER / WORKING)).max() < 0.3
    assert not looks_dark(straight[None], DIAMETER / 4.0) and looks_dark(7.0 - straight[None], DIAMETER / 4.0)


def test_views_cover_one_asymmetric_unit():
    every, part = evenly_spaced_views(20.0, point_group("C1")), evenly_spaced_views(20.0, point_group("D2"))
    assert 90 < len(every) < 115 and 4 * len(part) == pytest.approx(len(every), rel=0.2)
    assert len(evenly_spaced_views(90.0, point_group("I2"))) >= 1


def test_the_bank_gives_the_templates_back(phantom):
    images = projections(density(phantom, 48, 4.0), 4.0, np.array([[0.0, 60.0], [90.0, 60.0]]), WORKING, DIAMETER)
    bank = build_bank(images, 20.0)
    assert bank.weights.shape[0] == 2 * 18 and len(bank.angles) == 18 and bank.half(bank.weights).shape[0] == 18
    flat = bank.components.reshape(len(bank.components), -1)
    assert torch.allclose(flat @ flat.T, torch.eye(len(flat)), atol=1e-4)
    # The energy that the spectra say is that of the weights, but for what the compression leaves out.
    energy = bank.weights.square().sum(dim=1).reshape(2, 18)
    assert torch.allclose(energy, bank.spectra.sum(dim=1)[:, None].expand(2, 18), rtol=0.06)
