"""Defaults chosen from the data, over the range of data the product meets."""

import itertools

import pytest

from cryoloom.app import choices


@pytest.mark.parametrize(("diameter", "pixel_size"), list(itertools.product([80, 160, 300, 450], [0.8, 1.34, 2.2, 3.0])))
def test_boxes_hold_the_particle_and_are_fast(diameter, pixel_size):
    full = choices.full_extraction(diameter, pixel_size)
    binned = choices.binned_extraction(diameter, pixel_size)
    assert full.bin == 1.0 and binned.bin >= 1.0
    for box in (full, binned):
        assert box.box_size % 2 == 0
        assert 1.5 * diameter <= box.box_size * box.bin * pixel_size <= max(2.2 * diameter, 33 * box.bin * pixel_size)
    assert binned.box_size <= full.box_size


def test_classes_follow_the_number_of_particles():
    assert [choices.class_count(n) for n in (30, 100, 400, 2000, 100_000)] == [2, 5, 8, 25, 64]


def test_masks_stay_inside_the_box():
    assert choices.mask_diameter(100, 64, 2.0) == 120
    assert choices.mask_diameter(100, 50, 2.0) < 100


def test_the_first_reference_keeps_only_the_shape():
    assert choices.initial_lowpass(60) == 20
    assert choices.initial_lowpass(150) == 30
    assert choices.initial_lowpass(1000) == 60
