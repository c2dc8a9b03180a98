"""Regions of the sphere: of one size, and the same for all mates of a direction."""

import numpy as np
import pytest

from cryoloom.numerics.geometry.regions import Regions, dense_directions
from cryoloom.numerics.geometry.symmetry import point_group


@pytest.mark.parametrize(("symmetry", "spacing", "count"), [("C1", 30.0, 48), ("C4", 30.0, 12), ("D2", 20.0, 27), ("I", 12.0, 5)])
def test_regions_are_even_and_cover_the_asymmetric_unit(symmetry, spacing, count):
    group = point_group(symmetry)
    regions = Regions.of(spacing, group)
    dense = dense_directions(group)
    sizes = np.bincount(regions.nearest(dense), minlength=len(regions))
    assert len(regions) == count and sizes.min() > 0.5 * sizes.mean() and sizes.max() < 1.6 * sizes.mean()
    assert np.rad2deg(np.arccos(regions.cosines(dense).max(axis=1))).max() < spacing


def test_mates_of_a_direction_are_of_one_region_and_labels_sum_to_one():
    group = point_group("D2")
    regions = Regions.of(25.0, group)
    direction = np.array([[0.36, 0.48, 0.8]])
    mates = (direction @ group.operators).reshape(-1, 3)
    assert len(set(regions.nearest(mates).tolist())) == 1
    soft = regions.soft(mates, 20.0)
    assert np.allclose(soft.sum(axis=1), 1.0, atol=1e-6) and np.allclose(soft, soft[0], atol=1e-6)
    assert soft[0].argmax() == regions.nearest(direction)[0]


def test_neighbours_border_on_each_other():
    regions = Regions.of(30.0, point_group("C1"))
    assert (regions.adjacent == regions.adjacent.T).all() and regions.adjacent.diagonal().all()
    cosine = regions.centres @ regions.centres.T
    assert np.rad2deg(np.arccos(np.clip(cosine[regions.adjacent], -1, 1))).max() < 50.0
    assert 5 <= regions.adjacent.sum(axis=1).mean() - 1 <= 7


def test_a_regions_grid_looks_from_around_its_centre():
    regions = Regions.of(30.0, point_group("C1"))
    rotations = regions.rotations(7, 30.0, 3)
    assert rotations.shape[1:] == (48, 3, 3) and 35 <= len(rotations) <= 65
    assert (rotations[:, :, 2] @ regions.centres[7]).min() >= np.cos(np.deg2rad(30.0)) - 1e-9
