from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.grids import with_mates
from cryoloom.numerics.reconstruct.kernels import empty_grid, scatter
from cryoloom.numerics.reconstruct.sums import divided
from cryoloom.numerics.reconstruct.symmetry import interpolate, spline_of, symmetric_map, symmetrise, turned_map
from cryoloom.numerics.simulate.phantom import p80, symmetrised
from cryoloom.numerics.simulate.projection import density

BOX = 32


def symmetric_blobs(blobs, name):
    """A phantom made of copies of a few blobs near the centre."""
    group = point_group(name)
    few = 0.5 * blobs(BOX).centres[: max(2, 60 // group.order)] + np.array([1.5, 2.5, 2.0])
    return group, replace(blobs(BOX), centres=np.concatenate([few @ operator.T for operator in group.operators]))


def sums_of(stack, rotations):
    plane = HalfPlane.of(BOX, BOX // 2)
    sums, ones = empty_grid(plane.radius, 4), np.ones(len(plane.kx), np.float32)
    for rotation, one in zip(rotations.astype(np.float32), plane.of_images(stack.images), strict=True):
        scatter(sums, plane.kx, plane.ky, len(plane.kx), rotation, one.view(np.float32).reshape(-1, 2), ones)
    return with_mates(sums)


@pytest.mark.parametrize("name", ["C3", "D2", "D7", "T", "O", "I2", "I3"])
def test_symmetrised_sums_are_those_of_images_at_all_their_mates(blobs, project, name):
    group, phantom = symmetric_blobs(blobs, name)
    stack = project(phantom, 150, shift=0.0, contrast=False)
    mates = sum(sums_of(stack, stack.rotations @ operator) for operator in group.operators)
    sums = symmetrise(sums_of(stack, stack.rotations), group)
    assert sums[..., 2].sum(dtype=np.float64) == pytest.approx(mates[..., 2].sum(dtype=np.float64), rel=0.01)
    found, wanted = divided(sums, BOX // 2, BOX, BOX, group=group), divided(mates, BOX // 2, BOX, BOX)
    assert np.linalg.norm(found - wanted) < (0.1 if not group.on_grid.all() else 1e-3) * np.linalg.norm(wanted)
    truth = phantom.volume()
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.998
    if group.on_grid.all():
        assert np.allclose(sums, mates, atol=1e-3 * np.abs(mates).max())


@pytest.mark.parametrize("name", ["C3", "T", "O", "I2"])
def test_a_pose_and_its_mate_make_the_same_symmetric_map(blobs, project, name):
    group, phantom = symmetric_blobs(blobs, name)
    stack = project(phantom, 150, shift=0.0, contrast=False)
    moved = stack.rotations @ group.operators[np.random.default_rng(1).integers(0, group.order, 150)].transpose(0, 2, 1)
    one, two = (divided(symmetrise(sums_of(stack, poses), group), BOX // 2, BOX, BOX, group=group) for poses in (stack.rotations, moved))
    assert np.linalg.norm(one - two) < 0.03 * np.linalg.norm(one)


@pytest.mark.parametrize("name", ["C4", "D2", "T", "O", "I1", "I2", "I3", "I4"])
def test_symmetric_phantoms_do_not_change_and_others_do(name):
    group = point_group(name)
    # Atoms as wide as the voxels can hold: cubic interpolation of finer ones would lose detail that the phantom has.
    own = density(symmetrised(p80().with_b_factor(2000.0), name), 40, 5.0)
    inside = np.s_[8:32, 8:32, 8:32]
    assert np.corrcoef(symmetric_map(own, group)[inside].ravel(), own[inside].ravel())[0, 1] > 0.999
    turned = turned_map(own, group.operators[-1])
    assert np.corrcoef(turned[inside].ravel(), own[inside].ravel())[0, 1] > 0.998
    other = density(p80().with_b_factor(2000.0), 40, 5.0)
    assert np.corrcoef(symmetric_map(other, group)[inside].ravel(), other[inside].ravel())[0, 1] < 0.95


@pytest.mark.parametrize("fine", [False, True])
def test_a_spline_is_interpolated_to_the_bits_of_scipy(fine):
    rng = np.random.default_rng(3)
    spline = spline_of(rng.normal(size=(17, 17, 17)), fine=fine)
    for rotation in (*random_rotations(3, rng), np.eye(3)):
        matrix = len(spline) / 20 * rotation
        offset = len(spline) // 2 - matrix @ np.full(3, 10.0) + rng.normal(size=3)
        found = np.empty((20, 20, 20))
        interpolate(spline, matrix, offset, found)
        assert np.array_equal(found, affine_transform(spline, matrix, offset, output_shape=found.shape, output=np.float64, prefilter=False))
        assert (found == 0).any() and (found != 0).any()
