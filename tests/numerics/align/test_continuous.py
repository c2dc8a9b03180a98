"""What is fitted beside poses, on images made by formula from a phantom."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.continuous import FROZEN, cost_of, fit_images
from cryoloom.numerics.align.local_optics import new_defocus, shared_changes
from cryoloom.numerics.ctf.electron import electron_wavelength
from cryoloom.numerics.ctf.model import ctf, ctf_phase
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.reconstruct.grids import reference_grid
from cryoloom.numerics.reconstruct.kernels import gather

BOX, SIZE = 48, 3.0
MICROSCOPE = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
COUNT = 6


@pytest.fixture(scope="module")
def scene(blobs):
    plane = HalfPlane.of(BOX, 20)
    grid = reference_grid(blobs(BOX).volume(), 22.0, BOX)
    x, y = (torch.from_numpy(k.astype(np.float64) / (BOX * SIZE))[None] for k in (plane.kx, plane.ky))
    rng = np.random.default_rng(5)
    return plane, grid, x, y, random_rotations(COUNT, rng)


def projections(scene, magnification):
    plane, grid, _, _, rotations = scene
    out = np.empty((COUNT, len(plane.kx), 2), np.float32)
    gather(grid, plane.kx, plane.ky, (rotations * magnification).astype(np.float32), out)
    return out.view(np.complex64)[..., 0]


def fitted(scene, grey=0.0, magnification=0.0, defocus=(0.0, 0.0, 0.0), *, noise=0.0, bounds=(0.5, 0.04, 600.0, 300.0, 300.0)):
    """Return what is found of images that are off by so much."""
    plane, grid, x, y, rotations = scene
    u, v, angle = new_defocus(np.array([12300.0]), np.array([11900.0]), np.array([30.0]), *(np.array([each]) for each in defocus))
    images = (1 + grey) * projections(scene, 1 + magnification) * ctf(x, y, float(u[0]), float(v[0]), float(angle[0]), **MICROSCOPE).numpy()
    power = float(np.mean(np.abs(images) ** 2))
    rng = np.random.default_rng(6)
    images = images + np.sqrt(0.5 * noise * power) * (rng.normal(size=images.shape) + 1j * rng.normal(size=images.shape))
    phase = np.repeat(ctf_phase(x, y, 12300.0, 11900.0, 30.0, 0.0, **MICROSCOPE).numpy(), COUNT, axis=0)
    path = np.pi * electron_wavelength(300.0) * (x * x + y * y).numpy()
    twice = 2 * np.arctan2(plane.ky, plane.kx).astype(np.float64)
    double = np.stack([np.cos(twice), np.sin(twice)], axis=1)
    bounds = np.array(bounds)
    precisions = np.where(bounds > 0, 1e-9 / np.maximum(bounds, 1e-9) ** 2, FROZEN)
    values, curvatures, told = np.zeros((COUNT, 5)), np.zeros((COUNT, 5, 5)), np.zeros((COUNT, 3))
    inverse = np.full(images.shape, 1 / (max(noise, 1e-3) * power), np.float32)
    fit_images(
        grid, plane.kx, plane.ky, BOX, rotations, np.zeros((COUNT, 2)), images.astype(np.complex64), np.ones(COUNT, np.float32), inverse,
        np.sin(phase).astype(np.float32), np.full(COUNT, bounds[2] > 0), phase, np.repeat(path, COUNT, axis=0), double, precisions, bounds,
        values, curvatures, told,
    )  # fmt: skip
    return values, curvatures, told


def test_what_is_off_is_found(scene):
    planted = {"grey": 0.2, "magnification": 0.015, "defocus": (350.0, 90.0, -120.0)}
    values, _, told = fitted(scene, **planted)
    assert np.allclose(values[:, 0], 0.2, atol=0.01) and np.allclose(values[:, 1], 0.015, atol=1e-3)
    assert np.allclose(values[:, 2:], [planted["defocus"]], atol=15.0)
    cross, norm, power = told.T
    assert np.all(cross / np.sqrt(norm * power) > 0.99)


def test_what_may_not_change_does_not_and_bounds_hold(scene):
    values, *_ = fitted(scene, grey=0.4, defocus=(900.0, 0.0, 0.0), bounds=(0.0, 0.0, 300.0, 0.0, 0.0))
    assert np.abs(values[:, [0, 1, 3, 4]]).max() < 1e-6
    assert np.abs(values[:, 2]).max() <= 300.0


def test_errors_are_as_large_as_the_curvature_says(scene):
    values, curvatures, _ = fitted(scene, defocus=(100.0, 0.0, 0.0), noise=4.0, bounds=(0.0, 0.0, 600.0, 0.0, 0.0))
    expected = 1 / np.sqrt(curvatures[:, 2, 2])
    ratio = np.sqrt(np.mean(((values[:, 2] - 100.0) / expected) ** 2))
    assert 0.3 < ratio < 2.2


def test_derivatives_are_the_slopes_of_the_cost(scene):
    plane, _, x, y, _ = scene
    phase = ctf_phase(x, y, 12300.0, 11900.0, 30.0, 0.0, **MICROSCOPE).numpy()[0]
    path = np.pi * electron_wavelength(300.0) * (x * x + y * y).numpy()[0]
    twice = 2 * np.arctan2(plane.ky, plane.kx).astype(np.float64)
    double = np.stack([np.cos(twice), np.sin(twice)], axis=1)
    rng = np.random.default_rng(7)
    shown, slope = (rng.normal(size=(len(plane.kx), 2)).astype(np.float32) for _ in range(2))
    image = (rng.normal(size=len(plane.kx)) + 1j * rng.normal(size=len(plane.kx))).astype(np.complex64)
    inverse = np.ones(len(plane.kx), np.float32)
    gradient, curvature = np.empty(5), np.empty((5, 5))
    values = np.array([0.1, 0.01, 80.0, 30.0, -20.0])

    def cost(at):
        return cost_of(at, np.zeros(1, np.float32), True, phase, path, double, shown, slope, image, inverse, gradient, curvature)

    cost(values)
    found = gradient.copy()
    for axis, step in enumerate((1e-3, 1e-3, 0.1, 0.1, 0.1)):
        nudge = np.eye(5)[axis] * step
        assert found[axis] == pytest.approx((cost(values + nudge) - cost(values - nudge)) / (2 * step), rel=1e-3, abs=1e-3)


def test_particles_of_a_micrograph_share_what_they_have_in_common():
    rng = np.random.default_rng(8)
    group = np.arange(400) // 40
    common, own = rng.normal(0, 150.0, 10), rng.normal(0, 30.0, 400)
    truth = common[group] + own
    told = truth + rng.normal(0, 200.0, 400)
    found = shared_changes(told, np.full(400, 200.0**-2), group, 400.0)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 55.0
    certain = shared_changes(truth, np.full(400, 1.0), group, 400.0)
    assert np.sqrt(np.mean((certain - truth) ** 2)) < 5.0


def test_no_change_of_defocus_leaves_it():
    u, v, angle = new_defocus(np.array([12000.0]), np.array([11000.0]), np.array([-70.0]), *(np.zeros(1),) * 3)
    assert (u[0], v[0], angle[0]) == pytest.approx((12000.0, 11000.0, -70.0))
