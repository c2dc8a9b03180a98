"""A first map from class averages: each put at every direction that its likeness singles out.

After Sorzano et al. 2015 (doi:10.1016/j.jsb.2015.01.009). The averages, at random poses at first, give a map; its views are compared with every
average, and the average comes into the next map at all directions that are significantly like it, weighed by how extreme they are
(`significance`). The part of directions that may be significant falls slowly: an average begins as a blurred guess of its direction and ends in
few places. Which of several random beginnings leads to the map that the averages are most like is found by `SCOUT`, a short schedule.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.align.projection_matching import EDGE, Frame, Matches, Views, image_views, map_views, match, within_circle
from cryoloom.numerics.align.significance import Criteria, weights
from cryoloom.numerics.geometry.coverage import fibonacci_directions
from cryoloom.numerics.geometry.euler import euler_to_matrix, random_rotations
from cryoloom.numerics.geometry.sphere import disc_lattice
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.masks.soft import radius_from_centre, spherical_mask
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import Map, reference_grid, with_mates, working_box
from cryoloom.numerics.reconstruct.kernels import empty_grid, gather, scatter
from cryoloom.numerics.reconstruct.sums import divided
from cryoloom.numerics.reconstruct.symmetry import symmetrise

Array = NDArray[np.float64]
Images = NDArray[np.float32]
State = dict[str, Any]

SPHERE = 41253.0
"""Square degrees."""
COARSE, FEWEST = 3.0, 100
"""Steps between directions at first, and directions of an asymmetric unit that there are at the least."""
REACH = 1.5
"""px about an average's last shift at which it is tried."""
FARTHEST = 0.2
"""Shift, as a part of the box, beyond which a direction counts less."""
SLICES = 2048
"""Slices summed into one grid."""
COMPARED = 60
"""Averages compared with one another."""
SEEDS = 1_000_003
"""Between the seeds of scouts."""
NEARLY_ROUND = 0.1
"""What is left of a map's differences from its radial mean where the beginning is to be a ball."""


@dataclass(frozen=True)
class Schedule:
    """How an iteration depends on its number.

    Attributes
    ----------
    iterations
        In all.
    first, last
        Part of the directions that may be significant: in the first iteration, and where the straight line from there ends.
    step
        Degrees between directions, in the last two fifths of the iterations; it falls from `COARSE` times as much.
    """

    iterations: int
    first: float
    last: float
    step: float

    def part(self, iteration: int) -> float:
        """Return the part of the directions that may be significant."""
        return self.first + iteration * (self.last - self.first) / self.iterations

    def spacing(self, iteration: int, order: int) -> float:
        """Return the degrees between directions for a group of some order."""
        grown = min(1.0, iteration / (0.6 * self.iterations))
        return min(self.step * (COARSE + grown * (1.0 - COARSE)), float(np.sqrt(SPHERE / order / FEWEST)))


SCOUT = Schedule(iterations=16, first=0.3, last=0.01, step=6.0)
"""Of the search from each of several random beginnings."""
SCOUT_STEP = 1.2
"""Step of a scout to that of the search."""


class NothingSignificant(ArithmeticError):
    """No average can be placed; `cure` says what to do."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


@dataclass(frozen=True)
class Plan:
    """What stays the same through a search.

    Attributes
    ----------
    images
        Averages ``(n, box, box)``, bright, none of nothing.
    radius
        px, of the circle that holds the particle.
    last
        Outermost shell, below ``box / 2``.
    group
        Symmetry imposed, on its own axes.
    schedule, criteria
        See there.
    seed, threads
        The result depends on the first only.
    tilts
        Degrees between which directions are sought.
    max_shift
        px; None for `FARTHEST`.
    as_published
        With what the published program does otherwise than it says: angles uniform in tilt and a nearly round map at first, and as many directions
        for each mate as without symmetry.
    """

    images: Images
    radius: float
    last: int
    group: PointGroup
    schedule: Schedule
    criteria: Criteria = Criteria()
    seed: int = 0
    threads: int = 1
    tilts: tuple[float, float] = (0.0, 180.0)
    max_shift: float | None = None
    as_published: bool = False

    @property
    def box(self) -> int:
        """Return the averages' box."""
        return self.images.shape[-1]

    @property
    def map_box(self) -> int:
        """Return the box of the maps, of the same extent."""
        return working_box(self.last, self.box)

    @cached_property
    def frame(self) -> Frame:
        """Return what averages and views are compared in."""
        return Frame(self.box, self.last, self.radius)

    @cached_property
    def views(self) -> Views:
        """Return the averages as they are compared."""
        return image_views(self.frame, self.images)

    @cached_property
    def plane(self) -> HalfPlane:
        """Return the coefficients that are reconstructed from."""
        return HalfPlane.of(self.box, self.last)

    @cached_property
    def coefficients(self) -> Coefficients:
        """Return those of the averages, each of unit power, ``(n, K)``."""
        cut = within_circle(self.frame, self.images)
        return self.plane.of_images(cut / np.sqrt((cut**2).sum(axis=(1, 2), keepdims=True)).clip(1e-30))


