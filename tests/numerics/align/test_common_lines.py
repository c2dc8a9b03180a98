import numpy as np
import pytest

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.common_lines import line_agreement
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import project

BOX, PIXEL_SIZE, LAST = 32, 7.0, 10


@pytest.fixture(scope="module")
def views():
    """Return projections as coefficients, every shell of one power, and their poses; the last two share a direction."""
    poses = uniform_poses(12, np.random.default_rng(2))
    poses[-1] = poses[-2] + [0.0, 0.0, 50.0]
    matrices = np.stack([pose_matrix(*pose) for pose in poses])
    plane = HalfPlane.of(BOX, LAST)
    images = plane.of_images(np.stack([project(p80(), matrix, BOX, PIXEL_SIZE) for matrix in matrices]))
    images[:, 0] = 0
    level = np.sqrt(plane.shell_power(images).mean(axis=0))
    level[0] = 1.0
    return plane, (images / level[plane.shell]).astype(np.complex64), matrices


def test_true_poses_agree_and_others_do_not(views):
    plane, images, matrices = views
    right = line_agreement(images, plane, matrices, LAST)
    assert np.nanmin(right.agreement(np.ones_like(right.found))) > 0.9
    wrong = line_agreement(images, plane, matrices[np.roll(np.arange(12), 5)], LAST)
    assert np.nanmean(wrong.agreement(np.ones_like(wrong.found))) < 0.4


def test_two_hands_mixed_disagree(views):
    plane, images, matrices = views
    mixed = matrices.copy()
    mirror = np.diag([1.0, 1.0, -1.0])
    mixed[::2] = mirror @ matrices[::2] @ mirror
    found = line_agreement(images, plane, mixed, LAST)
    same = (np.arange(12)[:, None] - np.arange(12)) % 2 == 0
    known = np.isfinite(found.found)
    assert found.found[known & same].mean() > 0.9 > 0.75 > found.found[known & ~same].mean()


def test_planes_that_are_nearly_one_tell_nothing(views):
    plane, images, matrices = views
    found = line_agreement(images, plane, matrices, LAST)
    assert np.isnan(found.found[10, 11]) and np.isnan(found.found[11, 10]) and np.isnan(np.diag(found.found)).all()
    assert np.array_equal(found.found, found.found.T, equal_nan=True)
    assert found.among(np.array([10, 11])).pairs == 0 and found.pairs <= 65
    alone = found.among(np.array([10, 11]))
    assert np.isnan(alone.agreement(np.ones((2, 2)))).all()


def test_the_same_bits_for_any_number_of_threads(views):
    plane, images, matrices = views
    one, two = (line_agreement(images, plane, matrices, LAST, threads) for threads in (1, 2))
    assert all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in ("found", "chance", "best"))
