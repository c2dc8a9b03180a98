from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align.axes import agreement, detect, find_axes, in_frame
from cryoloom.numerics.geometry.euler import geodesic_angle, random_rotations
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.simulate.phantom import p80, symmetrised
from cryoloom.numerics.simulate.projection import density

BOX, PIXEL, RADIUS = 44, 5.0, 90.0


def displaced(name, seed=1):
    """A phantom of a group turned at random and moved off the centre: its map, and its rotation."""
    rng = np.random.default_rng(seed)
    turn, move = random_rotations(1, rng)[0], rng.normal(size=3) * 2.0
    phantom = symmetrised(p80(), name)
    return density(replace(phantom, positions=phantom.positions @ turn.T + move), BOX, PIXEL), turn


@pytest.mark.parametrize("name", ["C4", "D2", "D3", "T", "O", "I2"])
def test_axes_are_found_within_two_degrees(name):
    volume, turn = displaced(name)
    group = point_group(name)
    found = find_axes(volume, PIXEL, RADIUS, group)
    # Frames of the same axes: the found operators are the true ones, turned.
    theirs, ours = (frame @ group.operators @ frame.T for frame in (turn, found.rotation))
    assert max(geodesic_angle(one[None], ours).min() for one in theirs) < 2.0
    assert found.agreement > 0.85 > agreement(volume, PIXEL, RADIUS, group)
    assert agreement(in_frame(volume, found), PIXEL, RADIUS, group) == pytest.approx(found.agreement, abs=0.05)


def test_a_particle_without_symmetry_has_none_at_its_best_axes():
    volume = density(p80(), BOX, PIXEL)
    for name in ("C3", "D2", "T", "O"):
        assert find_axes(volume, PIXEL, RADIUS, point_group(name)).agreement < 0.85


@pytest.mark.slow
def test_detection_ranks_the_groups_a_map_has_before_others():
    ranked = [name for name, _ in detect(displaced("D3")[0], PIXEL, RADIUS)]
    assert set(ranked[:3]) == {"C2", "C3", "D3"}
