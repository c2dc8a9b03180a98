import numpy as np
import pytest

from cryoloom.numerics.align.projection_matching import Frame, Views, image_views, map_views, match
from cryoloom.numerics.geometry.euler import euler_to_matrix, geodesic_angle, random_rotations
from cryoloom.numerics.geometry.sphere import disc_lattice, healpix_directions

BOX, FRAME, SHIFTS = 40, Frame(40, 13, 16.0), disc_lattice(2.3, 1.0)


@pytest.fixture(scope="module")
def truth(blobs):
    particle = blobs(BOX)
    rotations = random_rotations(24, np.random.default_rng(3))
    moved = np.random.default_rng(4).integers(-1, 2, (24, 2)).astype(float)
    return particle.volume(), rotations, moved, particle.projections(rotations, -moved)


@pytest.fixture(scope="module")
def sphere():
    rot, tilt = healpix_directions(3)
    return rot, tilt


def gallery(volume, sphere):
    return map_views(FRAME, volume, euler_to_matrix(*sphere, np.zeros(len(sphere[0]))))


def pose(found, sphere):
    best = found.correlation.argmax(axis=1)
    rows = np.arange(len(best))
    rotations = euler_to_matrix(sphere[0][best], sphere[1][best], found.psi[rows, best])
    return rotations, SHIFTS[found.shift[rows, best]], found.correlation.max(axis=1), found.distance[rows, best]


def test_images_are_matched_with_the_view_they_show_in_its_place(truth, sphere):
    volume, rotations, moved, images = truth
    found = match(FRAME, image_views(FRAME, images), gallery(volume, sphere), SHIFTS)
    poses, shifts, correlation, distance = pose(found, sphere)
    assert geodesic_angle(poses, rotations).max() < 8.0  # directions are 7.3 degrees apart
    assert np.abs(shifts - moved).max() == 0
    assert correlation.min() > 0.98 and distance.max() < 0.2
    assert np.median(found.correlation, axis=1).max() < 0.94 and np.median(found.distance, axis=1).min() > 1.5 * distance.max()


def test_a_view_in_the_very_pose_is_the_same_image(truth):
    volume, rotations, moved, images = truth
    found = match(FRAME, image_views(FRAME, images), map_views(FRAME, volume, rotations), np.zeros((1, 2)), centres=moved)
    assert np.diag(found.correlation).min() > 0.999 and np.diag(found.distance).max() < 0.05
    assert np.abs((np.diag(found.psi) + 180) % 360 - 180).max() < 0.5


def test_a_mirrored_image_is_the_view_from_the_other_side(truth, sphere):
    volume, rotations, _, images = truth
    mirrored = np.roll(images[:, :, ::-1], 1, axis=2)
    found = match(FRAME, image_views(FRAME, mirrored), gallery(volume, sphere), SHIFTS)
    poses, _, correlation, _ = pose(found, sphere)
    assert geodesic_angle(poses, np.diag([-1.0, 1.0, -1.0]) @ rotations).max() < 8.0
    assert correlation.min() > 0.98


def test_grey_scales_do_not_matter_and_an_image_of_nothing_is_like_nothing(truth, sphere):
    volume, _, _, images = truth
    views = gallery(3.0 * volume, sphere)
    both = np.concatenate([images[:2], 7.0 * images[:2] + 5.0, np.zeros((1, BOX, BOX), np.float32)])
    found = match(FRAME, image_views(FRAME, both), views, SHIFTS)
    assert np.allclose(found.correlation[:2], found.correlation[2:4], atol=1e-4)
    assert not found.correlation[4].any() and np.isfinite(found.psi).all()


def test_the_same_bits_for_any_number_of_threads(truth, sphere):
    volume, _, _, images = truth
    views, other = image_views(FRAME, images), gallery(volume, sphere)
    one, two = (match(FRAME, views, other, SHIFTS, threads=threads) for threads in (1, 2))
    for name in ("correlation", "distance", "psi", "shift"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    few = match(FRAME, Views(views.samples[:, :, :3]), other, SHIFTS)
    assert np.allclose(few.correlation, one.correlation[:3], atol=1e-5)
