"""Whether images support the symmetry that was imposed on their map.

A map refined in a group is symmetric whatever the particle is, and each image lies at one of several equal poses, its mates. Two thirds of the
images are given the freedom to choose among them: each third chooses by the map of the other one, and maps without symmetry are made again, a few
times. What these hold beyond their symmetric part is structure or noise. The last third, which had no part in it, tells: it chooses among its
mates as well, and fits structure better than the same structure turned by an angle that is not of the group. For noise both are alike.
"""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import shift_factors
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.negatives import better_than_negatives
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.symmetry import PointGroup
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.grids import reference_grid, with_mates
from cryoloom.numerics.reconstruct.kernels import empty_grid, gather, scatter
from cryoloom.numerics.reconstruct.sums import divided

Array = NDArray[np.float64]
Grid = NDArray[np.float32]

ROUNDS = 8
SSNR = 4.0
"""Of every shell of a map without symmetry, as its filter takes it."""
LEAST = 0.01
"""Part of what the symmetric map explains that its asymmetry must add to be worth a word."""


def asymmetric_gain(images: ImageSet, rotations: Array, shifts: Array, group: PointGroup, radius: float, seed: int) -> float:
    """Return what leaving the symmetry gains, as a part of the log-likelihood that the symmetric map gains over noise; 0 where it is chance.

    Parameters
    ----------
    images
        Some hundred, out to a shell where the map is sure: 15 to 20 Å.
    rotations, shifts
        ``(n, 3, 3)`` in the group's frame, and ``(n, 2)`` px.
    radius
        Of the particle, px.
    """
    plane, count = images.plane, len(images)
    box = plane.box
    mask = spherical_mask(box, radius, 3.0)
    data, weight = images.prepare(np.arange(count), plane, images.total_power())
    data = (data * shift_factors(plane, shifts)).astype(np.complex64)
    mates = group.mates(rotations)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(group.order, size=count)
    third = np.arange(count) % 3

    def made(rows: NDArray[np.int64], poses: Array) -> Grid:
        """Return the grid of the map of some images, each at its `poses` ``(rows, m, 3, 3)``."""
        sums = empty_grid(plane.radius, 4)
        for row, some in zip(rows, poses.astype(np.float32), strict=True):
            values = data[row].view(np.float32).reshape(-1, 2)
            for pose in some:
                scatter(sums, plane.kx, plane.ky, len(plane.kx), pose, values, weight[row])
        volume = divided(with_mates(sums), plane.last, box, box, ssnr=np.full(plane.last + 1, SSNR))
        return reference_grid((volume * mask).astype(np.float32), plane.radius, box)

    def gains(grids: list[tuple[Grid, Array]], rows: NDArray[np.int64]) -> Array:
        """Return the gain of every mate ``(rows, order)`` by the sum of grids, each turned by a matrix."""
        out = np.empty((len(rows), group.order))
        found = np.empty((group.order, len(plane.kx), 2), np.float32)
        for number, row in enumerate(rows):
            model = np.zeros((group.order, len(plane.kx)), np.complex64)
            for grid, turn in grids:
                gather(grid, plane.kx, plane.ky, (mates[row] @ turn).astype(np.float32), found)
                model += found.view(np.complex64)[..., 0]
            model[:, 0] = 0
            out[number] = 2 * (model.conj() @ data[row]).real - (model.real**2 + model.imag**2) @ weight[row]
        return out

    one, two, judges = (np.flatnonzero(third == number) for number in range(3))
    grids = {side: made(rows, mates[rows, chosen[rows], None]) for side, rows in ((0, one), (1, two))}
    for _ in range(ROUNDS):
        for side, rows in ((0, one), (1, two)):
            chosen[rows] = gains([(grids[1 - side], np.eye(3))], rows).argmax(axis=1)
            grids[side] = made(rows, mates[rows, chosen[rows], None])
    both = np.concatenate([one, two])
    free, symmetric = made(both, mates[both, chosen[both], None]), made(both, mates[both])
    asymmetry, same = free - symmetric, np.eye(3)
    right = gains([(symmetric, same), (asymmetry, same)], judges).max(axis=1)
    turned = gains([(symmetric, same), (asymmetry, _elsewhere(group))], judges).max(axis=1)
    base = gains([(symmetric, same)], judges)[:, 0]
    found = float((right - turned).mean() / max(base.mean(), 1e-12))
    return found if better_than_negatives(right, turned) and found > LEAST else 0.0


def _elsewhere(group: PointGroup) -> Array:
    """Return a turn that is as far from the group's as there is one about its main axis; of a cubic group, about a general axis."""
    if group.name[0] in "CD":
        return rotation_from_vector(np.array([0.0, 0.0, np.pi / int(group.name[1:])]))
    return rotation_from_vector(0.7 * np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0))