def scout(plan: Plan, number: int, *, free: bool = False) -> Plan:
    """Return the plan of the short search from the random beginning of a number, `free` of symmetry."""
    step = min(SCOUT_STEP * plan.schedule.step, 15.0)
    return replace(plan, seed=plan.seed + SEEDS * (number + 1), schedule=replace(SCOUT, step=step), group=C1 if free else plan.group)


def begin(plan: Plan, start: Map | None = None) -> State:
    """Return the state before the first iteration: the map to start from, or that of the averages in random poses."""
    count = len(plan.images)
    if start is None:
        rng = np.random.default_rng([plan.seed, 0])
        rotations = random_rotations(count, rng)
        if plan.as_published:
            rot, tilt, psi = rng.uniform(0, 1, (3, count)) * np.array([360.0, 180.0, 360.0])[:, None]
            rotations = euler_to_matrix(rot, tilt, psi)
        start = reconstructed(plan, np.arange(count), rotations, np.zeros((count, 2)), np.ones(count))
        start = _nearly_round(start) if plan.as_published else start
    return {"iteration": 0, "map": start, "centres": np.zeros((count, 2)), "history": []}


def iterate(plan: Plan, state: State) -> State:
    """Return the state after one more iteration.

    It holds each image's likest pair of those that made the map, after the last iteration all of them: ``image``, ``share``, ``correlation`` and
    ``distance`` ``(m,)``, ``rotations`` ``(m, 3, 3)``, ``shifts`` ``(m, 2)`` in px; and as ``best`` where among them each image's likest is.
    """
    iteration = state["iteration"]
    part = plan.schedule.part(iteration) * (plan.group.order if plan.as_published else 1)
    poses = directions(plan, iteration)
    if not len(poses):
        raise NothingSignificant(f"no direction lies between tilts of {plan.tilts[0]:g}° and {plan.tilts[1]:g}°", "Widen the range.")
    steps = disc_lattice(REACH, 1.0)
    found = match(plan.frame, plan.views, map_views(plan.frame, state["map"], poses), steps, centres=state["centres"], threads=plan.threads)
    shifts = state["centres"][:, None] + steps[found.shift]
    _penalise(found, shifts, FARTHEST * plan.box if plan.max_shift is None else plan.max_shift)
    share = weights(found, poses[:, 2], part, np.pi * plan.radius**2, plan.group, plan.criteria)
    image, view = np.nonzero(share)
    if not len(image):
        raise NothingSignificant(
            "no average is significantly like any view", "Turn strict directions off, or give a lower first significance."
        )
    zero = np.zeros(len(image))
    rotations = euler_to_matrix(zero, zero, found.psi[image, view]) @ poses[view]
    volume = reconstructed(plan, image, rotations, shifts[image, view], share[image, view])
    volume, moved = centred(volume)
    origins = shifts[image, view] + (rotations @ (moved * plan.box / plan.map_box))[:, :2]
    volume *= spherical_mask(len(volume), plan.radius * len(volume) / plan.box, EDGE)
    best = _best(image, found.correlation[image, view])
    centres = state["centres"].copy()
    centres[image[best]] = origins[best]
    top = found.correlation.max(axis=1)
    record = {
        "iteration": iteration + 1,
        "part": part,
        "directions": len(poses),
        "pairs": len(image),
        "images": len(best),
        "correlation": float(top.mean()),
        "discrimination": float((top - np.median(found.correlation, axis=1)).mean()),
        "change": float(np.corrcoef(volume.ravel(), state["map"].ravel())[0, 1]),
    }
    whole = iteration + 1 == plan.schedule.iterations
    kept = np.arange(len(image)) if whole else best
    return {
        "iteration": iteration + 1,
        "map": volume,
        "centres": centres,
        "history": [*state["history"], record],
        "image": image[kept],
        "share": share[image, view][kept],
        "correlation": found.correlation[image, view][kept],
        "distance": found.distance[image, view][kept],
        "rotations": rotations[kept],
        "shifts": origins[kept],
        "best": best if whole else np.arange(len(best)),
    }


def likeness(plan: Plan) -> float:
    """Return the median correlation of `COMPARED` averages with one another, turned but not shifted."""
    chosen = np.unique(np.linspace(0, len(plan.images) - 1, COMPARED).astype(np.int64))
    some = Views(plan.views.samples[:, :, chosen])
    among = match(plan.frame, some, some, np.zeros((1, 2)), threads=plan.threads).correlation
    return float(np.median(among[~np.eye(len(among), dtype=bool)]))


