import numpy as np
import pytest

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fsc.directional import sphericity
from cryoloom.numerics.fsc.halves import better_axes, brightness, cut_away, in_common_beyond, quiet_outside, relative_shift, solvent_region
from cryoloom.numerics.geometry.coverage import fibonacci_directions
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import density

BOX, PIXEL_SIZE = 56, 5.0
SPHERE = spherical_mask(BOX, 17.0, 5.0)


@pytest.fixture(scope="module")
def truth():
    volume = lowpass(density(p80(), BOX, PIXEL_SIZE), PIXEL_SIZE, 15.0)
    return volume / volume.std()


def noise(seed):
    return np.random.default_rng(seed).standard_normal((BOX,) * 3).astype(np.float32)


def test_independent_noise_has_nothing_in_common_and_shared_noise_has(truth):
    region = solvent_region(BOX, 17.0, None)
    apart = in_common_beyond(truth + noise(1), truth + noise(2), region, 10)
    assert abs(apart.corners) < 0.03 and abs(apart.solvent) < 5 * apart.error < 0.2
    common = 0.5 * noise(3)
    shared = in_common_beyond(truth + common + noise(1), truth + common + noise(2), region, 10)
    assert shared.corners == pytest.approx(0.2, abs=0.04) and shared.solvent == pytest.approx(0.2, abs=0.06)
    assert in_common_beyond(lowpass(truth, PIXEL_SIZE, 12.0), lowpass(truth, PIXEL_SIZE, 12.0), region, 10).corners is None


def test_a_shift_is_measured_in_angstrom(truth):
    moved = np.roll(truth, (3, -2, 1), axis=(0, 1, 2))
    assert relative_shift(truth + noise(1), moved + noise(2), PIXEL_SIZE, 20.0) == pytest.approx(np.array([1, -2, 3]) * PIXEL_SIZE, abs=1.0)
    assert np.abs(relative_shift(truth + noise(1), truth + noise(2), PIXEL_SIZE, 20.0)).max() < 1.0


def test_swapped_axes_and_the_other_hand_are_named(truth):
    assert better_axes(truth + noise(1), truth + noise(2), PIXEL_SIZE, 20.0) is None
    axes, better, worse = better_axes(truth, truth.transpose(2, 1, 0), PIXEL_SIZE, 20.0)
    assert axes == "x y z" and better > 0.99 > worse
    assert better_axes(truth, mirrored_map(truth), PIXEL_SIZE, 20.0)[0] == "-z y x"


def test_masks_and_contrast_are_measured(truth):
    region = solvent_region(BOX, 17.0, None)
    noisy = [truth + noise(seed) for seed in (1, 2)]
    assert quiet_outside(*(half * SPHERE for half in noisy), region, SPHERE) < 0.01 and quiet_outside(*noisy, region, SPHERE) > 0.5
    # However strong the particle is.
    assert quiet_outside(*(half + 30 * truth for half in noisy), region, SPHERE) > 0.5
    assert brightness(truth, region, SPHERE) > 0 > brightness(-truth, region, SPHERE)
    tight = spherical_mask(BOX, 7.0, 2.0)
    smooth = [lowpass(truth + noise(seed), PIXEL_SIZE, 20.0) for seed in (1, 2)]
    assert cut_away(*smooth, tight) > 0.2 > 0.05 > cut_away(*smooth, SPHERE)


def test_a_ball_is_round_and_a_spheroid_as_round_as_geometry_says():
    axes = fibonacci_directions(400)[:200]
    assert sphericity(axes, np.full(200, 4.0)) == pytest.approx(1.0)
    long, x = 2.0, axes[:, 2]
    reach = 1.0 / np.sqrt((1 - x**2) + x**2 / long**2)
    eccentricity = np.sqrt(1 - 1 / long**2)
    area = 2 * np.pi * (1 + long / eccentricity * np.arcsin(eccentricity))
    expected = np.cbrt(np.pi) * np.cbrt(6 * 4 / 3 * np.pi * long) ** 2 / area
    assert sphericity(axes, 1.0 / reach) == pytest.approx(expected, rel=0.01)
