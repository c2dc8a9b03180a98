"""P80 as atoms of one element and as a map made without the code under test."""

from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.atoms.model import Atoms
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import density

BOX, PIXEL = 48, 4.4


def atoms_of(phantom) -> Atoms:
    """Return one atom a residue, each a Gaussian like the phantom's own: a factor of one term, which does not fall."""
    count = len(phantom.positions)
    amplitudes, widths = np.zeros((count, 5)), np.zeros((count, 5))
    amplitudes[:, 0] = phantom.weights
    return Atoms(phantom.positions, amplitudes, widths, phantom.b_factors, np.ones(count), phantom.weights, np.arange(count), phantom.lobes)


@pytest.fixture(scope="session")
def particle():
    return p80()


@pytest.fixture(scope="session")
def particle_map(particle):
    """Return the particle's map with noise of half its deviation."""
    clean = density(particle, BOX, PIXEL)
    return clean + (0.5 * clean.std() * np.random.default_rng(5).standard_normal(clean.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def atoms(particle):
    return atoms_of(particle)


@pytest.fixture(scope="session")
def moved():
    """Return a phantom turned by a matrix, then moved."""
    return lambda phantom, rotation, shift: replace(phantom, positions=phantom.positions @ rotation.T + shift)


@pytest.fixture(scope="session")
def atoms_like():
    return atoms_of
