import numpy as np
import pytest

from cryoloom.numerics.simulate.phantom import Phantom, p80
from cryoloom.numerics.simulate.poses import pose_matrix, preferred_poses, uniform_poses, viewing_directions
from cryoloom.numerics.simulate.projection import density, project, project_transform


@pytest.fixture(scope="module")
def small():
    """A few dozen wide atoms in a box of 48 px of 1 Å: so fine that samples and band limit agree."""
    rng = np.random.default_rng(5)
    return Phantom(rng.normal(0.0, 5.0, (40, 3)), rng.uniform(0.5, 2.0, 40), rng.uniform(280.0, 420.0, 40), np.zeros(40, dtype=np.int64))


def reference_density(phantom, points):
    """The sum of Gaussians itself."""
    variance = phantom.b_factors / (8.0 * np.pi**2)
    squared = ((points[..., None, :] - phantom.positions) ** 2).sum(axis=-1)
    return (phantom.weights * np.exp(-squared / (2.0 * variance)) / (2.0 * np.pi * variance) ** 1.5).sum(axis=-1)


@pytest.mark.parametrize("seed", range(3))
def test_a_projection_is_the_line_integral_of_the_density(small, seed):
    pose = pose_matrix(*uniform_poses(1, np.random.default_rng(seed))[0])
    image = project(small, pose, 48, 1.0)
    axis = np.arange(48) - 24.0
    depth = np.arange(-40.0, 40.0, 0.5)
    for row, column in [(24, 24), (20, 31), (30, 18), (26, 21)]:
        # Points along the line of sight in the image's frame, carried back into the map's by the transposed pose.
        line = np.stack([np.full_like(depth, axis[column]), np.full_like(depth, axis[row]), depth], axis=1) @ pose
        integral = reference_density(small, line).sum() * 0.5
        assert image[row, column] == pytest.approx(integral, abs=1e-4 * float(image.max()))


def test_the_map_is_the_density(small):
    volume = density(small, 48, 1.0)
    z, y, x = 20, 27, 23
    point = np.array([[x - 24.0, y - 24.0, z - 24.0]])
    assert volume[z, y, x] == pytest.approx(reference_density(small, point)[0], abs=1e-4 * float(volume.max()))
    assert np.allclose(volume.sum(axis=0), project(small, np.eye(3), 48, 1.0), atol=1e-5 * volume.sum(axis=0).max())


def test_projections_are_central_slices_in_relions_convention():
    # The matrix written out as RELION documents it, so that a wrong product of rotations would show.
    rot, tilt, psi = 25.0, 70.0, -110.0
    (ca, cb, cg), (sa, sb, sg) = np.cos(np.deg2rad([rot, tilt, psi])), np.sin(np.deg2rad([rot, tilt, psi]))
    matrix = np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )
    assert np.allclose(pose_matrix(rot, tilt, psi), matrix)
    assert np.allclose(viewing_directions(np.array([[rot, tilt, psi]]))[0], matrix[2])
    phantom, box, pixel_size = p80(), 64, 4.0
    transform = project_transform(phantom, matrix, box, pixel_size)
    for ky, kx in [(0, 5), (3, 2), (-7, 4), (11, 9)]:
        frequency = np.array([kx, ky, 0.0]) / (box * pixel_size)
        wave = np.exp(-2j * np.pi * phantom.positions @ (matrix.T @ frequency))
        slice_value = (phantom.weights * np.exp(-phantom.b_factors * (frequency @ frequency) / 4.0) * wave).sum() / pixel_size**2
        origin = np.exp(-2j * np.pi * (kx + ky) * (box // 2) / box)
        assert abs(transform[ky, kx] - slice_value * origin) < 1e-4 * abs(transform[0, 0])


def test_the_mirrored_phantom_seen_along_the_mirrored_pose_gives_the_same_image():
    phantom, mirror = p80(), np.diag([1.0, 1.0, -1.0])
    rot, tilt, psi = 40.0, 65.0, 15.0
    same = project(phantom.mirrored(), pose_matrix(rot + 180.0, tilt, psi + 180.0), 64, 4.0)
    image = project(phantom, pose_matrix(rot, tilt, psi), 64, 4.0)
    assert np.allclose(mirror @ pose_matrix(rot, tilt, psi) @ mirror, pose_matrix(rot + 180.0, tilt, psi + 180.0))
    assert np.allclose(same, image, atol=1e-4 * image.max())
    other = project(phantom.mirrored(), pose_matrix(rot, tilt, psi), 64, 4.0)
    assert np.corrcoef(other.ravel(), image.ravel())[0, 1] < 0.95


def test_coarse_pixels_are_band_limited_not_aliased():
    pose = pose_matrix(10.0, 50.0, 20.0)
    fine = project_transform(p80(), pose, 256, 1.0)
    coarse = project_transform(p80(), pose, 64, 4.0)
    # Both have their centre at n // 2, so the low frequencies of the fine image are those of the coarse one.
    rows = np.concatenate([np.arange(0, 32), np.arange(-31, 0)])
    assert np.allclose(coarse[rows][:, :32] * 16.0, fine[rows][:, :32], atol=1e-4 * abs(fine[0, 0]))
    assert not coarse[32].any() and not coarse[:, 32].any()


@pytest.mark.parametrize("box", [63, 64])
def test_a_shift_moves_the_particle_there(box):
    image = project(p80(), np.eye(3), box, 4.0, shift=(12.0, -20.0))
    y, x = np.mgrid[:box, :box] - box // 2
    assert (image * x).sum() / image.sum() * 4.0 == pytest.approx(12.0, abs=0.1)
    assert (image * y).sum() / image.sum() * 4.0 == pytest.approx(-20.0, abs=0.1)
    assert image.sum() * 16.0 == pytest.approx(p80().mass, rel=1e-5)


def test_uniform_and_preferred_views():
    rng = np.random.default_rng(0)
    uniform = viewing_directions(uniform_poses(20_000, rng))
    assert np.abs(uniform.mean(axis=0)).max() < 0.02
    assert np.allclose(uniform.T @ uniform / len(uniform), np.eye(3) / 3.0, atol=0.01)
    views = viewing_directions(preferred_poses(20_000, 0.7, 25.0, rng))
    poles = viewing_directions(np.array([(30.0, 40.0, 0.0), (-100.0, 80.0, 0.0)]))
    near = (views @ poles.T).max(axis=1) >= np.cos(np.deg2rad(25.0))
    uniform_near = (uniform @ poles.T).max(axis=1) >= np.cos(np.deg2rad(25.0))
    assert near.mean() == pytest.approx(0.7 + 0.3 * uniform_near.mean(), abs=0.015)
