"""What is reported of 2D classes: how exactly poses are known, and averages that stand upright."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.align.class2d_upright import upright_angles
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.fourier.transforms import shift_images

BOX, PIXEL, MASK, COUNT = 32, 5.0, 120.0, 240


@pytest.fixture(scope="module")
def rods():
    """One rod, thick at one end, turned and shifted at random; the settled classification; the angles and shifts."""
    from scipy.ndimage import rotate

    rng, axis = np.random.default_rng(2), np.arange(BOX) - BOX // 2
    beads = [(-8.0, 0.0), (-5.0, 0.6), (-2.0, -0.4), (1.0, 0.5), (4.0, 1.5), (4.0, -1.5), (7.0, 0.0), (-1.0, 0.2)]
    rod = sum(np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 4.0) for x, y in beads)
    psi, shifts = rng.uniform(0, 360, COUNT), rng.normal(0, 1.0, (COUNT, 2))
    clean = torch.from_numpy(np.stack([rotate(rod / rod.std(), angle, reshape=False, order=3) for angle in psi]))
    images = (0.6 * shift_images(clean, torch.from_numpy(shifts)).numpy() + rng.normal(size=clean.shape)).astype(np.float32)
    shape = prepare.geometry(BOX, PIXEL, MASK, 11.0)
    observed = prepare.observations(iter([(images, None, Optics(300.0, 2.7, 0.1))]), shape, PIXEL, MASK)
    settings = schedule.Settings(classes=1, iterations=8, final_iterations=1, batch=COUNT, start_band=shape.start_band, reach=shape.reach)
    group = torch.zeros(COUNT, dtype=torch.int64)
    task = schedule.Task(observed, group, prepare.half_sets(COUNT, 1), shape.frame, settings, 1, 1)
    state = schedule.begin(task)
    while state["iteration"] < task.iterations(state):
        state = schedule.iterate(task, state)
    return task, state, shape, images, psi, shifts


def test_the_accuracy_of_a_class_is_the_error_of_its_poses(rods):
    task, state, shape, _, psi, shifts = rods
    found = prepare.outcome(task, state, shape)
    # The turn of the rod when its image is brought to the average, less what the average itself is turned by.
    apart = np.angle(np.exp(1j * np.deg2rad(found.psi - psi)))
    centre = np.angle(np.exp(1j * apart).mean())
    off = np.rad2deg(np.angle(np.exp(1j * (apart - centre))))
    # Where the rod's middle lies in the average is the average's own: it turns with the image.
    away = found.origin / PIXEL + shifts - 0.5  # SciPy turns about the middle between pixels
    cosine, sine = np.cos(np.deg2rad(psi)), np.sin(np.deg2rad(psi))
    own = np.stack([cosine * away[:, 0] - sine * away[:, 1], sine * away[:, 0] + cosine * away[:, 1]], axis=1)
    away = own - own.mean(axis=0)
    assert found.accuracy_rotations[0] / 3.03 == pytest.approx(1.4826 * np.median(np.abs(off)), rel=0.4)
    assert found.accuracy_translations[0] / PIXEL / 3.03 == pytest.approx(1.4826 * np.median(np.abs(away)), rel=0.4)


def test_averages_stand_upright_and_members_still_superpose(rods):
    from scipy.ndimage import rotate

    task, state, shape, images, _, _ = rods
    plain, vertical = (prepare.outcome(task, state, shape, vertical=each) for each in (False, True))
    assert abs(np.rad2deg(upright_angles(vertical.averages)[0])) < 2.0 < abs(np.rad2deg(upright_angles(plain.averages)[0]))
    assert np.allclose(plain.origin, vertical.origin, atol=1e-3) and np.allclose(plain.match, vertical.match, atol=1e-2)
    moved = shift_images(torch.from_numpy(images), torch.from_numpy(vertical.origin / PIXEL)).numpy()
    # SciPy turns from +y towards +x.
    mean = np.mean([rotate(one, -psi, reshape=False, order=1) for one, psi in zip(moved, vertical.psi, strict=True)], axis=0)
    axis = np.arange(BOX) - BOX // 2
    inside = np.hypot(axis[:, None], axis) < 11
    assert abs(np.rad2deg(upright_angles((mean * inside)[None])[0])) < 4.0
