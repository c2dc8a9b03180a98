"""Maps laid on each other against simulated truth: rotation, shift and hand."""

from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align.maps import align_map, moved_map
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.geometry.euler import geodesic_angle, random_rotations
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.simulate.phantom import p80, random_phantom, symmetrised
from cryoloom.numerics.simulate.projection import density

BOX, PIXEL = 48, 5.4
MIRROR = np.diag([1.0, 1.0, -1.0])


def noisy(volume, noise, rng):
    return lowpass(volume + noise * volume.std() * rng.standard_normal(volume.shape, np.float32), PIXEL, 20.0)


def pair(phantom, rng, noise, mirror=False):
    """Return a map of a phantom turned and moved away, the map it belongs on, and the rotation and shift (Å) that bring it back."""
    rotation, shift = random_rotations(1, rng)[0], rng.uniform(-18, 18, 3)
    moved = replace(phantom, positions=phantom.positions @ rotation.T + shift)
    if mirror:
        moved = moved.mirrored()
    maps = [noisy(density(each, BOX, PIXEL), noise, rng) for each in (moved, phantom)]
    return *maps, rotation.T, -rotation.T @ shift


@pytest.mark.parametrize("trial", [0, 3, 16])
def test_random_rotation_shift_and_hand_are_found(trial):
    rng = np.random.default_rng(trial)
    mirror = bool(trial % 2)
    moving, reference, rotation, shift = pair(p80() if trial < 10 else random_phantom(trial), rng, 1.0, mirror)
    found = align_map(moving, reference, PIXEL, try_hand=True)
    assert found.mirrored == mirror
    assert geodesic_angle(found.rotation, rotation) < 1.0
    assert np.linalg.norm(found.shift - shift) < 0.3 * PIXEL
    assert found.other_hand is not None
    assert found.other_hand < found.correlation


def test_very_noisy_maps_are_found():
    rng = np.random.default_rng(4)
    moving, reference, rotation, _ = pair(p80(), rng, 4.0)
    found = align_map(moving, reference, PIXEL)
    assert geodesic_angle(found.rotation, rotation) < 6.0


@pytest.mark.parametrize("name", ["D2", "O"])
def test_of_the_mates_the_least_turned_is_given(name):
    rng = np.random.default_rng(7)
    group = point_group(name)
    moving, reference, rotation, shift = pair(symmetrised(p80(), name), rng, 0.5)
    found = align_map(moving, reference, PIXEL, symmetry=name)
    mates = group.operators @ rotation
    nearest = int(np.argmin(geodesic_angle(mates, found.rotation)))
    assert geodesic_angle(mates[nearest], found.rotation) < 1.0
    assert np.linalg.norm(group.operators[nearest] @ shift - found.shift) < 0.3 * PIXEL
    assert geodesic_angle(found.rotation, np.eye(3)) <= geodesic_angle(mates, np.eye(3)).min() + 1.0


def test_a_map_is_moved_as_its_alignment_says():
    rng = np.random.default_rng(2)
    moving, reference, *_ = pair(p80(), rng, 0.0, mirror=True)
    moved = moved_map(moving, align_map(moving, reference, PIXEL, try_hand=True), PIXEL)
    assert np.corrcoef(moved.ravel(), reference.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("box", [16, 17])
def test_the_other_hand_keeps_the_centre_and_undoes_itself(box):
    volume = np.random.default_rng(0).standard_normal((box,) * 3).astype(np.float32)
    mirrored = mirrored_map(volume)
    assert mirrored[box // 2 + 3, 5, 6] == volume[box // 2 - 3, 5, 6]
    assert np.array_equal(mirrored_map(mirrored), volume)


def test_the_same_maps_give_the_same_bits():
    moving, reference, *_ = pair(p80(), np.random.default_rng(3), 1.0)
    one, two = (align_map(moving, reference, PIXEL) for _ in range(2))
    assert np.array_equal(one.rotation, two.rotation)
    assert np.array_equal(one.shift, two.shift)


@pytest.mark.parametrize(
    ("moving", "reference", "told"),
    [
        (np.ones((8, 8, 8)), np.random.default_rng(0).standard_normal((9, 9, 9)), "one box"),
        (np.ones((8, 8, 8)), np.random.default_rng(0).standard_normal((8, 8, 8)), "1 everywhere"),
        (np.full((8, 8, 8), np.nan), np.random.default_rng(0).standard_normal((8, 8, 8)), "no numbers"),
    ],
)
def test_maps_that_cannot_be_compared_are_refused(moving, reference, told):
    with pytest.raises(ValueError, match=told):
        align_map(moving, reference, 1.0)
