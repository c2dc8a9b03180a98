import numpy as np
import pytest

from cryoloom.numerics.align.class_accuracy import pose_errors, with_reference
from cryoloom.numerics.align.expectation import Effort, Pass
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.align.reference_noise import Sample
from cryoloom.numerics.align.refine import residual_noise
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.symmetry import C1
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.grids import reference_grid

BOX, PIXEL, COUNT, BAND = 40, 4.0, 200, 14
EVERY = np.arange(COUNT)


@pytest.fixture(scope="module")
def views(blobs, project, image_set):
    """Images of a phantom, their truth, and two maps of it, each with noise of its own."""
    particle = blobs(BOX)
    stack, truth = project(particle, COUNT, snr=0.15, pixel_size=PIXEL, shift=1.0), particle.volume()
    rng, mask = np.random.default_rng(2), spherical_mask(BOX, 0.45 * BOX, 3.0)
    noisy = [(truth + 0.02 * truth.max() * rng.normal(size=truth.shape)).astype(np.float32) * mask for _ in range(2)]
    return stack, image_set(stack, PIXEL, 0.9 * BOX * PIXEL), truth * mask, noisy


def found_in(volume, stack, images):
    """Return the posterior of poses sought near the true ones, the noise that leaves, and the measured errors of an axis and of shift."""
    noise, grid = images.total_power(), reference_grid(volume, BAND, BOX)
    for _ in range(2):
        effort = Effort(BAND, np.zeros((1, 2)), PosePrior(0.5))
        found = Pass(images, EVERY, grid, None, noise, effort, stack.rotations, stack.shifts, known=True).block(slice(0, COUNT))
        noise = residual_noise(noise, found.residual, found.counts, images.coverage)
    poses = found.posterior
    agreement = compare_poses(poses.rotations[:, 0], poses.shifts[:, 0], stack.rotations, stack.shifts, either_hand=False)
    measured = np.array([np.sqrt(np.mean(np.deg2rad(agreement.angles) ** 2) / 3), np.sqrt(np.mean(agreement.shifts**2) / 2)])
    return poses, noise, measured


@pytest.mark.parametrize("exact", [True, False])
def test_expected_errors_are_the_measured_ones_however_noisy_the_reference(views, exact):
    stack, images, truth, noisy = views
    halves = (truth, truth) if exact else (noisy[0], noisy[1])
    found, noise, measured = found_in(halves[0], stack, images)
    sample = Sample.of(images, EVERY, images.plane.within(BAND), noise, PosePrior(0.5), found)
    inflation = sample.inflation(halves, BOX)
    added = 0.5 * sample.differences(reference_grid(one, BAND, BOX) for one in halves)
    alone = pose_errors(found, C1)
    assert with_reference(alone, inflation, added).mean(axis=0) == pytest.approx(measured, rel=0.25)
    if exact:
        assert inflation == pytest.approx(1.0, abs=0.05) and not added.any()
    else:
        assert alone[:, 0].mean() < 0.75 * measured[0]


def test_without_signal_nothing_is_known_of_poses(views):
    stack, images, _, _ = views
    rng = np.random.default_rng(4)
    halves = [rng.normal(size=(BOX,) * 3).astype(np.float32) for _ in range(2)]
    found, noise, _ = found_in(halves[0], stack, images)
    sample = Sample.of(images, EVERY, images.plane.within(BAND), noise, PosePrior(0.5), found)
    assert np.isinf(sample.inflation((halves[0], halves[1]), BOX)).all()
