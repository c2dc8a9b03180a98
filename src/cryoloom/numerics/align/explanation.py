"""How well a map explains class averages, and whether they agree that it is right.

Every average is laid on the projections of the map: all poses of a coarse grid, the best few improved continuously. The grey scale and the fall of the
map's amplitudes say nothing: shell by shell they are made those of the averages, and every shell then weighs alike, or the outline of any compact
particle would decide. Three things are asked of the result. Do the averages agree along the common lines that these poses predict? Is the map
that the averages make at these poses the map they were laid on, at low resolution, where mass that is missing or too much shows? And does it
explain more than the same map averaged over all rotations, a ball?
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery, search, shift_factors
from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane, background, circular_mask
from cryoloom.numerics.align.common_lines import line_agreement
from cryoloom.numerics.align.levenberg import refine_candidates
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.align.stochastic import centred_map
from cryoloom.numerics.fourier.transforms import centred_irfft2
from cryoloom.numerics.fsc.shells import crossing_shell, fourier_shell_correlation
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.masks.soft import radius_from_centre, spherical_mask
from cryoloom.numerics.reconstruct.grids import Map, reference_grid, with_mates
from cryoloom.numerics.reconstruct.kernels import PAD, empty_grid, gather, scatter
from cryoloom.numerics.reconstruct.sums import divided

Array = NDArray[np.float64]
Grid = NDArray[np.float32]

ORDER, STEPS = 2, 24
"""HEALPix order and in-plane steps of the search: 15 degrees."""
POSES, IMPROVEMENTS = 4, 8
"""Poses of each average that are improved, and evaluations spent on each."""
REACH = 0.08
"""Largest shift sought, as a fraction of the box."""
EDGE = 4.0
"""px of soft edge of the masks."""
STIFFNESS = 100.0
"""Weight of the correlation in the likelihood whose optimum is sought."""
WORST = 0.2
"""Part of the averages, those that agree least with the rest, that is left out of the judgement: junk among them says nothing of a map."""
OUTLINE = 3.0
"""Details across the particle at which a map and the one that the averages make must be alike: missing mass shows there."""
FEWEST_DETAILS = 4.0
"""Details across the particle that a map must show at least for its poses to be told apart."""
OWN = 0.5
"""Shell correlation of the two maps up to which the candidate itself has something to say."""


@dataclass(frozen=True)
class Averages:
    """Class averages ready to be laid on maps.

    Attributes
    ----------
    plane
        Coefficients compared.
    radius
        Of the particle, px.
    images
        ``(n, K)``, every shell made alike, each image of length one.
    level
        By what shells were divided, ``(last + 1,)``: the root of the averages' mean power.
    signal
        Part of each shell's power that is not noise like that outside of the particle, ``(last + 1,)``.
    """

    plane: HalfPlane
    radius: float
    images: Coefficients
    level: Array
    signal: Array

    @classmethod
    def of(cls, images: NDArray[np.float32], diameter: float, last: int) -> "Averages":
        """Prepare averages ``(n, box, box)`` of particles of `diameter` px for comparison out to shell `last`."""
        box = images.shape[-1]
        plane = HalfPlane.of(box, min(last, box // 2 - 1))
        mask = circular_mask(box, diameter, EDGE)
        mean, spread = background(images, diameter + 2 * EDGE)
        values = plane.of_images((images - mean[:, None, None].astype(np.float32)) * mask)
        values[:, 0] = 0
        power = plane.shell_power(values)
        level = np.sqrt(np.maximum(power.mean(axis=0), 1e-30))
        noise = float(np.mean(spread**2)) * float((mask.astype(np.float64) ** 2).sum())
        values /= level[plane.shell].astype(np.float32)
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-20)
        return cls(plane, diameter / 2, values.astype(np.complex64), level, np.clip(1.0 - noise / level**2, 0.0, 1.0))

    @property
    def box(self) -> int:
        """Return the images' box, px."""
        return self.plane.box

    @property
    def details(self) -> float:
        """Return shells a detail across the particle: shell ``n · details`` resolves n of them."""
        return self.box / (2 * self.radius)

    def centred(self, shifts: Array) -> Coefficients:
        """Return the images moved by their `shifts` ``(n, 2)`` px."""
        return self.images * shift_factors(self.plane, shifts)

    @cached_property
    def shifts(self) -> Array:
        """Return the shifts tried, ``(T, 2)`` px."""
        return disc_lattice(REACH * self.box, max(1.0, 0.3 * self.box / self.plane.last))


