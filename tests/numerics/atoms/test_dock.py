"""A model finds its place in a map of which it is all or a part, tells the map's hand, and says when the map does not tell its place."""

import numpy as np
import pytest

from cryoloom.numerics.atoms.dock import dock
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.simulate.phantom import p80, symmetrised
from cryoloom.numerics.simulate.projection import density

PIXEL = 4.4
ROTATION, SHIFT = random_rotations(1, np.random.default_rng(8))[0], np.array([20.0, -35.0, 8.0])


@pytest.fixture
def started(atoms):
    """Return the model where nobody put it on purpose."""
    return atoms.at(atoms.positions @ ROTATION.T + SHIFT)


def rmsd(found, truth):
    return np.sqrt(((found - truth) ** 2).sum(axis=1).mean())


def test_the_whole_finds_its_place_and_the_hand(particle_map, atoms, started):
    found = dock(started, mirrored_map(particle_map), PIXEL, resolution=9.0, hand=True)
    assert found.mirrored
    assert rmsd(found.placed(started.positions), atoms.positions) < 0.3
    assert found.candidates[0].score > found.other_hand + 0.3
    assert not found.ambiguous and found.candidates[0].z > 2 * found.candidates[1].z


def test_a_part_finds_its_place(particle_map, atoms, started):
    lobe = atoms.chains == 1
    found = dock(started.keep(lobe), particle_map, PIXEL, resolution=9.0)
    assert rmsd(found.placed(started.positions[lobe]), atoms.positions[lobe]) < 1.0


def test_a_model_of_something_else_is_not_called_right(particle_map, atoms_like):
    assert dock(atoms_like(p80(seed=180)), particle_map, PIXEL, resolution=9.0, count=4).ambiguous


def test_near_its_place_it_is_improved_and_no_more(particle_map, atoms):
    off = atoms.at(atoms.positions + np.array([3.0, -2.0, 2.5]))
    found = dock(off, particle_map, PIXEL, resolution=9.0, near=True)
    assert rmsd(found.placed(off.positions), atoms.positions) < 0.3
    assert len(found.candidates) == 1 and np.isnan(found.candidates[0].z)


def test_mates_are_as_good_until_the_symmetry_is_known(particle, moved, atoms_like):
    phantom = symmetrised(particle, "C2")
    data = density(phantom, 40, 5.2)
    model = atoms_like(moved(phantom, ROTATION, SHIFT))
    assert dock(model, data, 5.2, resolution=10.4, count=3).ambiguous
    known = dock(model, data, 5.2, resolution=10.4, symmetry="C2", count=3)
    assert not known.ambiguous
    assert (
        rmsd(known.placed(model.positions), phantom.positions) < 0.3
        or rmsd(known.placed(model.positions) * [-1, -1, 1], phantom.positions) < 0.3
    )
