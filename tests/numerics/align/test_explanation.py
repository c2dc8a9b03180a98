import numpy as np
import pytest

from benchmarks.planted_volumes import right_maps, wrong_maps
from cryoloom.numerics.align.explanation import Averages, explain, pictures
from cryoloom.numerics.align.first_map_verdict import judged, verdict
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import density, project

BOX, PIXEL_SIZE, RADIUS = 32, 7.0, 85.0


def averages_of(poses, contrast=4.0, seed=4):
    rng = np.random.default_rng(seed)
    clean = np.stack([project(p80(), pose_matrix(*pose), BOX, PIXEL_SIZE, tuple(rng.normal(0, 3.0, 2))) for pose in poses])
    noisy = clean + rng.normal(size=clean.shape) * np.sqrt(clean.var(axis=(1, 2)).mean() / contrast)
    return Averages.of(noisy.astype(np.float32), 2 * RADIUS / PIXEL_SIZE, round(BOX * PIXEL_SIZE / 20))


@pytest.fixture(scope="module")
def averages():
    return averages_of(uniform_poses(24, np.random.default_rng(3)))


def test_right_maps_are_good_and_each_of_the_textbooks_wrong_ones_is_bad(averages):
    rng = np.random.default_rng(1)
    for name, volume in right_maps(p80(), BOX, PIXEL_SIZE, rng).items():
        assert judged(explain(averages, volume)) == "good", name
    called = {name: judged(explain(averages, volume)) for name, volume in wrong_maps(p80(), "C1", BOX, PIXEL_SIZE, rng).items()}
    assert set(called.values()) == {"bad"}, called


def test_the_reason_is_told_in_words(averages):
    wrong = wrong_maps(p80(), "C1", BOX, PIXEL_SIZE, np.random.default_rng(1))
    for name, words in {
        "sphere": "a blob",
        "symmetry C4": "symmetric, C4",
        "both hands": "mirror image",
        "half the mass": "outline",
    }.items():
        told = verdict(explain(averages, wrong[name]), wrong[name], PIXEL_SIZE, RADIUS)
        assert told.word == "bad" and words in told.reason, (name, told.reason)


def test_poses_scale_and_filter_do_not_decide(averages):
    truth = density(p80(), BOX, PIXEL_SIZE)
    found, other = (explain(averages, volume) for volume in (truth, np.roll(3.0 * truth, 1, axis=0)))
    assert found.correlations.mean() > 0.75 and other.correlations.mean() == pytest.approx(found.correlations.mean(), abs=0.03)
    assert found.ball < 0.5 * found.correlations.mean()
    shown = pictures(averages, truth, found, np.arange(3))
    projection, average, left = shown[:, 0], shown[:, 1], shown[:, 2]
    assert np.abs(average - projection - left).max() < 1e-3 * np.abs(average).max()
    assert left.std() < 0.5 * average.std()


def test_what_averages_cannot_tell_is_left_open():
    truth = density(p80(), BOX, PIXEL_SIZE)
    poses = np.array([(20.0, 50.0, psi) for psi in range(0, 360, 30)], dtype=float)
    assert judged(explain(averages_of(poses, contrast=20.0), truth)) == "undecided"
    noise = averages_of(uniform_poses(12, np.random.default_rng(5)), contrast=0.005)
    assert judged(explain(noise, truth)) == "undecided"


def test_the_same_bits_for_any_number_of_threads(averages):
    truth = density(p80(), BOX, PIXEL_SIZE)
    one, two = (explain(averages, truth, threads) for threads in (1, 2))
    assert one.agreement == two.agreement and np.array_equal(one.rotations, two.rotations) and np.array_equal(one.curve, two.curve)
