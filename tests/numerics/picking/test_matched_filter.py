"""Matches are found where particles are; noise has the scores that statistics says."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.picking.bank import build_bank
from cryoloom.numerics.picking.matched_filter import FEATURES, find_matches
from cryoloom.numerics.picking.matching import match_points
from cryoloom.numerics.picking.peaks import overshadowed
from cryoloom.numerics.picking.scene import resampled_micrograph
from cryoloom.numerics.picking.templates import evenly_spaced_views, projections
from cryoloom.numerics.picking.whitening import noise_spectrum
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import density, project

DIAMETER, PIXEL, WORKING = 160.0, 4.0, 8.0


@pytest.fixture(scope="module")
def bank():
    views = evenly_spaced_views(30.0, point_group("C1"))
    return build_bank(projections(density(p80(atoms=400), 64, 4.0), 4.0, views, WORKING, DIAMETER), 15.0)


def field(count, seed, height=1.0, shape=(300, 360)):
    """Return dark particles in coloured noise, without CTF, and their centres."""
    rng = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) / (0.05 + np.hypot(ky, kx)), s=shape)
    image, centres = noise / noise.std(), []
    for angles in uniform_poses(200, rng):
        place = rng.uniform(40, (shape[1] - 40, shape[0] - 40))
        if len(centres) < count and all(np.hypot(*(place - other)) > 50 for other in centres):
            x, y = np.rint(place).astype(int)
            patch = project(p80(atoms=400), pose_matrix(*angles), 64, PIXEL)
            image[y - 32 : y + 32, x - 32 : x + 32] -= height * patch / patch.std()
            centres.append((x, y))
    return image.astype(np.float32), np.array(centres, dtype=float).reshape(-1, 2)


def test_particles_are_the_strongest_matches_and_their_turn_is_known(bank):
    image, true = field(12, 1)
    matches = find_matches(resampled_micrograph(image, PIXEL, WORKING, DIAMETER), bank, None)
    found = np.stack([matches.x, matches.y], axis=1)
    rows, columns = match_points(found[: len(true)], true, 0.15 * DIAMETER / PIXEL)
    assert len(rows) == len(true) == 12
    assert np.sqrt(np.mean(np.sum((found[rows] - true[columns]) ** 2, axis=1))) < 0.05 * DIAMETER / PIXEL
    assert (np.diff(matches.strength) <= 0).all() and matches.strength[11] > 1.3 * np.exp(np.median(matches.decoys[:, 0]))
    assert (
        matches.features.shape == (len(found), len(FEATURES)) and np.isfinite(matches.features).all() and np.isfinite(matches.decoys).all()
    )
    assert np.isin(matches.psi, bank.angles).all() and (matches.view < len(bank.spectra)).all()
    # With the wrong contrast they are decoys.
    wrong = find_matches(resampled_micrograph(-image, PIXEL, WORKING, DIAMETER), bank, None)
    assert wrong.strength[0] < matches.strength[11]


def test_noise_alone_scores_a_few_sigma_at_any_grey_scale_and_sign(bank):
    strengths = []
    for scale in (1.0, 300.0):
        image, _ = field(0, 4)
        strengths.append(find_matches(resampled_micrograph(50.0 + scale * image, PIXEL, WORKING, DIAMETER), bank, None).strength)
    assert np.allclose(strengths[0][:20], strengths[1][:20], rtol=1e-2)
    assert 2.0 < np.median(strengths[0]) < 5.0 and strengths[0].max() < 9.0


def test_the_noise_spectrum_is_the_noises(bank):
    rng = np.random.default_rng(3)
    pixels = torch.from_numpy(rng.standard_normal((400, 400)).astype(np.float32)) * 3.0
    frequencies, power = noise_spectrum(pixels, 30.0)
    inside = (frequencies > 0.05) & (frequencies < 0.5)
    assert np.median(power[inside]) == pytest.approx(8.3, rel=0.1)
    # A third of the field that is ten times as strong does not change it.
    pixels[:130] *= 10
    assert np.median(noise_spectrum(pixels, 30.0)[1][inside]) == pytest.approx(8.3, rel=0.2)


def test_a_constant_micrograph_has_no_matches(bank):
    matches = find_matches(resampled_micrograph(np.full((300, 300), 7.0, np.float32), PIXEL, WORKING, DIAMETER), bank, None)
    assert len(matches.x) == len(matches.decoys) == 0


def test_what_stands_beside_something_much_stronger_is_in_its_shadow():
    x, y, score = np.array([0.0, 5.0, 40.0]), np.zeros(3), np.array([10.0, 4.0, 4.0])
    assert overshadowed(x, y, score, 9.0, 1.7).tolist() == [False, True, False]
    assert overshadowed(x[:0], y[:0], score[:0], 9.0, 1.7).tolist() == []
