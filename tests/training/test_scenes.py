"""Training scenes: the same for a seed, true to their places, of the scale that inference has."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from training.scenes import CLASSES, GRAIN, Ranges, draw_scene

CLEAR = Ranges(families=("cluster",), diameter=(150.0, 160.0), error=(1.0, 1.0), empty=0.0, contaminants=0.0, carbon=0.0, denoised=0.0)


def test_a_seed_is_a_scene():
    first, again, other = draw_scene(5, size=64), draw_scene(5, size=64), draw_scene(6, size=64)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.centres, again.centres)
    assert not np.array_equal(first.image, other.image)
    assert first.image.shape == first.classes.shape == first.ignored.shape == (64, 64)


def test_particles_are_where_the_truth_says():
    inside, at_random = [], []
    for seed in range(8):
        scene = draw_scene(seed, size=128, ranges=CLEAR)
        smooth = gaussian_filter(scene.image, 4.0) - gaussian_filter(scene.image, 12.0)
        columns, rows = np.rint(scene.centres).astype(int).T
        inside.append(smooth[rows, columns].mean() / smooth.std())
        at_random.append(smooth[rows - 64, columns - 64].mean() / smooth.std())
        assert scene.diameter == pytest.approx(GRAIN, rel=0.05)
        assert scene.diameters == pytest.approx(GRAIN, rel=0.15)
    assert np.mean(inside) > np.mean(at_random) + 0.5


def test_no_particle_lies_on_a_contaminant():
    crowded = Ranges(empty=0.0, contaminants=8.0, carbon=1.0)
    seen = set()
    for seed in range(0, 24, 3):
        scene = draw_scene(seed, size=128, ranges=crowded)
        columns, rows = np.rint(scene.centres).astype(int).T
        assert (scene.classes[rows, columns] == 0).all()
        assert not scene.ignored[rows, columns].any()
        seen |= set(np.unique(scene.classes))
    assert seen == set(range(1 + CLASSES.index("carbon")))