@dataclass(frozen=True)
class Explanation:
    """What averages say of a map.

    Attributes
    ----------
    rotations, shifts
        Of each average, ``(n, 3, 3)`` and ``(n, 2)`` px.
    correlations
        Of each with its projection, ``(n,)``, every shell alike.
    ball
        Mean correlation that the map averaged over all rotations reaches.
    agreements
        Of each average with the others along common lines, ``(n,)``; see `LineAgreement`.
    agreement
        Of all but the `WORST`.
    pairs
        Part of all pairs whose planes are not nearly one.
    curve
        Shell correlation of the map and of that which the averages make at these poses, shells 0 to the last compared.
    outline
        Its mean over shells that resolve up to `OUTLINE` details across the particle.
    last
        Shell up to which lines were compared: what the map itself has.
    signal
        Mean part of the averages' power that is not noise.
    """

    rotations: Array
    shifts: Array
    correlations: Array
    ball: float
    agreements: Array
    agreement: float
    pairs: float
    curve: Array
    outline: float
    last: int
    signal: float


def explain(averages: Averages, volume: Map, threads: int = 1) -> Explanation:
    """Lay averages on the projections of a map ``(box, box, box)`` and judge it by them."""
    plane, box = averages.plane, averages.box
    sphere = spherical_mask(box, averages.radius, EDGE)
    seen = (centred_map(volume) * sphere).astype(np.float32)
    grid = _levelled(averages, seen)
    rotations, shifts, correlations = _laid(averages, grid)
    ball = _levelled(averages, _round(seen))
    made = _made(averages, rotations, shifts) * sphere
    curve = fourier_shell_correlation(made, seen)[: plane.last + 1]
    least = min(plane.last, round(FEWEST_DETAILS * averages.details))
    last = int(np.clip(crossing_shell(curve, OWN), least, plane.last))
    lines = line_agreement(averages.centred(shifts), plane, rotations, last, threads)
    possible = line_agreement(_right(averages, _levelled(averages, made), rotations), plane, rotations, last, threads).found
    each = lines.agreement(possible)
    order = np.argsort(-np.nan_to_num(each, nan=-1.0), kind="stable")
    kept = np.sort(order[: max(2, len(each) - int(WORST * len(each)))])
    among = lines.among(kept).agreement(possible[np.ix_(kept, kept)])
    agreement = float(np.nanmean(among)) if np.isfinite(among).any() else 0.0
    outline = curve[1 : max(3, round(OUTLINE * averages.details)) + 1]
    return Explanation(
        rotations, shifts, correlations, _unturned(averages, ball), each, agreement,
        lines.pairs / max(len(each) * (len(each) - 1) // 2, 1), curve, float(outline.mean()), last, float(averages.signal.mean()),
    )  # fmt: skip


def _ones(averages: Averages) -> NDArray[np.float32]:
    return np.ones(averages.images.shape, np.float32)


def _round(volume: Map) -> Map:
    """Return a map averaged over all rotations."""
    shells = np.rint(radius_from_centre(len(volume))).astype(np.int64)
    mean = np.bincount(shells.ravel(), volume.ravel()) / np.bincount(shells.ravel())
    return mean[shells].astype(np.float32)


def _levelled(averages: Averages, volume: Map) -> Grid:
    """Return the grid of a map whose projections have the same power in every shell, in the mean over views, as the averages prepared."""
    plane = averages.plane
    grid = reference_grid(volume, plane.radius, averages.box)
    views = rotation_grid(1, 1).reshape(-1, 3, 3)
    power = plane.shell_power(_slices(grid, plane, views)).mean(axis=0)
    scale = 1.0 / np.sqrt(np.maximum(power, 1e-6 * power.max()))
    scale[0] = 0.0
    # A projection is then as long as an average.
    scale /= np.sqrt((np.diff(plane.ends, prepend=0)[1:]).sum())
    centre = grid.shape[0] // 2
    axis, along = np.arange(grid.shape[0]) - centre, np.arange(grid.shape[2])
    shell = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + along**2) / PAD
    return grid * np.interp(shell, np.arange(plane.last + 1), scale).astype(np.float32)[..., None]


def _slices(grid: Grid, plane: HalfPlane, rotations: Array) -> Coefficients:
    found = np.empty((len(rotations), len(plane.kx), 2), np.float32)
    gather(grid, plane.kx, plane.ky, rotations.astype(np.float32), found)
    found[:, 0] = 0
    return found.view(np.complex64)[..., 0]


