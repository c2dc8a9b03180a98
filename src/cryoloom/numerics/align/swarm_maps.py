"""The members of a swarm as maps: laid on each other, compared, and cleaned."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.maps import MapAlignment, align_map, moved_map
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.geometry.rotations import vector_from_rotation
from cryoloom.numerics.geometry.symmetry import PointGroup
from cryoloom.numerics.reconstruct.grids import Map

Maps = NDArray[np.float32]
Array = NDArray[np.float64]

UNMOVED = 0.15
"""Voxels, at half the radius of the box, by which a map may be off before it is worth an interpolation."""
RELATED, OPPOSITE = 0.85, 0.03
"""Correlation, and by how much it must be above that of the hand as given, for a mirrored map to be called one of the other hand: maps of other particles
come to 0.5 to 0.86 in either hand, two of one particle to 0.86 and more once they are fitted to the images, and coarse ones hardly have a hand."""
NEAR = 0.03
"""How far behind the two maps that agree best a pair may be for its hands to be told: a map that agrees with none as others agree is no judge of theirs."""


def clearly_opposite(moves: dict[int, tuple[int, MapAlignment]]) -> list[int]:
    """Return which maps have, as given, the other hand of the one they were laid on, beyond doubt; `moves` as `laid_one_by_one` returns them."""
    found = []
    nearest = max((move.correlation for _, move in moves.values()), default=0.0)
    for number, (onto, move) in sorted(moves.items()):
        other = 0.0 if move.other_hand is None else move.other_hand
        turned_before = onto in moves and moves[onto][1].mirrored
        if move.mirrored != turned_before and move.correlation >= max(RELATED, nearest - NEAR) and move.correlation - other >= OPPOSITE:
            found.append(number)
    return found


def laid_one_by_one(maps: Maps, first: int, voxel: float, group: PointGroup) -> tuple[Maps, dict[int, tuple[int, MapAlignment]]]:
    """Return maps ``(k, b, b, b)`` laid on each other, either hand tried, and of each but the first what it was laid on and how it was moved.

    The first stays where it is. Each time the map that agrees best with any of those laid already is laid on that one: two that agree come to
    lie on each other even where the first is another particle's, on which they would find places that have nothing to do with each other.
    """
    placed, moves, nearest = maps.copy(), {}, {}
    left, last = [number for number in range(len(maps)) if number != first], first
    while left:
        for number in left:
            move = align_map(maps[number], placed[last], voxel, symmetry=group.name, try_hand=True)
            if number not in nearest or move.correlation > nearest[number][1].correlation:
                nearest[number] = (last, move)
        last = max(left, key=lambda number: nearest[number][1].correlation)
        left.remove(last)
        moves[last] = nearest[last]
        placed[last] = moved_map(maps[last], moves[last][1], voxel)
    return placed, moves


def laid_together(members: Maps, middle: Map, voxel: float, group: PointGroup) -> Maps:
    """Return members, two halves each, ``(k, 2, b, b, b)``, moved to lie on a map near to where they are; one that lies there already stays."""
    out = members.copy()
    for member in out:
        move = align_map(member.mean(axis=0), middle, voxel, symmetry=group.name, near=True)
        turn = np.linalg.norm(vector_from_rotation(move.rotation)) * len(middle) / 4
        if turn + np.linalg.norm(move.shift) / voxel > UNMOVED:
            member[:] = [moved_map(half, move, voxel) for half in member]
    return out


def correlations(members: Maps, mask: Map) -> Array:
    """Return the correlation of every pair of members, two halves each, ``(k, 2, b, b, b)``, inside a mask, ``(k, k)``."""
    inside = members.mean(axis=1)[:, mask > 0.5].astype(np.float64)
    return np.atleast_2d(np.corrcoef(inside))


def significant(volume: Map, mask: Map) -> Map:
    """Return a map whose voxels are weighed by how probably they are no background: the published denoising of a single map.

    The positive map within the mask, low-passed at Nyquist, stands for the signal, and what that leaves of the map for noise; a voxel keeps the part of
    itself that the distributions of both squares up to its own square give, where the noise's has not ended before.
    """
    inside = mask > 0.5
    signal = lowpass(np.maximum(volume * mask, 0.0), 1.0, 2.0)
    noise = np.sort(((volume - signal) ** 2)[inside])
    power = volume**2
    below = np.searchsorted(noise, power, side="right") / len(noise)
    gain = np.searchsorted(np.sort((signal**2)[inside]), power, side="right") / len(noise) * below
    return (volume * np.where(below < 1.0, gain, 1.0)).astype(np.float32)
