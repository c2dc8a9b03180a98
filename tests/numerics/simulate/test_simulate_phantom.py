import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryoloom.numerics.simulate.phantom import p80, random_phantom, swung, symmetrised, without_lobe
from cryoloom.numerics.simulate.symmetry import point_group


def test_p80_has_the_figures_of_its_definition():
    phantom = p80()
    assert np.bincount(phantom.lobes).tolist() == [900, 375, 225]
    assert phantom.radius_of_gyration == pytest.approx(40.0, abs=3.0)
    middle = phantom.positions[phantom.lobes == 0].mean(axis=0)
    assert np.linalg.norm(phantom.positions - middle, axis=1).max() == pytest.approx(79.0, abs=4.0)
    assert phantom.b_factors.min() >= 60.0 and phantom.b_factors.max() <= 80.0
    assert np.abs(phantom.weights @ phantom.positions).max() / phantom.mass < 1e-9


def test_chains_are_connected_and_do_not_clash():
    phantom = p80()
    nearest = cKDTree(phantom.positions).query(phantom.positions, k=2)[0][:, 1]
    assert np.quantile(nearest, 0.01) > 1.3  # lobes may interlock; within a lobe nothing is nearer than 2.5 Å
    steps = np.linalg.norm(np.diff(phantom.positions, axis=0), axis=1)
    assert np.mean(np.abs(steps - 3.8) < 0.1) > 0.9


def test_helices_are_right_handed():
    phantom = p80()
    a, b, c, d = (phantom.positions[i : i - 3 or None] for i in range(4))
    bonds = (b - a, c - b, d - c)
    n1, n2 = np.cross(bonds[0], bonds[1]), np.cross(bonds[1], bonds[2])
    dihedral = np.arctan2(
        np.einsum("ij,ij->i", np.cross(n1, n2), bonds[1]) / np.linalg.norm(bonds[1], axis=1), np.einsum("ij,ij->i", n1, n2)
    )
    helical = np.abs(np.abs(np.rad2deg(dihedral)) - 50.0) < 5.0
    assert helical.mean() > 0.4
    assert np.mean(dihedral[helical] > 0.0) > 0.95


def test_a_phantom_is_a_function_of_its_seed():
    assert np.array_equal(random_phantom(7, 80.0).positions, random_phantom(7, 80.0).positions)
    assert not np.allclose(random_phantom(7, 80.0, 300).positions[:100], random_phantom(8, 80.0, 300).positions[:100])


def test_conformations_share_the_frame():
    whole = p80()
    shorter, bent = without_lobe(whole, 2), swung(whole, 1)
    assert len(shorter.weights) == 1275 and np.array_equal(shorter.positions, whole.positions[:1275])
    still = whole.lobes != 1
    assert np.array_equal(bent.positions[still], whole.positions[still])
    moved = np.linalg.norm(bent.positions - whole.positions, axis=1)[~still]
    assert 10.0 < moved.mean() < 25.0
    inner = [np.linalg.norm(p.positions[~still] - p.positions[~still].mean(axis=0), axis=1) for p in (whole, bent)]
    assert np.allclose(*inner)


@pytest.mark.parametrize(("group", "order"), [("C4", 4), ("D2", 4), ("T", 12), ("O", 24), ("I", 60), ("I1", 60), ("I3", 60), ("I4", 60)])
def test_symmetric_phantoms_fall_onto_themselves(group, order):
    operators = point_group(group)
    assert len(operators) == order
    assert np.allclose(np.linalg.det(operators), 1.0)
    phantom = symmetrised(p80(), group)
    tree = cKDTree(phantom.positions)
    for operator in operators:
        assert tree.query(phantom.positions @ operator.T)[0].max() < 1e-6
    assert 1000 < len(phantom.weights) < 9000
    assert phantom.mass == pytest.approx(p80().mass)


def test_icosahedral_axes_are_relions():
    golden = np.array([0.525731112119134, 0.0, 0.850650808352040])
    fivefold = [g for g in point_group("I2") if np.allclose(g @ golden, golden)]
    assert len(fivefold) == 5
    with pytest.raises(ValueError, match="I5"):
        point_group("I5")


@pytest.mark.parametrize("seed", range(4))
def test_random_phantoms_have_the_size_asked_for(seed):
    phantom = random_phantom(seed, 120.0)
    assert 0.8 * 60.0 < phantom.radius < 1.05 * 60.0
    assert len(np.unique(phantom.lobes)) >= 2


def test_a_phantom_grows_even_where_it_hardly_fits():
    assert len(random_phantom(1, 60.0, 400).weights) == 400