def _laid(averages: Averages, grid: Grid) -> tuple[Array, Array, Array]:
    """Return the best rotation ``(n, 3, 3)``, shift ``(n, 2)`` px and correlation ``(n,)`` of each average."""
    plane, count = averages.plane, len(averages.images)
    weight = _ones(averages)
    gallery = Gallery.of(grid, plane, rotation_grid(ORDER, STEPS))
    rotations, shifts, gains = search(gallery, averages.images, weight, averages.shifts, POSES, correlate=True)
    found = np.isfinite(gains).sum(axis=1)
    rotations, shifts = np.ascontiguousarray(rotations), np.ascontiguousarray(shifts)
    costs, curvatures = np.zeros((count, POSES)), np.zeros((count, POSES, 5, 5))
    prior = PosePrior()
    refine_candidates(
        grid, plane.kx, plane.ky, len(plane.kx), averages.box, averages.images * np.complex64(STIFFNESS), weight * np.float32(STIFFNESS),
        prior.rows(np.arange(count)), prior.mates, IMPROVEMENTS, rotations, shifts, costs, curvatures, found,
    )  # fmt: skip
    correlations = np.stack([_correlations(averages, grid, rotations[:, k], shifts[:, k]) for k in range(POSES)], axis=1)
    correlations[np.arange(POSES) >= found[:, None]] = -1.0
    rows, best = np.arange(count), correlations.argmax(axis=1)
    return rotations[rows, best], shifts[rows, best], correlations[rows, best]


def _unturned(averages: Averages, grid: Grid) -> float:
    """Return the mean correlation of the averages with a map that looks the same from everywhere."""
    model = _slices(grid, averages.plane, np.eye(3)[None])[0]
    products = (averages.images * model.conj()) @ shift_factors(averages.plane, averages.shifts).T
    return float(products.real.max(axis=1).mean() / max(float(np.linalg.norm(model)), 1e-20))


def _correlations(averages: Averages, grid: Grid, rotations: Array, shifts: Array) -> Array:
    model = _slices(grid, averages.plane, rotations)
    product = (averages.centred(shifts).conj() * model).real.sum(axis=1, dtype=np.float64)
    return product / np.maximum(np.linalg.norm(model, axis=1), 1e-20)


def _right(averages: Averages, grid: Grid, rotations: Array) -> Coefficients:
    """Return projections of a map with noise like that of the averages: what these would be like if the map and its poses were right."""
    plane = averages.plane
    parts = np.random.default_rng(0).normal(size=(2, *averages.images.shape))
    noise = (parts[0] + 1j * parts[1]) * np.sqrt((1.0 - averages.signal) / (2 * np.diff(plane.ends, prepend=0)[1:].sum()))[plane.shell]
    noise[:, 0] = 0
    return (_slices(grid, plane, rotations) * np.sqrt(averages.signal)[plane.shell] + noise).astype(np.complex64)


def _made(averages: Averages, rotations: Array, shifts: Array) -> Map:
    """Return the map ``(box, box, box)`` that the averages make at their poses."""
    plane = averages.plane
    sums = empty_grid(plane.radius, 4)
    weight = np.ones(len(plane.kx), np.float32)
    values = np.ascontiguousarray(averages.centred(shifts), np.complex64).view(np.float32).reshape(len(rotations), -1, 2)
    for image, rotation in zip(values, rotations.astype(np.float32), strict=True):
        scatter(sums, plane.kx, plane.ky, len(plane.kx), rotation, image, weight)
    return divided(with_mates(sums), plane.last, averages.box, averages.box)


def pictures(averages: Averages, volume: Map, found: Explanation, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return projections of a map, the averages laid on them, and what is left, ``(m, 3, box, box)``, as far as they were compared.

    Shells have the averages' amplitudes in both, and the projection the grey scale at which least is left.
    """
    plane, box = averages.plane, averages.box
    seen = (centred_map(volume) * spherical_mask(box, averages.radius, EDGE)).astype(np.float32)
    level = averages.level[plane.shell]
    images = averages.centred(found.shifts)[chosen] * level
    models = _slices(_levelled(averages, seen), plane, found.rotations[chosen]) * level
    scale = (images.conj() * models).real.sum(axis=1) / np.maximum((np.abs(models) ** 2).sum(axis=1), 1e-20)
    models = models * scale[:, None]
    return np.stack([_image(plane, each) for each in (models, images, images - models)], axis=1)


def _image(plane: HalfPlane, coefficients: Coefficients) -> NDArray[np.float32]:
    """Return the images ``(m, box, box)`` of coefficients ``(m, K)``."""
    box = plane.box
    kx, ky = plane.kx.astype(np.int64), plane.ky.astype(np.int64)
    half = np.zeros((len(coefficients), box, box // 2 + 1), np.complex64)
    half[:, ky % box, kx] = coefficients
    own = kx == 0
    half[:, -ky[own] % box, 0] = coefficients[:, own].conj()
    return centred_irfft2(torch.from_numpy(half), (box, box)).numpy()
