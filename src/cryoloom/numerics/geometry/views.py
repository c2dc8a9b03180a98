"""What the views of a set do to its map: how evenly they measure Fourier space, and which directions are preferred.

A view is a projection direction in the map's frame. It measures the plane of Fourier space at right angles to it, as thick as one over the
particle's diameter; the view from the opposite side measures the same plane.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfftn
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from cryoloom.numerics.geometry.cells import equal_cells
from cryoloom.numerics.geometry.coverage import fibonacci_directions
from cryoloom.numerics.geometry.symmetry import C1, PointGroup

Array = NDArray[np.float64]

DETAILS = 10.0
"""Diameters of the finest detail in a particle for which the efficiency is that of the published program: a box of 64 px, B of 160 px²."""
REACH = 22
"""Cells of one over the diameter out to which Fourier space is filled: the envelope has fallen to a hundredth."""
POINTS = 128
"""Samples a side of the point-spread function."""
RAYS = 500
"""Directions in which it is measured."""
SIDE, FINE = 2.5, 1.0
"""Degrees a side of the cells in which views are gathered for the efficiency, and for the gap."""
WHOLE = 15.0
"""Degrees a side of the cells of the coverage: about as many as HEALPix pixels of order 2."""
MANY, NARROW = 100_000, 0.5
"""Views from which on, for emptiness, those in a cell of so many degrees are one."""
CONES = 2000
"""Directions of Fourier space looked at for emptiness."""
KERNEL, APART, CAP = 15.0, 35.0, 15.0
"""Degrees: width of the kernel that finds the middle of a preferred view, least distance of two, and the cap in which it is counted."""
PREFERRED, EVIDENT = 2.0, 5.0
"""Times as many views as even ones, and standard deviations of chance above them, from which a direction is preferred."""
MOST = 12
"""Preferred directions told."""


@dataclass(frozen=True)
class Preferred:
    """A preferred view.

    Attributes
    ----------
    direction
        Unit vector, the middle of the views around it.
    share
        Of the views, within `CAP` degrees of it or a mate.
    excess
        Times as many as even views.
    """

    direction: Array
    share: float
    excess: float


@dataclass(frozen=True)
class ViewFigures:
    """How even views are.

    Attributes
    ----------
    coverage, expected
        Part of the cells of about 15 degrees that have a view, and what as many even views would give.
    efficiency
        1 for even views, below 0.5 poor: see `efficiency`.
    empty
        Part of the directions of Fourier space, at the resolution asked for, that no view measures.
    gap
        Largest angle in degrees from a direction to the nearest view, opposite views being one.
    preferred
        The strongest first.
    """

    coverage: float
    expected: float
    efficiency: float
    empty: float
    gap: float
    preferred: tuple[Preferred, ...]


def view_directions(rot: Array, tilt: Array) -> Array:
    """Return the third rows of the poses of angles in degrees: unit vectors ``(n, 3)``."""
    a, b = np.deg2rad(rot), np.deg2rad(tilt)
    sine = np.sin(b)
    return np.stack([sine * np.cos(a), sine * np.sin(a), np.cos(b)], axis=1)


def with_mates(views: Array, group: PointGroup) -> Array:
    """Return the directions that the group makes equal, ``(n · order, 3)``: the last row of ``A · R`` is the view times R."""
    return np.einsum("ni,oij->noj", views, group.operators).reshape(-1, 3)


def view_figures(views: Array, group: PointGroup, *, diameter: float, resolution: float) -> ViewFigures:
    """Return how even `views` ``(n, 3)`` are, all mates by `group` counted; a million take less than a second.

    Parameters
    ----------
    diameter, resolution
        Of the particle and of the map, Å: a Fourier cone is a direction at that resolution as wide as one over the diameter.
    """
    every, weights = _gathered(views, group)
    whole = equal_cells(WHOLE)
    return ViewFigures(
        coverage=len(np.unique(whole.of(every))) / whole.count,
        expected=float(1.0 - (1.0 - 1.0 / whole.count) ** (len(views) * group.order)),
        efficiency=efficiency(every, weights),
        empty=empty_part(views, group, resolution / (2.0 * diameter)),
        gap=largest_gap(every),
        preferred=preferred_views(every, weights, group),
    )


def efficiency(views: Array, weights: NDArray[np.int64]) -> float:
    """Return the efficiency of an orientation distribution, ``1 - 2 σ / mean`` of the radius of its point-spread function, not below 0.

    After Naydenova & Russo 2017, doi:10.1038/s41467-017-00782-3: a cell of Fourier space has the amplitude of the square root of how many views pass
    through it, under a Gaussian envelope; the radius is where the transform of that has fallen to ``1 / e²``, taken here in even directions.

    Parameters
    ----------
    views, weights
        Unit vectors ``(n, 3)``, all mates among them, and how often each counts.
    """
    cells = equal_cells(SIDE)
    counts = np.bincount(cells.of(views), weights=weights, minlength=cells.count)
    # The plane of a view is that of the opposite one: the cells of a hemisphere hold both.
    half = cells.count // 2
    planes = counts[:half] + np.bincount(cells.of(-cells.centres[half:]), weights=counts[half:], minlength=cells.count)[:half]
    used = np.flatnonzero(planes)
    passing = np.zeros((2 * REACH + 1, 2 * REACH + 1, REACH + 1))
    count_planes(cells.centres[used], planes[used], passing)
    axis, along = np.arange(-REACH, REACH + 1), np.arange(REACH + 1)
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + along**2
    amplitude = np.sqrt(passing) * np.exp(-square / DETAILS**2)
    spectrum = np.zeros((POINTS, POINTS, POINTS // 2 + 1))
    spectrum[np.ix_(axis % POINTS, axis % POINTS, along)] = amplitude
    spread = np.asarray(irfftn(spectrum, s=(POINTS,) * 3))
    radius = _radii(spread)
    return max(0.0, float(1.0 - 2.0 * radius.std() / radius.mean()))


def empty_part(views: Array, group: PointGroup, half_width: float, *, cones: int = CONES) -> float:
    """Return the part of the directions of Fourier space from whose plane no view lies less than `half_width` (a sine) away."""
    if len(views) > MANY:
        narrow = equal_cells(NARROW)
        views = narrow.centres[np.flatnonzero(np.bincount(narrow.of(views), minlength=narrow.count))]
    axes = fibonacci_directions(2 * cones)[:cones]
    mates = np.einsum("oij,nj->noi", group.operators, axes)
    found = np.zeros(cones, np.bool_)
    look_for_views(mates.astype(np.float32), views.astype(np.float32), np.float32(half_width), found)
    return float(1.0 - found.mean())


def largest_gap(views: Array) -> float:
    """Return the largest angle in degrees from any direction to the nearest of `views` or their opposites."""
    tree = cKDTree(np.concatenate([views, -views]))
    chord = np.asarray(tree.query(fibonacci_directions(4000))[0])
    return float(2.0 * np.rad2deg(np.arcsin(min(1.0, chord.max() / 2.0))))


def preferred_views(views: Array, weights: NDArray[np.int64], group: PointGroup = C1) -> tuple[Preferred, ...]:
    """Return the directions from which more than `PREFERRED` times as many views come as by chance, `MOST` at the most; of mates one.

    `views` are all mates, and count `weights` times.
    """
    total = float(weights.sum())
    cells = equal_cells(2 * SIDE)
    counts = np.bincount(cells.of(views), weights=weights, minlength=cells.count)
    near = np.cos(np.deg2rad(CAP))
    within = cells.centres @ cells.centres.T >= near
    held, even = within @ counts, within.mean(axis=1) * total
    # Of mates that were counted one by one, only one was drawn by chance.
    free = (held > PREFERRED * even) & (held - even > EVIDENT * np.sqrt(even * group.order))
    found: list[Preferred] = []
    taken = np.empty((0, 3))
    while free.any() and len(found) < MOST:
        place = int(np.argmax(np.where(free, held, -1.0)))
        middle = _middle(cells.centres[place], views, weights)
        mates = np.unique(with_mates(middle[None], group).round(6), axis=0)
        if not len(taken) or (taken @ middle).max() < np.cos(np.deg2rad(APART)):
            share = float(weights[(views @ mates.T).max(axis=1) >= near].sum()) / total
            found.append(Preferred(_in_unit(mates, group), share, share / ((1.0 - near) / 2.0 * len(mates))))
            taken = np.concatenate([taken, mates])
        barred = np.concatenate([taken, cells.centres[place][None]])
        free &= (cells.centres @ barred.T).max(axis=1) < np.cos(np.deg2rad(APART))
    return tuple(sorted(found, key=lambda one: -one.excess))


def _gathered(views: Array, group: PointGroup) -> tuple[Array, NDArray[np.int64]]:
    """Return all mates of views with ones, or, where they are many, the cells of `FINE` degrees that hold any with how many they hold."""
    fine = equal_cells(FINE)
    if len(views) * group.order <= fine.count:
        every = with_mates(views, group)
        return every, np.ones(len(every), np.int64)
    counts = np.bincount(fine.of(views), minlength=fine.count)
    if group.order > 1:
        seen = np.flatnonzero(counts)
        places = fine.of(with_mates(fine.centres[seen], group))
        counts = np.bincount(places, weights=np.repeat(counts[seen], group.order), minlength=fine.count).astype(np.int64)
    seen = np.flatnonzero(counts)
    return fine.centres[seen], counts[seen]


def _middle(start: Array, views: Array, weights: NDArray[np.int64]) -> Array:
    """Return where the views around a direction are densest: its mean under a Gaussian kernel, taken again about itself (mean shift)."""
    middle = start
    for _ in range(30):
        near = np.exp((views @ middle - 1.0) / np.deg2rad(KERNEL) ** 2)
        moved = (near * weights) @ views
        moved /= np.linalg.norm(moved)
        if moved @ middle > 1.0 - 1e-10:
            break
        middle = moved
    return middle


def _in_unit(mates: Array, group: PointGroup) -> Array:
    """Return the one of some mates that lies in the asymmetric unit."""
    inside = np.flatnonzero(group.in_unit(mates, margin=1e-6))
    return mates[inside[0] if len(inside) else 0]


def _radii(spread: Array) -> Array:
    """Return the radius, in samples, at which a function about index 0 falls to ``1 / e²`` of its top, in even directions ``(RAYS,)``."""
    steps = np.arange(0.0, POINTS / 2 - 1.0, 0.25)
    rays = fibonacci_directions(2 * RAYS)[:RAYS, ::-1]
    profile = map_coordinates(spread, (rays[:, :, None] * steps).transpose(1, 0, 2), order=1, mode="grid-wrap") / spread[0, 0, 0]
    below = profile < np.exp(-2.0)
    first = np.where(below.any(axis=1), below.argmax(axis=1), len(steps) - 1)
    row = np.arange(RAYS)
    high, low = profile[row, first - 1], profile[row, first]
    return steps[first - 1] + 0.25 * np.clip((high - np.exp(-2.0)) / np.maximum(high - low, 1e-12), 0.0, 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def count_planes(views, weights, out):
    """Add to each cell of a half space ``(2r + 1, 2r + 1, r + 1)``, z y x, within radius r the weights of the views whose plane is half a cell away."""
    r = out.shape[2] - 1
    for k in range(-r, r + 1):
        for j in range(-r, r + 1):
            for i in range(r + 1):
                if k * k + j * j + i * i > r * r:
                    continue
                total = 0.0
                for n in range(len(views)):
                    away = views[n, 0] * i + views[n, 1] * j + views[n, 2] * k
                    if abs(away) <= 0.5:
                        total += weights[n]
                out[k + r, j + r, i] = total


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def look_for_views(axes, views, half_width, found):
    """Say of each axis, given with its mates ``(n, order, 3)``, whether a view lies within `half_width` of the plane across it."""
    for n in range(len(axes)):
        for m in range(axes.shape[1]):
            x, y, z = axes[n, m, 0], axes[n, m, 1], axes[n, m, 2]
            for start in range(0, len(views), 512):
                nearest = half_width
                for v in range(start, min(start + 512, len(views))):
                    nearest = min(nearest, abs(x * views[v, 0] + y * views[v, 1] + z * views[v, 2]))
                if nearest < half_width:
                    found[n] = True
                    break
            if found[n]:
                break