def directions(plan: Plan, iteration: int) -> Array:
    """Return the poses of psi 0 that are compared in an iteration, ``(R, 3, 3)``: an even grid, turned at random, in the asymmetric unit."""
    turn = random_rotations(1, np.random.default_rng([plan.seed, 1, iteration]))[0]
    vectors = fibonacci_directions(round(SPHERE / plan.schedule.spacing(iteration, plan.group.order) ** 2)) @ turn.T
    tilt = np.rad2deg(np.arccos(np.clip(vectors[:, 2], -1.0, 1.0)))
    kept = plan.group.in_unit(vectors) & (tilt >= plan.tilts[0]) & (tilt <= plan.tilts[1])
    rot = np.rad2deg(np.arctan2(vectors[kept, 1], vectors[kept, 0]))
    return euler_to_matrix(rot, tilt[kept], np.zeros(len(rot)))


def reconstructed(plan: Plan, image: NDArray[np.int64], rotations: Array, shifts: Array, share: Array) -> Map:
    """Return the map of averages number `image` ``(m,)`` in poses ``(m, 3, 3)`` and shifts ``(m, 2)`` px, each counting as its share says."""
    plane = plan.plane
    values = plan.coefficients.view(np.float32).reshape(len(plan.images), -1, 2)
    turns, moves, counts = (each.astype(np.float32) for each in (rotations, shifts * (-2 * np.pi / plan.box), share))

    def work(part: slice) -> NDArray[np.float32]:
        sums = empty_grid(plane.radius, 4)
        insert(sums, plane.kx, plane.ky, values, image[part], turns[part], moves[part], counts[part])
        return sums

    total = empty_grid(plane.radius, 4)
    for sums in ordered(work, blocks(len(image), SLICES), plan.threads):
        total += sums
    total = symmetrise(with_mates(total), plan.group)
    return divided(total, plan.last, plan.map_box, plan.box, group=plan.group)


def reprojections(plan: Plan, volume: Map, rotations: Array, shifts: Array) -> Images:
    """Return the projections of a map as averages in poses ``(m, 3, 3)`` and shifts ``(m, 2)`` px show it, ``(m, box, box)``."""
    plane = plan.plane
    grid = reference_grid(volume, plane.radius, plan.box)
    slices = np.empty((len(rotations), len(plane.kx), 2), np.float32)
    gather(grid, plane.kx, plane.ky, rotations.astype(np.float32), slices)
    angle = (2 * np.pi / plan.box) * (shifts[:, :1] * plane.kx + shifts[:, 1:] * plane.ky)
    return plane.images(slices.view(np.complex64)[..., 0] * np.exp(1j * angle))


def centred(volume: Map) -> tuple[Map, Array]:
    """Return a map moved by whole voxels to where it is most like its point-mirrored self, and by how much, (x, y, z)."""
    box = len(volume)
    mirrored = np.roll(volume[::-1, ::-1, ::-1], 1 - box % 2, axis=(0, 1, 2))
    transform = np.fft.rfftn(volume)
    cross = np.fft.irfftn(np.fft.rfftn(volume + mirrored) * transform.conj(), volume.shape, axes=(0, 1, 2))
    around = np.arange(-(box // 8), box // 8 + 1)
    near = cross[np.ix_(around, around, around)]
    moved = around[list(np.unravel_index(int(np.argmax(near)), near.shape))]
    return np.roll(volume, tuple(moved), axis=(0, 1, 2)), moved[::-1].astype(np.float64)


def _penalise(found: Matches, shifts: Array, farthest: float) -> None:
    """Make directions at which an average would have to be shifted farther than allowed too unlike to be chosen."""
    far = np.linalg.norm(shifts, axis=2) > farthest
    found.correlation[far] /= 3.0
    found.distance[far] *= 3.0


def _best(image: NDArray[np.int64], correlation: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for each image that has pairs the number of its likest one; images rise."""
    order = np.lexsort((-correlation, image))
    return order[np.unique(image[order], return_index=True)[1]]


def _nearly_round(volume: Map) -> Map:
    shell = np.rint(radius_from_centre(len(volume))).astype(np.int64)
    mean = (np.bincount(shell.ravel(), volume.ravel()) / np.bincount(shell.ravel()))[shell]
    return (mean + NEARLY_ROUND * (volume - mean)).astype(np.float32)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def insert(sums, kx, ky, values, image, rotations, moves, share):
    """Scatter images ``(n, K, 2)`` number `image` at rotations ``(m, 3, 3)``, moved by the phases ``k · moves`` and counting as `share` says."""
    count = len(kx)
    moved = np.empty((count, 2), np.float32)
    weight = np.empty(count, np.float32)
    for n in range(len(image)):
        source = values[image[n]]
        x, y, part = moves[n, 0], moves[n, 1], share[n]
        for p in range(count):
            angle = kx[p] * x + ky[p] * y
            cosine, sine = part * np.cos(angle), part * np.sin(angle)
            moved[p, 0] = cosine * source[p, 0] - sine * source[p, 1]
            moved[p, 1] = cosine * source[p, 1] + sine * source[p, 0]
            weight[p] = part
        scatter(sums, kx, ky, count, rotations[n], moved, weight)
