import numpy as np
import pytest

from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import flip_hand, geodesic_angle, random_rotations
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.symmetry import point_group


def posed(mirrored, *, count=400, spread=0.02, wrong=0.2, seed=3):
    rng = np.random.default_rng(seed)
    true, origins = random_rotations(count, rng), rng.normal(size=(count, 2)) * 5
    q, u = random_rotations(1, rng)[0], np.array([3.0, -2.0, 1.0])
    noise = rng.normal(size=(count, 3)) * spread
    found = rotation_from_vector(noise) @ (flip_hand(true) if mirrored else true) @ q
    found[: int(wrong * count)] = random_rotations(int(wrong * count), rng)
    shifts = origins + found[:, :2] @ u + rng.normal(size=(count, 2)) * 0.1
    return found, shifts, true, origins, q, u, np.rad2deg(np.linalg.norm(noise, axis=1))


@pytest.mark.parametrize("mirrored", [False, True])
def test_frame_hand_and_offset_are_found(mirrored):
    found, shifts, true, origins, q, u, noise = posed(mirrored)
    agreement = compare_poses(found, shifts, true, origins)
    assert agreement.mirrored is mirrored
    assert geodesic_angle(agreement.rotation, q) < 0.3
    assert np.allclose(agreement.offset, u, atol=0.05)
    assert np.median(agreement.angles[80:]) == pytest.approx(np.median(noise[80:]), rel=0.1)
    assert np.median(agreement.shifts[80:]) == pytest.approx(0.118, rel=0.15)
    assert np.mean(agreement.angles < 5) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("name", "mirrored"), [("C4", False), ("D2", True), ("I3", True)])
def test_mates_of_a_symmetric_particle_are_one_pose(name, mirrored):
    group = point_group(name)
    found, shifts, true, origins, _, _, noise = posed(mirrored)
    asked = group.mates(true)[np.arange(400), np.random.default_rng(9).integers(0, group.order, 400)]
    agreement = compare_poses(found, shifts, asked, origins, group=group)
    assert np.median(agreement.angles[80:]) == pytest.approx(np.median(noise[80:]), rel=0.15)
    assert np.median(compare_poses(found, shifts, asked, origins).angles) > 20


def test_random_poses_do_not_agree():
    rng = np.random.default_rng(4)
    agreement = compare_poses(random_rotations(300, rng), np.zeros((300, 2)), random_rotations(300, rng), np.zeros((300, 2)))
    assert np.median(agreement.angles) > 90


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="equally many"):
        compare_poses(np.eye(3)[None], np.zeros((1, 2)), np.eye(3)[None].repeat(2, 0), np.zeros((2, 2)))
