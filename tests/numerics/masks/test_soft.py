"""Soft masks against spheres whose volume is known."""

import numpy as np
import pytest

from cryoloom.numerics.masks.shapes import shape_mask
from cryoloom.numerics.masks.soft import (
    OPERATIONS,
    automatic_threshold,
    border_distance,
    otsu_threshold,
    radius_from_centre,
    soft_mask,
    spherical_mask,
)


def sphere(box, radius, noise=0.0):
    volume = (radius_from_centre(box) <= radius).astype(np.float32)
    return volume + noise * np.random.default_rng(0).standard_normal(volume.shape).astype(np.float32)


def test_mask_of_a_noisy_sphere_has_its_size_and_edge():
    mask, _ = soft_mask(sphere(64, 16, noise=0.3), 2.0, resolution=15.0, extend=3, edge=6)
    radius = radius_from_centre(64)
    assert mask[radius < 17].min() == 1.0
    assert mask[radius > 28].max() == 0.0
    assert mask.min() >= 0.0 and mask.max() <= 1.0
    middle = mask[(radius > 21) & (radius < 23)].mean()
    assert 0.2 < middle < 0.8


def test_the_mass_sets_the_enclosed_volume():
    volume = np.exp(-((radius_from_centre(48) / 10) ** 2)).astype(np.float32)
    threshold = automatic_threshold(volume, 23, mass=50_000, voxel_volume=8.0)
    assert (volume > threshold).sum() * 8.0 == pytest.approx(50_000 * 1.21, rel=0.05)


def test_small_far_pieces_of_noise_are_not_mask():
    volume = sphere(64, 14)
    volume[4:7, 4:7, 32] = 1.5
    mask, _ = soft_mask(volume, 4.0, resolution=8.0)
    assert mask[5, 5, 32] == 0.0


def test_pieces_are_kept_by_their_size():
    volume = sphere(64, 12)
    volume[6:14, 6:14, 28:36] = 1.0
    kept = {least: soft_mask(volume, 4.0, resolution=8.0, radius=31, least_piece=least)[0][10, 10, 32] for least in (0.0, 0.02, 0.5, 1.0)}
    assert kept == {0.0: 1.0, 0.02: 1.0, 0.5: 0.0, 1.0: 0.0}


@pytest.mark.parametrize(("operation", "both", "first", "second", "neither"),
    [("and", 1, 0, 0, 0), ("or", 1, 1, 1, 0), ("and-not", 0, 1, 0, 0), ("or-not", 1, 1, 0, 1)])  # fmt: skip
def test_operations_of_soft_masks(operation, both, first, second, neither):
    one, other = np.float32([1, 1, 0, 0, 0.5]), np.float32([1, 0, 1, 0, 0.5])
    assert OPERATIONS[operation](one, other).tolist() == [both, first, second, neither, 0.5]


def test_nothing_above_the_threshold_is_an_error():
    with pytest.raises(ValueError, match="above the threshold"):
        soft_mask(sphere(32, 8), 2.0, threshold=50.0)


def test_otsu_splits_two_heaps():
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 5000), np.random.default_rng(1).normal(10, 1, 1000)])
    assert 3 < otsu_threshold(values) < 7


def test_border_distance():
    assert border_distance(spherical_mask(32, 10, 0)) == 5
    assert border_distance(np.zeros((8, 8, 8), np.float32)) == 0


def test_a_body_is_closed_opened_and_shrunk():
    radius = radius_from_centre(64)
    volume = (radius <= 16).astype(np.float32)
    volume[30:34, 30:34, 40:] = 0.0  # a channel
    volume[32, 10:16, 32] = 1.0  # a spike
    settings = {"resolution": 4.0, "threshold": 0.5, "extend": 0, "edge": 1}
    plain, closed, opened, less = (
        soft_mask(volume, 2.0, **settings | more)[0] for more in ({}, {"closing": 3}, {"opening": 2}, {"extend": -4})
    )
    assert plain[32, 32, 44] == 0 and closed[32, 32, 44] == 1
    assert plain[32, 13, 32] == 1 and opened[32, 13, 32] == 0 and opened[32, 22, 32] == 1
    assert less[radius > 14].max() == 0 and less[radius < 11][0:50].min() >= 0 and less[32, 32, 22] == 1


@pytest.mark.parametrize(("shape", "volume"), [("sphere", 4 / 3 * np.pi * 10**3), ("cylinder", np.pi * 10**2 * 12), ("box", 20**2 * 12)])
def test_shapes_have_their_volume_and_their_hole(shape, volume):
    solid = shape_mask(shape, 48, 20.0, 0.0, height=12.0)
    assert solid.sum() == pytest.approx(volume, rel=0.2)
    hollow = shape_mask(shape, 48, 20.0, 2.0, inner=10.0, height=12.0)
    assert hollow[24, 24, 24] == 0 and hollow[24, 24, 32] == 1 and hollow[24, 24, 24 + 13] == 0
