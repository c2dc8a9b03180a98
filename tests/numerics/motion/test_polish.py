import numpy as np
import pytest

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.motion.polish import MotionPrior, likelihood_at, most_probable
from cryoloom.numerics.motion.prior_training import USUAL, axes_of, best, folds, held_out


@pytest.fixture
def places():
    return np.random.default_rng(4).uniform(0, 4000, (30, 2))


def smooth_motion(places, frames, size, rng):
    """Motion that near particles share: a few plane waves over the field, quick at first."""
    course = 1 - np.exp(-4 * np.arange(frames) / frames)
    waves = sum(rng.normal(size=2) * np.cos(places @ rng.normal(0, 1 / 1500, 2) + rng.uniform(0, 6))[:, None] for _ in range(4))
    return size * course[:, None, None] * waves[None]


def test_back_is_the_transpose_of_motion(places):
    prior, rng = MotionPrior.of(places, 7, 0.5, 2000.0, 0.8, 1.0), np.random.default_rng(0)
    one, two = rng.normal(size=(2, 7, 30, 2))
    assert np.vdot(prior.motion(one), two) == pytest.approx(np.vdot(one, prior.back(two)))


def test_velocities_have_the_size_and_the_kinship_asked_for(places):
    prior, rng = MotionPrior.of(places, 6, 0.5, 2000.0, 1e6, 1.0), np.random.default_rng(0)
    velocities = np.diff(np.stack([prior.motion(rng.normal(size=(6, 30, 2))) for _ in range(800)]), axis=1)
    assert velocities.std() == pytest.approx(0.5, rel=0.05)
    apart = np.linalg.norm(places[0] - places[1])
    assert np.corrcoef(velocities[..., 0, :].ravel(), velocities[..., 1, :].ravel())[0, 1] == pytest.approx(np.exp(-apart / 2000), abs=0.06)
    slow = MotionPrior.of(places, 6, 0.5, 2000.0, 1e-3, 1.0).motion(rng.normal(size=(6, 30, 2)))
    assert np.abs(np.diff(slow, n=2, axis=0)).max() < 0.02


def test_slopes_are_those_of_the_interpolated_likelihood():
    rng = np.random.default_rng(1)
    curves, at, slopes, none = (
        rng.normal(size=(2, 3, 9, 9)).astype(np.float32),
        rng.uniform(-2, 2, (2, 3, 2)),
        np.empty((2, 3, 2)),
        np.empty((2, 3, 2)),
    )
    likelihood_at(curves, at, slopes)
    for axis in range(2):
        step = np.zeros((2, 3, 2))
        step[1, 2, axis] = 1e-4
        rise = likelihood_at(curves, at + step, none) - likelihood_at(curves, at - step, none)
        assert slopes[1, 2, axis] == pytest.approx(rise / 2e-4, rel=1e-3, abs=1e-3)


def curves_of(told, error, side, step):
    """Return the log-likelihood of frames that say `told` ``(F, n, 2)`` px, each to `error`."""
    axis = (np.arange(side) - side // 2) * step
    curves = (
        -0.5 * ((axis - told[..., 0, None]) ** 2)[..., None, :] / error**2
        - 0.5 * ((axis - told[..., 1, None]) ** 2)[..., :, None] / error**2
    )
    return curves.astype(np.float32)


def test_motion_is_found_where_single_frames_say_little(places):
    rng, frames, side, step, error = np.random.default_rng(5), 12, 25, 0.5, 1.5
    true = smooth_motion(places, frames, 1.0, rng)
    told = true + rng.normal(0, error, true.shape)
    found = most_probable(curves_of(told, error, side, step), step, MotionPrior.of(places, frames, 0.2, 3000.0, 0.2, 1.0))

    def wrong(motion):
        return np.sqrt(np.mean(((motion - true) - (motion - true).mean(axis=0)) ** 2))

    assert wrong(found) < 0.5 * wrong(np.zeros_like(true))
    assert wrong(found) < 0.25 * wrong(told)


def test_folds_hold_every_coefficient_once_and_all_directions_alike():
    plane = HalfPlane.of(32, 12)
    deal = folds(plane)
    assert (deal.sum(axis=0) == 1).all()
    outer = plane.shell >= 4
    for axis in (plane.kx, plane.ky):
        assert (deal[0] * axis**2)[outer].sum() == pytest.approx(0.5 * (axis**2)[outer].sum(), rel=0.1)


def test_a_prior_that_the_set_tells_follows_particles_that_move_apart(places):
    rng, frames, side, step, error = np.random.default_rng(7), 8, 25, 0.5, 1.5
    ends = rng.normal(0, 2.0, (len(places), 2))  # each for itself
    true = (1 - np.exp(-4 * np.arange(frames) / frames))[:, None, None] * ends
    pair = [curves_of(true + rng.normal(0, np.sqrt(2) * error, true.shape), np.sqrt(2) * error, side, step) for _ in range(2)]
    axes = ((0.2, 2.0), (300.0, 7500.0), (0.1, 2.0))
    chosen = best(held_out(pair, step, places, axes, 1.0, 1.0), axes)

    def wrong(values):
        velocity, distance, acceleration = values
        found = most_probable(pair[0] + pair[1], step, MotionPrior.of(places, frames, velocity, distance, acceleration, 1.0))
        return np.sqrt(np.mean(((found - true) - (found - true).mean(axis=0)) ** 2))

    assert wrong(chosen) < 0.8 * wrong(USUAL)


def test_a_prior_stays_as_usual_where_frames_say_nothing_and_as_given_where_it_is(places):
    axes = axes_of((None, 700.0, None))
    pair = [np.zeros((6, len(places), 9, 9), np.float32)] * 2
    chosen = best(held_out(pair, 0.5, places, axes, 1.0, 1.0), axes)
    assert chosen == pytest.approx((USUAL[0], 700.0, USUAL[2]), rel=0.05)
