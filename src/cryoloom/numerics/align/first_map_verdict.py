"""What is wrong with a first map, from what class averages say of it: good, bad or undecided, and why in words."""

from dataclasses import dataclass
from typing import Literal

from cryoloom.numerics.align.axes import DETECTED, agreement
from cryoloom.numerics.align.explanation import FEWEST_DETAILS, Explanation
from cryoloom.numerics.align.maps import align_map
from cryoloom.numerics.geometry.symmetry import PointGroup, point_group
from cryoloom.numerics.reconstruct.grids import Map

CONSISTENT = 0.85
"""Agreement along common lines below which the poses that a map gives contradict each other; right maps of 20 to 40 Å reach 0.87 and more."""
COMPLETE = 0.88
"""Likeness to the averages' own map, at the detail of a third of the particle, below which mass is missing or too much."""
BALL = 1.6
"""Times the correlation of a ball that a map must reach to be more than one."""
FEWEST_PAIRS = 0.3
"""Part of the pairs of averages, seen from different sides, without which poses cannot be tested."""
LEAST_SIGNAL = 0.2
"""Part of the averages' power below which they are noise."""
SYMMETRIC, ACHIRAL = 0.93, 0.95
"""Correlation with its symmetrised copy, and with its mirror image, at which a map is said to be symmetric or of no hand."""

Word = Literal["good", "undecided", "bad"]


@dataclass(frozen=True)
class Verdict:
    """A word, and the reason."""

    word: Word
    reason: str


def judged(found: Explanation) -> Word:
    """Return the word alone."""
    if found.signal < LEAST_SIGNAL or found.pairs < FEWEST_PAIRS:
        return "undecided"
    return "bad" if found.agreement < CONSISTENT or found.outline < COMPLETE else "good"


def verdict(found: Explanation, volume: Map, pixel_size: float, radius: float, symmetry: str = "C1") -> Verdict:
    """Judge a map ``(box, box, box)`` by what averages said of it.

    Parameters
    ----------
    pixel_size, radius
        Of the map, and of the particle, both in Å.
    symmetry
        That the particle is known to have: no reproach to the map.
    """
    word = judged(found)
    if word == "good":
        return Verdict(word, f"the averages agree with each other at the poses it gives them ({found.agreement:.2f}), and with its outline")
    if word == "undecided":
        noisy = f"the averages are mostly noise ({found.signal:.0%} signal) and can judge no map"
        alike = f"the averages are laid on nearly one view of it ({found.pairs:.0%} of their pairs differ): give averages of other views"
        return Verdict(word, noisy if found.signal < LEAST_SIGNAL else alike)
    reasons = []
    if found.agreement < CONSISTENT:
        told = f"at the poses it gives them the averages contradict each other (agreement {found.agreement:.2f}, right maps reach {CONSISTENT})"
        reasons.append(f"{told}: {_kind(found, volume, pixel_size, radius, symmetry)}")
    if found.outline < COMPLETE:
        reasons.append(f"the map that they make there has another outline ({found.outline:.2f}): mass is missing or too much")
    return Verdict(word, "; ".join(reasons))


def _kind(found: Explanation, volume: Map, pixel_size: float, radius: float, symmetry: str) -> str:
    """Return what kind of wrong map it may be."""
    correlation = float(found.correlations.mean())
    if correlation < BALL * found.ball:
        return f"it explains them hardly better than a ball does ({correlation:.2f} beside {found.ball:.2f}): it is a blob"
    groups = [group for group in map(point_group, DETECTED) if group.order > point_group(symmetry).order]

    def has(group: PointGroup) -> bool:
        return agreement(volume, pixel_size, radius, group) > SYMMETRIC

    # Every group that is likely has an axis of one of these folds on z: without any, none is tried.
    if any(has(point_group(f"C{fold}")) for fold in range(2, 8)):
        largest = max(filter(has, groups), key=lambda group: group.order, default=None)
        if largest is not None:
            return f"it is symmetric, {largest.name}, and they are not"
    if (align_map(volume, volume, pixel_size, symmetry=symmetry, try_hand=True).other_hand or 0.0) > ACHIRAL:
        return "it equals its mirror image, as maps of both hands in one do"
    if found.last <= round(FEWEST_DETAILS * len(volume) * pixel_size / (2 * radius)):
        return "it has too little detail, or is noise"
    return "it is of another structure, or of both hands"
