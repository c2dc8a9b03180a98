"""Scores of residues and atoms tell what fits from what does not; the difference map shows what is missing."""

import numpy as np
import pytest

from cryoloom.numerics.atoms.agreement import agreement
from cryoloom.numerics.atoms.density import model_density
from cryoloom.numerics.atoms.difference import difference_map, remainder
from cryoloom.numerics.atoms.scores import model_mask, q_scores, residue_correlations, values_at
from cryoloom.numerics.simulate.phantom import Phantom
from cryoloom.numerics.simulate.projection import density

PIXEL = 4.4


def test_q_is_one_where_atoms_are_resolved_and_falls_with_the_error(atoms_like):
    grid = np.stack(np.meshgrid(*[np.arange(-9.0, 10.0, 6.0)] * 3), axis=-1).reshape(-1, 3)
    count = len(grid)
    # B of a Gaussian of 0.6 Å.
    phantom = Phantom(grid, np.ones(count), np.full(count, 8 * np.pi**2 * 0.6**2), np.zeros(count, np.int64))
    data = density(phantom, 64, 0.5)
    model = atoms_like(phantom)
    right = q_scores(model, data, 0.5)
    assert right.min() > 0.98
    shifted = q_scores(model.at(grid + np.array([0.0, 0.6, 0.0])), data, 0.5)
    assert 0.2 < shifted.mean() < right.mean() - 0.1
    blurred = density(Phantom(grid, np.ones(count), np.full(count, 8 * np.pi**2 * 1.5**2), phantom.lobes), 64, 0.5)
    assert q_scores(model, blurred, 0.5).mean() < right.mean() - 0.05
    assert abs(q_scores(model, np.random.default_rng(1).standard_normal(data.shape).astype(np.float32), 0.5).mean()) < 0.2


def test_the_residue_that_is_wrong_is_told(atoms, particle_map):
    truth = model_density(atoms, 48, PIXEL, 9.0)
    wrong = np.arange(1400, 1410)
    positions = atoms.positions.copy()
    positions[wrong] += np.array([25.0, 25.0, 40.0])
    astray = atoms.at(positions)
    found = residue_correlations(astray, particle_map, model_density(astray, 48, PIXEL, 9.0), PIXEL, 9.0)
    others = np.setdiff1d(np.arange(1500), wrong)
    assert np.isfinite(found).all()
    assert np.median(found[wrong]) < 0.4 < 0.9 < np.median(found[others])
    assert residue_correlations(atoms, truth, truth, PIXEL, 9.0).min() > 0.999


def test_the_map_is_read_where_it_is_asked_for(particle, particle_map):
    indices = np.array([[20, 25, 30], [24, 24, 24]])
    places = (indices[:, ::-1] - 24) * PIXEL
    assert values_at(particle_map, places, PIXEL) == pytest.approx([particle_map[tuple(i)] for i in indices], rel=1e-4)


def test_what_the_model_lacks_is_in_the_difference(atoms, particle_map):
    part = atoms.keep(atoms.chains != 2)
    mask = model_mask(atoms, 48, PIXEL, 6.0)
    found = difference_map(particle_map, model_density(part, 48, PIXEL), mask, PIXEL, resolution=9.0)
    read = values_at(found, atoms.positions, PIXEL)
    assert read[atoms.chains == 2].mean() > 1.5
    assert abs(read[atoms.chains == 0].mean()) < 0.5
    left = remainder(particle_map, model_density(part, 48, PIXEL))
    lost = model_density(atoms.keep(atoms.chains == 2), 48, PIXEL)
    alike = [np.corrcoef(data.ravel(), lost.ravel())[0, 1] for data in (left, particle_map)]
    assert alike[0] > 1.3 * alike[1]


def test_all_that_is_said_holds_together(atoms, particle_map):
    found = agreement(atoms, particle_map, PIXEL, resolution=9.0, radius=4.0, mass=700_000.0, halves=(particle_map, particle_map))
    assert found.map_correlation > 0.9 and found.resolution < 9.5
    assert 0.85 < found.inclusion <= 1.0
    assert np.array_equal(found.halves[0], found.masked)
    turned = agreement(atoms.at(atoms.positions[:, [1, 0, 2]]), particle_map, PIXEL, resolution=9.0, radius=4.0, mass=700_000.0)
    assert turned.map_correlation < 0.5 and turned.resolution > 30 and turned.inclusion < 0.6
