"""Gaussian priors on poses: on the shift always, on the rotation where the poses that images carry are to be kept near.

In the manner of the local searches of Scheres 2012 (doi:10.1016/j.jsb.2012.09.006), but as a part of the cost: a rotation prior has no edge, and its
curvature enters the posterior. A rotation is measured from its own centre, or from that centre's mate that is nearest. About the axis, only the place of
the map's z axis in the image is held (tilt and psi), and the turn about it (rot) is free: filaments, and particles in a membrane.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import shift_factors
from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.geometry.symmetry import C1, PointGroup

Array = NDArray[np.float64]

COLUMNS = 14
"""Of a row of numbers: precision and centre of the shift, precision of the rotation, whether only about the axis, and the centre's matrix."""
HALF_CELL = np.deg2rad(7.5)
"""How far from a node of the coarse grid a pose may lie that the node stands for."""


@dataclass(frozen=True)
class PosePrior:
    """What is thought of the poses of a set before they are looked at.

    Attributes
    ----------
    shift
        Precision of shifts, 1/px².
    turn
        Precision of rotations about each axis, 1/radians²; 0 for none.
    rotations, shifts
        Centres of all images of the set, ``(n, 3, 3)`` and ``(n, 2)`` px; None stands for shifts about zero, and rotations that nothing is known of.
    about_axis
        Leave the turn about the map's z axis free.
    group
        Whose mates of a centre count as the same.
    """

    shift: float = 0.0
    turn: float = 0.0
    rotations: Array | None = None
    shifts: Array | None = None
    about_axis: bool = False
    group: PointGroup = C1

    def with_shift(self, precision: float) -> "PosePrior":
        """Return the prior with another precision of shifts, unless their centres are known: then it stays."""
        return self if self.shifts is not None else replace(self, shift=precision)

    @property
    def mates(self) -> Array:
        """Return the operators of the group, ``(order, 3, 3)``."""
        return self.group.operators

    def rows(self, chosen: NDArray[np.int64]) -> Array:
        """Return the numbers that `with_prior` takes, of some images, ``(b, COLUMNS)``."""
        rows = np.zeros((len(chosen), COLUMNS))
        rows[:, 0] = self.shift
        if self.shifts is not None:
            rows[:, 1:3] = self.shifts[chosen]
        if self.rotations is not None and self.turn > 0:
            rows[:, 3], rows[:, 4] = self.turn, float(self.about_axis)
            rows[:, 5:] = self.rotations[chosen].reshape(-1, 9)
        return rows

    def penalties(self, chosen: NDArray[np.int64], rotations: Array) -> NDArray[np.float32] | None:
        """Return the least cost of each place that nodes of the coarse grid ``(..., 3, 3)`` stand for, ``(b, nodes)``; None where none has any."""
        if self.rotations is None or not self.turn > 0:
            return None
        nodes, centres = rotations.reshape(-1, 3, 3), self.rotations[chosen]
        if self.about_axis:
            axes = nodes @ self.mates[:, :, 2].T
            cosine = np.einsum("nim,bi->bnm", axes, centres[:, :, 2]).max(axis=2)
        else:
            mates = self.group.mates(centres).reshape(len(chosen), -1, 9)
            cosine = (np.einsum("bmk,nk->bnm", mates, nodes.reshape(-1, 9), optimize=True).max(axis=2) - 1.0) / 2.0
        beyond = np.maximum(np.arccos(np.clip(cosine, -1.0, 1.0)) - HALF_CELL, 0.0)
        return (0.5 * self.turn * beyond**2).astype(np.float32)

    def centred(self, plane: HalfPlane, data: Coefficients, chosen: NDArray[np.int64]) -> tuple[Coefficients, Array]:
        """Return prepared images moved to the centres of their shifts, over the coefficients of `plane`, and those centres, ``(b, 1, 2)`` px."""
        data = data[:, : len(plane.kx)]
        if self.shifts is None:
            return data, np.zeros((len(chosen), 1, 2))
        centres = self.shifts[chosen]
        return data * shift_factors(plane, centres), centres[:, None]


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def with_prior(cost, rotation, shift, prior, mates, gradient, curvature):
    """Add a row of `PosePrior.rows` to the cost of a pose and to its derivatives (see `levenberg`); return the cost."""
    for axis in range(2):
        away = shift[axis] - prior[1 + axis]
        cost += 0.5 * prior[0] * away**2
        gradient[3 + axis] += prior[0] * away
        curvature[3 + axis, 3 + axis] += prior[0]
    if prior[3] <= 0:
        return cost
    precision, centre = prior[3], prior[5:].reshape(3, 3)
    about = prior[4] > 0
    pose, away = np.empty((3, 3)), np.empty(3)
    nearest, mate = -4.0, 0
    for m in range(len(mates)):
        near = 0.0
        for i in range(3):
            for j in range(2 if about else 0, 3):
                near += centre[i, j] * (rotation[i, 0] * mates[m, 0, j] + rotation[i, 1] * mates[m, 1, j] + rotation[i, 2] * mates[m, 2, j])
        if near > nearest:
            nearest, mate = near, m
    for i in range(3):
        for j in range(3):
            pose[i, j] = rotation[i, 0] * mates[mate, 0, j] + rotation[i, 1] * mates[mate, 1, j] + rotation[i, 2] * mates[mate, 2, j]
    # The turn that a step would have to undo, as a vector: of the whole pose, or of the image of the z axis by the shortest way.
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        if about:
            away[i] = centre[k, 2] * pose[j, 2] - centre[j, 2] * pose[k, 2]
        else:
            away[i] = 0.0
            for c in range(3):
                away[i] += 0.5 * (pose[j, c] * centre[k, c] - pose[k, c] * centre[j, c])
    sine = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
    cosine = nearest if about else (nearest - 1.0) / 2.0
    angle = np.arctan2(sine, cosine)
    scale = angle / sine if sine > 1e-9 else 1.0
    cost += 0.5 * precision * angle**2
    for i in range(3):
        gradient[i] += precision * scale * away[i]
        for j in range(3):
            held = 1.0 if i == j else 0.0
            curvature[i, j] += precision * (held - pose[i, 2] * pose[j, 2] if about else held)
    return cost
