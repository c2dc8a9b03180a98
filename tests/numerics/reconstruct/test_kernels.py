import numpy as np
import pytest
import torch

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.reconstruct.grids import map_from_transform, reference_grid, with_mates
from cryoloom.numerics.reconstruct.kernels import empty_grid, gather, scatter
from cryoloom.numerics.reconstruct.sums import divided


def slices(volume, plane, rotations, full_box=None):
    grid = reference_grid(volume, plane.radius, full_box or volume.shape[0])
    out = np.empty((len(rotations), len(plane.kx), 2), np.float32)
    gather(grid, plane.kx, plane.ky, rotations.astype(np.float32), out)
    return out.view(np.complex64)[..., 0]


@pytest.mark.parametrize("box", [32, 33])
def test_slices_match_projections_made_by_formula(blobs, project, box):
    phantom = blobs(box)
    stack = project(phantom, 20, shift=0.0, contrast=False)
    plane = HalfPlane.of(box, box // 2)
    wanted = plane.of_images(stack.images)
    found = slices(phantom.volume(), plane, stack.rotations)
    # Trilinear interpolation at twofold padding is a few per cent off at single coefficients, as it is everywhere it is used.
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()
    correlation = np.real(np.vdot(found, wanted)) / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert correlation > 0.9999


def test_a_smaller_box_gives_the_same_slices_in_its_band(blobs, project):
    phantom = blobs(48)
    stack = project(phantom, 8, shift=0.0, contrast=False)
    plane = HalfPlane.of(48, 10)
    small = resample_volume(torch.from_numpy(phantom.volume()), 26).numpy()
    wanted = plane.of_images(stack.images)
    assert np.abs(slices(small, plane, stack.rotations, 48) - wanted).max() < 0.03 * np.abs(wanted).max()


def test_scattering_is_the_adjoint_of_gathering(blobs):
    box, rng = 24, np.random.default_rng(0)
    plane = HalfPlane.of(box, 11)

    rotations = random_rotations(5, rng)
    volume = rng.normal(size=(box, box, box)).astype(np.float32)
    values = rng.normal(size=(5, len(plane.kx), 2)).astype(np.float32)
    forward = slices(volume, plane, rotations)
    sums = empty_grid(plane.radius, 4)
    for rotation, one in zip(rotations.astype(np.float32), values, strict=True):
        scatter(sums, plane.kx, plane.ky, len(plane.kx), rotation, one, np.ones(len(plane.kx), np.float32))
    with_mates(sums)
    back = np.ascontiguousarray(sums[..., :2]).view(np.complex64)[..., 0]
    # Over the whole plane every coefficient but the first comes with its conjugate; the transform of size 2·box is not normalised.
    left = 2 * np.sum(forward.real * values[..., 0] + forward.imag * values[..., 1])
    right = np.sum(volume.astype(np.float64) * map_from_transform(back, box, box)) * (2 * box) ** 3
    assert left == pytest.approx(right, rel=1e-5)


def test_many_slices_give_the_map_back(blobs, project):
    box = 32
    phantom = blobs(box)
    stack = project(phantom, 1500, shift=0.0, contrast=False)
    plane = HalfPlane.of(box, 16)
    data = plane.of_images(stack.images)
    sums = empty_grid(plane.radius, 4)
    ones = np.ones(len(plane.kx), np.float32)
    for rotation, one in zip(stack.rotations.astype(np.float32), data, strict=True):
        scatter(sums, plane.kx, plane.ky, len(plane.kx), rotation, one.view(np.float32).reshape(-1, 2), ones)
    found = divided(with_mates(sums), 16, box, box)
    wanted = phantom.volume()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999
    assert np.abs(found - wanted).max() < 0.03 * wanted.max()
