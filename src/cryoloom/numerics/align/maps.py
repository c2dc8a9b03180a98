"""One map laid on another: rotation, shift and, where asked, hand.

Maps are compared by the mean correlation of their shells, so that neither the steep fall of a map's amplitudes nor its filter decides. Every
rotation in steps of 15 degrees is tried at the detail of a sixth of the particle, each with all shifts by one transform; the best are improved
continuously there, then at `FINEST` or the low-pass asked for, the very best once more with every shell weighted by its own reliability
(``FSC / (1 - FSC²)``: what two noisy copies of one map say of each other, by maximum likelihood).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfftn
from scipy.optimize import minimize

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import centred_rfft3, resample_volume
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.sphere import rotation_grid
from cryoloom.numerics.geometry.symmetry import PointGroup, point_group
from cryoloom.numerics.masks.soft import cosine_edge, spherical_mask
from cryoloom.numerics.reconstruct.grids import reference_grid, working_box
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.reconstruct.kernels import PAD
from cryoloom.numerics.reconstruct.symmetry import spline_of, turned_map

Map = NDArray[np.float32]
Array = NDArray[np.float64]

FINEST = 25.0
"""Å at which maps are compared when no low-pass is given; particles smaller than six times as much at a sixth of their diameter."""
DETAILS = 6
"""Details across the particle in the first search."""
FEWEST, MOST = 5, 14
"""Shells of the first search: fewer tell no orientations apart, more take long."""
MOST_SHELLS = 48
"""Shells of the last step."""
ORDER, STEPS = 2, 24
"""HEALPix order and in-plane steps of the first search: 15 degrees."""
BATCH = 64
"""Rotations tried at once."""
STARTS, KEPT = 32, 6
"""Orientations improved at the coarse detail, and how many of them at the fine."""
NUDGE = 0.05
"""Voxels by which places are moved to find the slope of the score."""
EVIDENT = 0.01
"""By how much the mean correlation of the shells must be higher for the mirrored map to be called the right one."""
DIAMETERS = 3.6
"""Diameter of a particle in radii of gyration of its dense part: 2.6 in a ball, more in what is not round."""
RELIABLE = 0.143
"""Shell correlation below which the last step leaves the rest of the shells out."""


@dataclass(frozen=True)
class MapAlignment:
    """How a map has to be moved to lie on another; `moved_map` does it.

    Attributes
    ----------
    rotation
        ``(3, 3)``; what lies at ``x`` (x, y, z from the centre of the box) goes to ``rotation · x + shift``.
    shift
        ``(3,)``, x, y, z in Å.
    mirrored
        Whether the map is first replaced by its other hand (`mirrored_map`).
    correlation
        Of the two maps, the one moved, up to `low_pass`: -1 to 1.
    other_hand
        The same of the hand that was not taken, at its own best place; None where only one was tried.
    low_pass
        Å.
    """

    rotation: Array
    shift: Array
    mirrored: bool
    correlation: float
    other_hand: float | None = None
    low_pass: float = FINEST


@dataclass(frozen=True)
class Candidate:
    """One of several ways to lay a map on another.

    Attributes
    ----------
    alignment
        How to move it.
    score
        Mean correlation of the shells compared.
    z
        By how many standard deviations the score of the search lies above the mean over all rotations; NaN where nothing was searched.
    """

    alignment: MapAlignment
    score: float
    z: float


def ranked_alignments(
    moving: Map,
    reference: Map,
    pixel_size: float,
    *,
    symmetry: str = "C1",
    low_pass: float | None = None,
    count: int = 10,
    start: Array | None = None,
) -> list[Candidate]:
    """Find the best ways of moving a map, a part of `reference` or all of it, to lie on it: up to `count` different ones, the best first.

    Parameters
    ----------
    moving, reference, pixel_size, symmetry, low_pass
        As in `align_map`; the detail of the search is that of the smaller of both.
    start
        A shift in Å: only improve on the map moved by it, as it is turned; None tries every rotation.

    Raises
    ------
    ValueError
        As `align_map`.
    """
    _demand_comparable(moving, reference)
    group = point_group(symmetry)
    fixed = _Fixed.of(reference, pixel_size, low_pass, widest=_extent(moving)[1] * pixel_size)
    scale = pixel_size * len(reference) / fixed.box
    near = None if start is None else _Place(np.eye(3), np.asarray(start) / scale, 0.0)
    places = [_least_turned(place, group) for place in _Comparison(fixed, fixed.reduced(moving)).ranked(group, count, near)]
    return [
        Candidate(MapAlignment(place.rotation, place.shift * scale, False, place.correlation, None, fixed.low_pass), place.score, place.z)
        for place in places
    ]


def align_map(
    moving: Map,
    reference: Map,
    pixel_size: float,
    *,
    symmetry: str = "C1",
    low_pass: float | None = None,
    try_hand: bool = False,
    near: bool = False,
) -> MapAlignment:
    """Find how `moving` has to be moved to lie on `reference`.

    Parameters
    ----------
    moving, reference
        Maps ``(d, d, d)`` of one box.
    pixel_size
        Å.
    symmetry
        Of the reference, in its own frame: rotations that differ by it are one, of which the smallest is returned.
    low_pass
        Finest detail compared, Å. None: `FINEST` for the search, and whatever the maps share for the last step.
    try_hand
        Also try the other hand of `moving`, and take it where it fits better by `EVIDENT`.
    near
        Only improve on where it lies already, instead of trying every rotation.

    Raises
    ------
    ValueError
        If the maps are not cubes of one box, hold values that are no numbers, or one of them is the same everywhere.
    """
    _demand_comparable(moving, reference)
    group = point_group(symmetry)
    fixed = _Fixed.of(reference, pixel_size, low_pass)
    found = _Comparison(fixed, fixed.reduced(moving)).best(group, near=near)
    other = _Comparison(fixed, fixed.reduced(mirrored_map(moving))).best(group, near=near) if try_hand else None
    mirrored = other is not None and other.score > found.score + EVIDENT
    if other is not None and mirrored:
        found, other = other, found
    found = _least_turned(found, group)
    return MapAlignment(
        found.rotation, found.shift * (pixel_size * len(reference) / fixed.box), mirrored, found.correlation,
        None if other is None else other.correlation, fixed.low_pass,
    )  # fmt: skip


def moved_map(volume: Map, alignment: MapAlignment, pixel_size: float) -> Map:
    """Return a map ``(d, d, d)`` of any box, mirrored, turned and moved as `alignment` says, by cubic interpolation; 0 comes in at the borders."""
    hand = mirrored_map(volume) if alignment.mirrored else volume
    back = alignment.rotation.T
    spline = spline_of(hand, fine=True)
    return turned_map(spline, back, -back @ alignment.shift / pixel_size, filtered=True, box=len(volume)).astype(np.float32)


def _demand_comparable(moving: Map, reference: Map) -> None:
    if moving.shape != reference.shape or moving.ndim != 3 or len(set(moving.shape)) != 1:
        raise ValueError(f"maps must be cubes of one box; got {moving.shape} and {reference.shape}")
    for name, volume in (("map", moving), ("reference", reference)):
        if not np.isfinite(volume).all():
            raise ValueError(f"the {name} holds values that are no numbers")
        if volume.min() == volume.max():
            raise ValueError(f"the {name} is {float(volume.flat[0]):g} everywhere")


@dataclass(frozen=True)
class _Fixed:
    """The reference: its coefficients over half of Fourier space, nearest to the origin first.

    Attributes
    ----------
    box, full_box
        Voxels of the grid in which maps are compared, and of the maps as given.
    lattice
        ``(n, 3)``, x, y, z in cycles per box.
    values
        ``(n,)``.
    coarse, fine
        Shells of the first search and of the comparison.
    """

    box: int
    full_box: int
    lattice: NDArray[np.float32]
    values: NDArray[np.complex64]
    coarse: int
    fine: int
    low_pass: float
    reach: float

    @classmethod
    def of(cls, reference: Map, pixel_size: float, low_pass: float | None, widest: float = np.inf) -> "_Fixed":
        full = len(reference)
        extent = full * pixel_size
        diameter = min(_extent(reference)[1] * pixel_size, widest)
        finest = 2.2 * pixel_size
        detail = max(min(FINEST, diameter / DETAILS) if low_pass is None else low_pass, finest)
        fine = max(3, int(extent / detail))
        last = min(MOST_SHELLS, int(extent / finest)) if low_pass is None else fine
        coarse = int(np.clip(DETAILS * extent / diameter, FEWEST, MOST))
        box = working_box(max(last, fine), full)
        lattice = _half_ball(max(last, fine))
        small = _reduced(reference, box)
        return cls(box, full, lattice, _coefficients(small, lattice), min(coarse, fine), fine, extent / fine, 0.5 * box * diameter / extent)

    @cached_property
    def shells(self) -> NDArray[np.int64]:
        return np.rint(np.sqrt((self.lattice.astype(np.float64) ** 2).sum(axis=1))).astype(np.int64)

    def count(self, shells: int) -> int:
        """Return how many coefficients lie in shells up to `shells`."""
        return int(np.searchsorted(self.shells, shells, side="right"))

    def reduced(self, volume: Map) -> Map:
        return _reduced(volume, self.box)


@dataclass(frozen=True)
class _Place:
    """A rotation and a shift (voxels of the compared grid), the mean correlation of the shells there, that of the maps, and its `Candidate.z`."""

    rotation: Array
    shift: Array
    score: float
    correlation: float = 0.0
    z: float = np.nan


class _Comparison:
    """One hand of the moving map beside the reference."""

    def __init__(self, fixed: _Fixed, moving: Map) -> None:
        self.fixed = fixed
        top = float(fixed.shells[-1])
        self.grid = reference_grid(moving, min(top + 1.0, len(moving) / 2), len(moving))
        one, two = (
            _shell_mean(np.abs(values) ** 2, fixed.shells)[fixed.shells] for values in (fixed.values, _coefficients(moving, fixed.lattice))
        )
        known = (one > 0) & (two > 0)
        self.whitened = np.divide(fixed.values.conj(), np.sqrt(one * two), where=known, out=np.zeros_like(fixed.values))
        self.inverse_power = np.divide(1.0, two, where=known, out=np.zeros(len(two)))

    def best(self, group: PointGroup, *, near: bool = False) -> _Place:
        """Return the best place of all, or the nearest good one."""
        return self.ranked(group, KEPT, _Place(np.eye(3), np.zeros(3), 0.0) if near else None)[0]

    def ranked(self, group: PointGroup, count: int, near: _Place | None) -> list[_Place]:
        """Return up to `count` good places, the best first and taken to the finest detail, the others to that of the comparison."""
        fixed = self.fixed
        even = np.ones(fixed.shells[-1] + 1)
        starts, mean, spread = self._search(group) if near is None else ([near], np.nan, np.nan)
        places = [self._improved(place, fixed.coarse, even, 8) for place in starts]
        places = [replace(place, z=(place.score - mean) / spread) for place in _distinct(places, group)[:count]]
        best, *others = _distinct([self._improved(each, fixed.fine, even, 20) for each in places], group)
        return [self._finished(best, even), *(replace(each, correlation=self._agreement(each)[1]) for each in others)]

    def _finished(self, place: _Place, even: Array) -> _Place:
        """Return a place improved at all the detail that both maps share there."""
        fixed = self.fixed
        curve, _ = self._agreement(place)
        low = np.flatnonzero(curve < RELIABLE)
        shells = int(low[0]) - 1 if low.size else len(curve) - 1
        if shells >= 3:
            reliable = np.clip(curve, 0.0, 0.95)
            last = self._improved(place, shells, reliable / (1 - reliable**2), 40)
            last = replace(last, score=self._score(last, fixed.fine, even))
            place = last if last.score > place.score - EVIDENT else place  # few shells of a chance agreement lead astray
        return replace(place, correlation=self._agreement(place)[1])

    def _terms(self, shells: int, weights: Array) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Return by what the moving map's coefficients, and by what their squares, are multiplied for the weighted mean of shells up to `shells`."""
        count = self.fixed.count(shells)
        each = weights[self.fixed.shells[:count]]
        each = each / each.sum()
        return (self.whitened[:count] * each).astype(np.complex64), (self.inverse_power[:count] * each).astype(np.float32)

    def _search(self, group: PointGroup) -> tuple[list[_Place], float, float]:
        """Return the best shift of the best `STARTS` rotations of the grid, and mean and standard deviation of the scores of all."""
        fixed = self.fixed
        grid = np.swapaxes(rotation_grid(ORDER, STEPS).reshape(-1, 3, 3), -1, -2)
        # The inverse of a rotation is a view of the reference: its mates are the same place.
        rotations = grid[group.in_unit(grid[:, :, 2], margin=180.0 / STEPS)]
        terms, _ = self._terms(fixed.coarse, np.ones(fixed.coarse + 1))
        lattice = fixed.lattice[: len(terms)]
        size = 2 * fixed.coarse + 4
        x, y, z = lattice.astype(np.int64).T
        mated = x == 0
        scores, shifts = np.empty(len(rotations)), np.empty((len(rotations), 3))
        values = np.empty((BATCH, len(terms)), np.complex64)
        for start in range(0, len(rotations), BATCH):
            some = rotations[start : start + BATCH]
            turned(self.grid, lattice, some.astype(np.float32), values)
            product = (values[: len(some)] * terms).conj()
            half = np.zeros((len(some), size, size, size // 2 + 1), np.complex64)
            half[:, z, y, x] = product
            half[:, -z[mated], -y[mated], 0] = product[:, mated].conj()
            found = irfftn(half, s=(size, size, size), axes=(1, 2, 3), norm="forward").reshape(len(some), -1)
            peak = found.argmax(axis=1)
            scores[start : start + BATCH] = found[np.arange(len(some)), peak] / 2
            place = np.stack(np.unravel_index(peak, (size, size, size))[::-1], axis=1)
            shifts[start : start + BATCH] = ((place + size // 2) % size - size // 2) * (fixed.box / size)
        order = np.argsort(-scores, kind="stable")[:STARTS]
        best = [_Place(rotations[number], shifts[number], float(scores[number])) for number in order]
        return best, float(scores.mean()), max(float(scores.std()), 1e-12)

    def _improved(self, place: _Place, shells: int, weights: Array, steps: int) -> _Place:
        """Return the nearest place at which the weighted correlation of the first `shells` shells is highest."""
        terms, squares = self._terms(shells, weights)
        lattice, box, reach = self.fixed.lattice[: len(terms)], self.fixed.box, self.fixed.reach
        nudges = NUDGE / reach * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
        out, slope = np.empty(len(nudges)), np.empty(3)

        def scored(x: Array) -> tuple[float, Array]:
            rotations = rotation_from_vector(x[:3] / reach + nudges) @ place.rotation
            score(self.grid, lattice, terms, squares, rotations, (x[3:] + place.shift) / box, out, slope)
            return -float(out[0]), np.concatenate([(out[4:] - out[1:4]) / (2 * NUDGE), -slope / box])

        found = minimize(scored, np.zeros(6), jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-7, "gtol": 1e-6})
        rotation = rotation_from_vector(found.x[:3] / reach) @ place.rotation
        return replace(place, rotation=rotation, shift=found.x[3:] + place.shift, score=-float(found.fun))

    def _score(self, place: _Place, shells: int, weights: Array) -> float:
        (terms, squares), out = self._terms(shells, weights), np.empty(1)
        lattice = self.fixed.lattice[: len(terms)]
        score(self.grid, lattice, terms, squares, place.rotation[None], place.shift / self.fixed.box, out, np.empty(3))
        return float(out[0])

    def _agreement(self, place: _Place) -> tuple[Array, float]:
        """Return the shell correlation of the maps, one moved to a place, and their correlation in the shells compared."""
        fixed = self.fixed
        values = np.empty((1, len(fixed.lattice)), np.complex64)
        turned(self.grid, fixed.lattice, place.rotation[None].astype(np.float32), values)
        moved = values[0] * np.exp(-2j * np.pi / fixed.box * (fixed.lattice @ place.shift))
        cross, one, two = (
            np.bincount(fixed.shells, each) for each in ((fixed.values.conj() * moved).real, np.abs(fixed.values) ** 2, np.abs(moved) ** 2)
        )
        curve = cross / np.maximum(np.sqrt(one * two), 1e-30)
        curve[0] = 1.0
        compared = slice(0, fixed.fine + 1)
        whole = cross[compared].sum() / max(np.sqrt(one[compared].sum() * two[compared].sum()), 1e-30)
        return curve, float(whole)


def _distinct(places: list[_Place], group: PointGroup) -> list[_Place]:
    """Return places, the best first, without those that lie within a few degrees of a better one."""
    kept: list[_Place] = []
    for place in sorted(places, key=lambda each: -each.score):
        if all(float(group.angle(place.rotation.T, other.rotation.T)) > 5.0 for other in kept):
            kept.append(place)
    return kept


def _least_turned(place: _Place, group: PointGroup) -> _Place:
    """Return the mate that people expect: what lies on a symmetric map lies on it from every one."""
    nearest = group.operators[np.argmax(np.trace(group.operators @ place.rotation, axis1=1, axis2=2))]
    return replace(place, rotation=nearest @ place.rotation, shift=nearest @ place.shift)


def _extent(volume: Map) -> tuple[Array, float]:
    """Return where what is dense in a map lies (x, y, z from the centre of the box) and about how wide a particle it is, voxels."""
    box = len(volume)
    dense = lowpass(volume, 1.0, box / 8) * spherical_mask(box, box / 2 - 2, 1.0)
    dense = np.maximum(dense, 0.0) ** 2
    total = max(float(dense.sum(dtype=np.float64)), 1e-30)
    axis = np.arange(box) - box // 2
    sums = [dense.sum(axis=others, dtype=np.float64) / total for others in ((0, 1), (0, 2), (1, 2))]
    centre = np.array([each @ axis for each in sums])
    spread = sum(float(each @ axis**2) for each in sums) - float(centre @ centre)
    return centre, float(np.clip(DIAMETERS * np.sqrt(spread), 0.1 * box, box))


def _reduced(volume: Map, box: int) -> Map:
    """Return a map at `box` voxels less its surroundings, and nothing of them farther from the particle than half its diameter."""
    small = resample_volume(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)), box).numpy()
    centre, diameter = _extent(small)
    axis = np.arange(box) - box // 2
    distance = np.sqrt(
        sum(offset.astype(np.float32) ** 2 for offset in np.meshgrid(*(axis - each for each in centre[::-1]), indexing="ij"))
    )
    around = distance > 0.75 * diameter
    level = small[around].mean() if around.any() else 0.0
    return (small - level) * cosine_edge(distance - 0.75 * diameter, 0.1 * diameter)


def _half_ball(radius: int) -> NDArray[np.float32]:
    """Return one of each pair ``k, -k`` of whole frequencies (x, y, z) in shells 1 to `radius`, by distance, ``(n, 3)``."""
    axis = np.arange(-radius, radius + 1)
    z, y, x = np.meshgrid(axis, axis, np.arange(radius + 1), indexing="ij")
    squared = x * x + y * y + z * z
    kept = (squared > 0) & (squared <= radius * radius) & ((x > 0) | (y > 0) | ((y == 0) & (z > 0)))
    points = np.stack([x[kept], y[kept], z[kept]], axis=1)
    return points[np.argsort(squared[kept], kind="stable")].astype(np.float32)


def _coefficients(volume: Map, lattice: NDArray[np.float32]) -> NDArray[np.complex64]:
    x, y, z = lattice.astype(np.int64).T
    return np.asarray(centred_rfft3(torch.from_numpy(volume)).numpy()[z, y, x], np.complex64)


def _shell_mean(values: Array, shells: NDArray[np.int64]) -> Array:
    return np.bincount(shells, values) / np.maximum(np.bincount(shells), 1)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", forceinline=True)
def _at(grid, x, y, z):
    """Return the value of a half-space grid ``(…, 2)`` at a frequency in its own cells, linear between them."""
    one, sign = np.float32(1), np.float32(1)
    if x < 0:
        x, y, z, sign = -x, -y, -z, -sign
    centre = np.float32(grid.shape[0] // 2)
    y += centre
    z += centre
    i, j, k = int(x), int(y), int(z)
    fx, fy, fz = x - np.float32(i), y - np.float32(j), z - np.float32(k)
    re = im = np.float32(0)
    for dz in range(2):
        wz = fz if dz else one - fz
        for dy in range(2):
            w = wz * (fy if dy else one - fy)
            near, far = grid[k + dz, j + dy, i], grid[k + dz, j + dy, i + 1]
            re += w * ((one - fx) * near[0] + fx * far[0])
            im += w * ((one - fx) * near[1] + fx * far[1])
    return re, sign * im


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def turned(grid, lattice, rotations, out):
    """Write the transforms of a map turned by `rotations` ``(n, 3, 3)`` at the frequencies of `lattice` into `out` ``(≥ n, K)``."""
    pad = np.float32(PAD)
    for n in range(rotations.shape[0]):
        a = rotations[n]
        for p in range(lattice.shape[0]):
            u, v, w = pad * lattice[p, 0], pad * lattice[p, 1], pad * lattice[p, 2]
            x = a[0, 0] * u + a[1, 0] * v + a[2, 0] * w
            y = a[0, 1] * u + a[1, 1] * v + a[2, 1] * w
            z = a[0, 2] * u + a[1, 2] * v + a[2, 2] * w
            re, im = _at(grid, x, y, z)
            out[n, p] = complex(re, im)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def score(grid, lattice, terms, squares, rotations, shift, out, slope):
    """Write ``Re Σ terms · F / √(Σ squares · |F|²)`` into `out` ``(n,)``, F being a map turned by each rotation, then moved by `shift` (boxes).

    `slope` ``(3,)`` becomes the first one's slope in the shift. The division takes out what interpolation does: where a rotation carries the grid onto
    itself nothing is interpolated, and the map that was corrected for it would look the stronger.
    """
    pad = np.float32(PAD)
    slope[:] = 0.0
    for n in range(rotations.shape[0]):
        a = rotations[n].astype(np.float32)
        total = power = 0.0
        for p in range(terms.shape[0]):
            u, v, w = lattice[p, 0], lattice[p, 1], lattice[p, 2]
            x = pad * (a[0, 0] * u + a[1, 0] * v + a[2, 0] * w)
            y = pad * (a[0, 1] * u + a[1, 1] * v + a[2, 1] * w)
            z = pad * (a[0, 2] * u + a[1, 2] * v + a[2, 2] * w)
            re, im = _at(grid, x, y, z)
            angle = np.float32(-2 * np.pi * (u * shift[0] + v * shift[1] + w * shift[2]))
            c, s = np.cos(angle), np.sin(angle)
            moved_re, moved_im = re * c - im * s, re * s + im * c
            real, imaginary = terms[p].real, terms[p].imag
            power += squares[p] * (re * re + im * im)
            total += real * moved_re - imaginary * moved_im
            if n == 0:
                steep = 2 * np.pi * (real * moved_im + imaginary * moved_re)
                slope[0] += steep * u
                slope[1] += steep * v
                slope[2] += steep * w
        power = np.sqrt(max(power, 1e-30))
        out[n] = total / power
        if n == 0:
            slope[:] /= power
