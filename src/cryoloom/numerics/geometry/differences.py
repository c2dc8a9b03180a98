"""How far two alignments of the same particles are from each other: by axes, by rotation, by direction, in the plane, and to the opposite view."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.geometry.compare import PoseAgreement, compare_poses
from cryoloom.numerics.geometry.euler import flip_hand, random_rotations
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.parallel import blocks, ordered

Array = NDArray[np.float64]

BLOCK = 16384
JUDGED = 20000
"""Particles that the frame is found from."""
GAIN = 0.2
"""Part by which the frame must lower a median to be believed."""
DRAWN = 200_000
"""Random pairs, times the order of the group."""


@dataclass(frozen=True)
class PoseDifferences:
    """Of n pairs of poses, degrees, each over the mates for which it is smallest; NaN where a pose is none.

    Attributes
    ----------
    axes
        Mean angle between corresponding axes of the two matrices: Xmipp's ``angleDiff``.
    geodesic
        Angle of the rotation between them.
    direction
        Angle between the directions of projection.
    psi
        Turn in the plane of the image at the mate of the smallest rotation, 0 to 180.
    mirror
        As `axes`, to the view from the opposite side, whose image is the mirrored one.
    """

    axes: Array
    geodesic: Array
    direction: Array
    psi: Array
    mirror: Array


def pose_differences(first: Array, second: Array, operators: Array, threads: int = 1) -> PoseDifferences:
    """Return how far poses ``(n, 3, 3)`` are from the mates ``second · R`` of others, R of `operators` ``(order, 3, 3)``."""
    found = np.empty((len(first), 5))
    one, two, group = (np.ascontiguousarray(each, dtype=np.float64) for each in (first, second, operators))
    for _ in ordered(lambda part: _differences(one[part], two[part], group, found[part]), blocks(len(one), BLOCK), threads):
        pass
    return PoseDifferences(*(np.ascontiguousarray(column) for column in np.rad2deg(found).T))


@njit(nogil=True, cache=True, error_model="numpy")
def _differences(first, second, operators, found):  # type: ignore[no-untyped-def]
    """Write axes, geodesic, direction, psi and mirror (radians) of each pair into `found` ``(n, 5)``."""
    mate = np.empty((3, 3))
    for n in range(len(first)):
        a, b = first[n], second[n]
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            found[n] = np.nan
            continue
        axes, mirror, trace, along, psi = np.inf, np.inf, -np.inf, -np.inf, 0.0
        for g in range(len(operators)):
            r = operators[g]
            total, opposite, here, dot = 0.0, 0.0, 0.0, 0.0
            for i in range(3):
                dot = 0.0
                for j in range(3):
                    mate[i, j] = b[i, 0] * r[0, j] + b[i, 1] * r[1, j] + b[i, 2] * r[2, j]
                    dot += a[i, j] * mate[i, j]
                angle = np.arccos(min(max(dot, -1.0), 1.0))
                total += angle
                opposite += angle if i == 1 else np.pi - angle
                here += dot
            axes, mirror, along = min(axes, total / 3.0), min(mirror, opposite / 3.0), max(along, dot)
            if here > trace:
                trace = here
                # The twist about the third axis of image coordinates of A · (B R)ᵀ.
                cross, plain = 0.0, 0.0
                for j in range(3):
                    cross += a[1, j] * mate[0, j] - a[0, j] * mate[1, j]
                    plain += a[0, j] * mate[0, j] + a[1, j] * mate[1, j]
                psi = abs(np.arctan2(cross, plain))
        found[n, 0], found[n, 1] = axes, np.arccos(min(max((trace - 1.0) / 2.0, -1.0), 1.0))
        found[n, 2], found[n, 3], found[n, 4] = np.arccos(min(max(along, -1.0), 1.0)), psi, mirror


@dataclass(frozen=True)
class Frame:
    """How the second of two alignments is brought into the frame of the first.

    Attributes
    ----------
    rotation
        Q: the second's poses ``B`` become ``B · Q``, or those of its mirrored map where `mirrored`.
    offset
        Displacement u of the map, Å: ``(A · u)`` is taken off the differences of origins.
    turned, displaced
        Whether rotation and hand, and whether the offset, are applied.
    """

    rotation: Array
    offset: Array
    mirrored: bool = False
    turned: bool = False
    displaced: bool = False

    def operators(self, group: PointGroup) -> Array:
        """Return what follows poses of `second` to make all their mates in the first frame."""
        if not self.turned:
            return group.operators
        return (flip_hand(group.operators) if self.mirrored else group.operators) @ self.rotation

    def poses(self, second: Array) -> Array:
        """Return the second's poses as `operators` takes them."""
        return flip_hand(second) if self.turned and self.mirrored else second

    def shifts(self, first: Array, difference: Array) -> Array:
        """Return the distance of origins, Å, of their difference ``(n, 2)``, by the poses of the first."""
        moved = difference - (first[:, :2, :] @ self.offset if self.displaced else 0.0)
        return np.hypot(moved[:, 0], moved[:, 1])


NO_FRAME = Frame(np.eye(3), np.zeros(3))


def common_frame(
    first: Array, first_origins: Array, second: Array, second_origins: Array, group: PointGroup = C1, *, always: bool = False
) -> Frame:
    """Find the frame of the second alignment in that of the first.

    Parameters
    ----------
    first, second
        ``(n, 3, 3)``, all finite; of many, `JUDGED` are looked at.
    first_origins, second_origins
        ``(n, 2)``, Å.
    group
        In the frame of the second.
    always
        Take what is found; otherwise rotation and hand, and the offset, only where they lower their medians by `GAIN`.
    """
    some = np.linspace(0, len(first) - 1, min(len(first), JUDGED)).astype(np.int64)
    one, two = first[some], second[some]
    difference = first_origins[some] - second_origins[some]
    agreement: PoseAgreement = compare_poses(one, first_origins[some], two, second_origins[some], group=group)
    found = Frame(agreement.rotation, agreement.offset, agreement.mirrored, turned=True, displaced=True)
    if always:
        return found
    plain = float(np.median(pose_differences(one, two, group.operators).geodesic))
    turned = float(np.median(agreement.angles)) < (1.0 - GAIN) * plain
    before, after = (float(np.median(each.shifts(one, difference))) for each in (NO_FRAME, found))
    return Frame(agreement.rotation, agreement.offset, agreement.mirrored, turned, displaced=after < (1.0 - GAIN) * before)


def random_differences(group: PointGroup, seed: int) -> PoseDifferences:
    """Return the differences of random pairs of poses."""
    rng = np.random.default_rng(seed)
    count = max(DRAWN // group.order, 10_000)
    return pose_differences(random_rotations(count, rng), random_rotations(count, rng), group.operators)
