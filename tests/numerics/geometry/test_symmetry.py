"""Against the simulator's groups and RELION's, neither of which shares code with the product's."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.geometry.symmetry import NoSuchGroup, point_group
from cryoloom.numerics.simulate.symmetry import point_group as simulated_group

ORDERS = {"C1": 1, "C4": 4, "C7": 7, "D1": 2, "D2": 4, "D3": 6, "D7": 14, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60, "I3": 60, "I4": 60}


def same_set(one, two, tolerance):
    return len(one) == len(two) and np.abs(one[:, None] - two[None]).max(axis=(2, 3)).min(axis=1).max() < tolerance


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_groups_are_closed_and_are_the_simulators(name, order):
    group = point_group(name.lower())
    assert group.order == order and np.array_equal(group.operators[0], np.eye(3))
    assert np.allclose(np.linalg.det(group.operators), 1.0)
    products = np.einsum("aij,bjk->abik", group.operators, group.operators).reshape(-1, 3, 3)
    assert np.abs(products[:, None] - group.operators[None]).max(axis=(2, 3)).min(axis=1).max() < 1e-9
    assert same_set(np.swapaxes(group.operators, 1, 2), group.operators, 1e-9)
    assert same_set(group.operators, simulated_group(name), 1e-9)


@pytest.mark.parametrize("name", ["C4", "D3", "T", "O", "I1", "I2", "I3", "I4"])
def test_operators_are_those_relion_prints(name):
    if not shutil.which("relion_refine"):
        pytest.skip("RELION is not installed")
    text = subprocess.run(["relion_refine", "--sym", name, "--print_symmetry_ops"], capture_output=True, text=True, check=False).stdout
    rows = re.findall(r"^ *(-?[\d.e-]+) +(-?[\d.e-]+) +(-?[\d.e-]+) *$", text, flags=re.MULTILINE)
    theirs = np.array(rows, dtype=np.float64).reshape(-1, 3, 3)
    assert same_set(point_group(name).operators, theirs, 1e-4)


def test_icosahedral_settings_are_turned_against_each_other():
    quarter, half = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.diag([-1.0, -1.0, 1.0])
    for one, two, turn in (("I1", "I2", quarter), ("I3", "I4", half)):
        assert same_set(turn @ point_group(one).operators @ turn.T, point_group(two).operators, 1e-9)
        assert not same_set(point_group(one).operators, point_group(two).operators, 1e-3)


@pytest.mark.parametrize("name", ["C5", "D2", "D7", "T", "O", "I2", "I3"])
def test_every_pose_has_one_mate_in_the_asymmetric_unit(name):
    group, poses = point_group(name), random_rotations(400, np.random.default_rng(1))
    inside = group.in_unit(group.mates(poses)[:, :, 2])
    assert (inside.sum(axis=1) == 1).all()
    reduced = group.reduced(poses)
    assert group.in_unit(reduced[:, 2]).all() and group.angle(reduced, poses).max() < 1e-4
    assert np.allclose(group.reduced(reduced), reduced)
    wider = group.in_unit(poses[:, 2], margin=7.5)
    assert (wider | ~group.in_unit(poses[:, 2])).all() and wider.mean() > 1.1 / group.order


def test_the_asymmetric_unit_of_dihedral_groups_is_a_wedge_above_the_equator():
    directions = random_rotations(2000, np.random.default_rng(2))[:, 2]
    rot = np.rad2deg(np.arctan2(directions[:, 1], directions[:, 0]))
    assert np.array_equal(point_group("D3").in_unit(directions), (np.abs(rot) <= 60) & (directions[:, 2] >= 0))


def test_angles_are_taken_to_the_nearest_mate():
    group, rng = point_group("O"), np.random.default_rng(3)
    one, two = random_rotations(50, rng), random_rotations(50, rng)
    mates = group.mates(one)
    written_out = np.array([[np.trace(mate @ b.T) for mate in each] for each, b in zip(mates, two, strict=True)]).max(axis=1)
    assert np.allclose(group.cosine(one, two), (written_out - 1) / 2)
    assert np.allclose(group.angle(one, two), group.angle(mates[:, 5], two))


@pytest.mark.parametrize(
    ("name", "fix", "says"),
    [
        ("I5", "I2", "none defines it"), ("C4v", "C4", "mirrors"), ("Td", "T", "mirrors"), ("d2h", "D2", "mirrors"), ("S8", "C4", "mirrors"),
        ("Ci", "C1", "mirrors"), ("I3h", "I3", "mirrors"), ("D9x", "D9", "no such"), ("C0", "C1", "no such"), ("C100", "C1", "no such"),
        ("tetrahedral", "T", "T, O and I1"),
    ],
)  # fmt: skip
def test_names_that_are_no_rotation_group_are_refused(name, fix, says):
    with pytest.raises(NoSuchGroup, match=says) as refusal:
        point_group(name)
    assert refusal.value.fix == fix and point_group(fix).name == fix
