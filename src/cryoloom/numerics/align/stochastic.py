"""First maps from nothing: mini-batches, every pose of a coarse grid weighed, sums that slowly forget.

Stochastic expectation-maximisation in the manner of Punjani et al. 2017 (doi:10.1038/nmeth.4169) and Kimanius et al. 2021
(doi:10.1042/BCJ20210708): a random map is compared with a small random batch at a low band, the batch is averaged with its posterior over all
rotations and shifts, and joins sums of earlier batches that fade. Small batches and fading shake the map out of false optima; band, batch and
memory grow. Two pseudo-halves of the batches tell which shells repeat, and shells that do not are suppressed. They share their reference, so
their agreement regularises and is never reported.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.coarse import Gallery, norm_terms, shift_factors, shifted_rows
from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.schedule import coarse_shell
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import Map, reference_grid, with_mates, working_box
from cryoloom.numerics.reconstruct.kernels import empty_grid, scatter
from cryoloom.numerics.reconstruct.sums import divided, joined_ssnr

Array = NDArray[np.float64]
State = dict[str, Any]

BLOCK = 12
"""Images a product; blocks go to the two pseudo-halves by turns."""
LEAST_LOG = -12.0
"""Poses less likely than the best by more than this are left out."""
FITTED = 400
"""Images that tell which of some maps fits better."""
SHIFT_SPREAD = 0.03
"""Standard deviation of the prior on shifts, as a fraction of the box."""


@dataclass(frozen=True)
class Plan:
    """What stays the same through a search for first maps.

    Attributes
    ----------
    images
        The set; its coefficients reach `last_shell`.
    radius
        Of the circular mask, px of the images.
    classes
        Maps sought.
    seed, threads
        The result depends on the first only.
    batches
        Mini-batches in all.
    first_batch, last_batch
        Images of the first and of the last ones.
    regularisation
        Factor on the signal-to-noise ratio that the pseudo-halves' curve stands for.
    positive
        Set what is negative in the maps to nothing.
    reach
        px, largest shift sought; None for two steps of the coarse lattice.
    """

    images: ImageSet
    radius: float
    classes: int
    seed: int
    threads: int = 1
    batches: int = 120
    first_batch: int = 96
    last_batch: int = 192
    regularisation: float = 1.0
    positive: bool = True
    reach: float | None = None

    @property
    def box(self) -> int:
        """Return the images' box."""
        return self.images.plane.box

    @property
    def last_shell(self) -> int:
        """Return the band of the last batches: what the coarse grid can follow."""
        return coarse_shell(self.images.plane.last, self.box, self.radius)

    @property
    def first_shell(self) -> int:
        """Return the band of the first batches: a sixth of the mask's diameter."""
        return min(self.last_shell, max(4, round(3 * self.box / self.radius)))

    @property
    def plane(self) -> HalfPlane:
        """Return the coefficients out to `last_shell`."""
        return self.images.plane.within(self.last_shell)

    def growth(self, batch: int) -> float:
        """Return 0 over the first three tenths of the batches, then a straight line to 1 at eight tenths."""
        return float(np.clip((batch / self.batches - 0.3) / 0.5, 0.0, 1.0))

    def shell(self, batch: int) -> int:
        """Return the band of a batch."""
        return round(self.first_shell + self.growth(batch) * (self.last_shell - self.first_shell))


def begin(plan: Plan) -> State:
    """Return the state before the first batch: sums of a few images at random poses, others in every class."""
    rng = np.random.default_rng([plan.seed, 0])
    total = plan.images.total_power()
    sums = np.stack([[empty_grid(plan.plane.radius, 4)] * 2] * plan.classes)
    for pair in sums:
        rows = np.sort(rng.choice(len(plan.images), min(plan.first_batch, len(plan.images)), replace=False))
        data, weight = plan.images.prepare(rows, plan.plane, total)
        for number, rotation in enumerate(random_rotations(len(rows), rng).astype(np.float32)):
            values = data[number].view(np.float32).reshape(-1, 2)
            count = plan.plane.ends[plan.first_shell]
            scatter(pair[number % 2], plan.plane.kx, plan.plane.ky, count, rotation, values, weight[number])
    return {
        "batch": 0,
        "sums": sums,
        "total": total,
        "explained": np.zeros(plan.images.plane.last + 1),
        "occupancy": np.full(plan.classes, 1.0 / plan.classes),
        "history": [],
    }


def iterate(plan: Plan, state: State) -> State:
    """Return the state after one more mini-batch."""
    batch = state["batch"]
    rng = np.random.default_rng([plan.seed, 1, batch])
    growth, shell = plan.growth(batch), plan.shell(batch)
    keep = 0.7 + 0.2 * growth
    plane = plan.images.plane.within(shell)
    maps, _ = maps_of(plan, state["sums"], shell)
    gallery = _gallery(plan, maps, plane, rotation_grid(2, 24) @ random_rotations(1, rng)[0])
    size = min(len(plan.images), round(plan.first_batch + growth * (plan.last_batch - plan.first_batch)))
    rows = np.sort(rng.choice(len(plan.images), size, replace=False))
    found = expect(plan, rows, gallery, noise_of(state), state["occupancy"])
    sums = keep * state["sums"]
    flat = gallery.rotations.reshape(plan.classes, -1, 3, 3).astype(np.float32)
    for member in range(plan.classes):
        for half in (0, 1):
            data, weight = found.data[half, member], found.weight[half, member]
            for r in np.flatnonzero(weight.any(axis=1)):
                scatter(sums[member, half], plane.kx, plane.ky, len(plane.kx), flat[member, r], data[r], weight[r])
    explained = state["explained"].copy()
    explained[: shell + 1] = keep * explained[: shell + 1] + (1 - keep) * found.explained
    occupancy = keep * state["occupancy"] + (1 - keep) * found.members.mean(axis=0)
    # No class may starve before it has had a chance to become something.
    occupancy = np.maximum(occupancy, 0.3 / plan.classes)
    occupancy /= occupancy.sum()
    record = {"batch": batch + 1, "shell": shell, "images": size, "max_probability": found.certainty, "gain": found.gain}
    record["share"] = occupancy.tolist()
    return {
        **state,
        "batch": batch + 1,
        "sums": sums.astype(np.float32),
        "explained": explained,
        "occupancy": occupancy,
        "history": [*state["history"], record],
    }


def memberships(plan: Plan, state: State) -> Array:
    """Return how likely every image of the set is in each class, whatever its pose, ``(n, classes)``."""
    shell = plan.last_shell
    maps, _ = maps_of(plan, state["sums"], shell)
    turn = random_rotations(1, np.random.default_rng([plan.seed, 2]))[0]
    gallery = _gallery(plan, maps, plan.plane, rotation_grid(2, 24) @ turn)
    noise, members = noise_of(state), []
    for part in blocks(len(plan.images), 512):
        rows = np.arange(part.start, part.stop)
        members.append(expect(plan, rows, gallery, noise, state["occupancy"]).members)
    return np.concatenate(members)


def fit(plan: Plan, state: State, maps: NDArray[np.float32], among: NDArray[np.int64]) -> Array:
    """Return for maps ``(n, b, b, b)`` the mean log-likelihood gained over noise by `FITTED` images `among` some, all at the same grid of poses."""
    rows = np.sort(np.random.default_rng([plan.seed, 4]).permutation(among)[:FITTED])
    rotations = rotation_grid(2, 24) @ random_rotations(1, np.random.default_rng([plan.seed, 5]))[0]
    alone, noise = replace(plan, classes=1), noise_of(state)
    galleries = (_gallery(alone, one[None], plan.plane, rotations) for one in maps)
    return np.array([expect(alone, rows, gallery, noise, np.ones(1)).gain for gallery in galleries])


def centred_map(volume: Map) -> Map:
    """Return a map moved by whole voxels so that the centre of its positive mass is the box's centre."""
    mass = np.maximum(volume, 0.0).astype(np.float64)
    axis = np.arange(len(volume)) - len(volume) // 2
    sides = [mass.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    shift = [-round(float((side * axis).sum() / max(side.sum(), 1e-30))) for side in sides]
    return np.roll(volume, shift, axis=(0, 1, 2))


def noise_of(state: State) -> Array:
    """Return ``E|N|²``: the power of the images less what the maps explain of it, ``(groups, shells)``."""
    return state["total"] * np.clip(1.0 - state["explained"], 0.1, 1.0)


def maps_of(plan: Plan, sums: NDArray[np.float32], shell: int) -> tuple[NDArray[np.float32], Array]:
    """Return regularised maps ``(classes, b, b, b)`` of sums ``(classes, 2, …)`` out to `shell`, and the pseudo-halves' curves."""
    box = working_box(plan.last_shell, plan.box)
    sphere = spherical_mask(box, plan.radius * box / plan.box, 3.0)
    maps, curves = [], []
    for pair in sums:
        halves = [with_mates(half.copy()) for half in pair]
        single = [divided(half, shell, box, plan.box) * sphere for half in halves]
        curve = np.maximum(fourier_shell_correlation(single[0], single[1])[: shell + 1], 0.0)
        ssnr = plan.regularisation * joined_ssnr(curve, combined=True)
        found = divided(halves[0] + halves[1], shell, box, plan.box, ssnr=ssnr) * sphere
        maps.append(np.maximum(found, 0.0) if plan.positive else found)
        curves.append(curve)
    return np.stack(maps), np.stack(curves)


def _gallery(plan: Plan, maps: NDArray[np.float32], plane: HalfPlane, rotations: Array) -> Gallery:
    """Slice all classes at the same rotations, one class after the other."""
    parts = [Gallery.of(reference_grid(one, plane.radius, plan.box), plane, rotations) for one in maps]
    slices, power = (torch.cat([getattr(part, name) for part in parts], dim=1) for name in ("slices", "power"))
    return Gallery(plane, np.concatenate([rotations] * len(maps)), slices, power)


@dataclass(frozen=True)
class Batch:
    """What a batch says: slices to insert a pseudo-half, class and rotation, and how well the maps explain the images.

    Attributes
    ----------
    data, weight
        ``(2, classes, rotations, K, 2)`` and ``(2, classes, rotations, K)``.
    explained
        Fraction of the images' power a shell that the maps account for.
    members
        Weight of each class for each image, ``(n, classes)``.
    certainty, gain
        Mean weight of the best pose, and mean log-likelihood of the images over that of noise.
    """

    data: NDArray[np.float32]
    weight: NDArray[np.float32]
    explained: Array
    members: Array
    certainty: float
    gain: float


def expect(plan: Plan, rows: NDArray[np.int64], gallery: Gallery, noise: Array, occupancy: Array) -> Batch:
    """Weigh every class, rotation and shift for the images `rows` and average them accordingly."""
    plane = gallery.plane
    count, poses = len(plane.kx), gallery.slices.shape[1]
    step = 0.375 * plan.box / plane.last
    shifts = disc_lattice(2 * step if plan.reach is None else max(plan.reach, step), step)
    spread = SHIFT_SPREAD * plan.box if plan.reach is None else plan.reach / 2
    factors = shift_factors(plane, shifts)
    penalty = (0.5 * (shifts**2).sum(axis=1) / spread**2).astype(np.float32)
    prior = np.repeat(np.log(occupancy), poses // plan.classes).astype(np.float32)

    def work(part: slice) -> tuple[NDArray[np.int64], Tensor, Tensor, Array, Array]:
        data, weight = plan.images.prepare(rows[part], plane, noise)
        shifted = shifted_rows(data, factors)
        scores = shifted @ gallery.slices
        norms = norm_terms(gallery, weight)
        each, best, gain = np.zeros((len(data), poses), np.float32), np.zeros(len(data)), np.zeros(len(data))
        softmax(scores.numpy(), norms.numpy(), penalty, prior, each, best, gain)
        # Late batches touch few rotations: only these are averaged.
        used = np.flatnonzero(each.any(axis=0))
        mass = torch.from_numpy(np.ascontiguousarray(each[:, used].T)) @ torch.from_numpy(weight)
        average = torch.from_numpy(np.ascontiguousarray(scores.numpy()[:, used].T)) @ shifted
        power = np.zeros(plane.last + 1)
        inverse = 1.0 / noise[plan.images.group[rows[part]]][:, plane.shell]
        images = plan.images.storage.take(rows[part], count)
        np.add.at(power, plane.shell, (inverse * (images.real**2 + images.imag**2)).sum(axis=0))
        members = each.reshape(len(data), plan.classes, -1).sum(axis=2, dtype=np.float64)
        return used, average, mass, np.concatenate([members, best[:, None], gain[:, None]], axis=1), power

    sums = torch.zeros((2, poses, 2 * count)), torch.zeros((2, poses, count))
    power, seen = np.zeros(plane.last + 1), []
    for number, (used, data, weight, numbers, here) in enumerate(ordered(work, blocks(len(rows), BLOCK), plan.threads)):
        sums[0][number % 2].index_add_(0, torch.from_numpy(used), data)
        sums[1][number % 2].index_add_(0, torch.from_numpy(used), weight)
        power += here
        seen.append(numbers)
    each = np.concatenate(seen)
    real, imaginary = (sums[0].sum(dim=0)[:, half].T * gallery.slices[half] for half in (slice(0, count), slice(count, None)))
    model = (2 * (real + imaginary) - sums[1].sum(dim=0).T * gallery.power).sum(dim=1, dtype=torch.float64).numpy()
    explained = np.bincount(plane.shell, weights=model, minlength=plane.last + 1) / np.maximum(power, 1e-30)
    data = sums[0].reshape(2, plan.classes, -1, 2, count).transpose(3, 4).contiguous().numpy()
    weight = sums[1].reshape(2, plan.classes, -1, count).numpy()
    best, gain = each[:, -2:].mean(axis=0)
    return Batch(data, weight, np.clip(explained, 0.0, 1.0), each[:, :-2], float(best), float(gain))


@njit(nogil=True, cache=True, error_model="numpy")
def softmax(scores, norms, penalty, prior, each, best, gain):
    """Turn cross terms ``(B · T, R)`` into posterior weights, in place.

    `each` ``(B, R)`` receives the weights summed over shifts, `best` the largest weight and `gain` the log-evidence of each image.
    """
    images, poses = norms.shape
    shifts = len(penalty)
    for b in range(images):
        top = np.float32(-np.inf)
        for t in range(shifts):
            row = scores[b * shifts + t]
            for r in range(poses):
                row[r] = np.float32(2.0) * row[r] - norms[b, r] - penalty[t] + prior[r]
                if row[r] > top:
                    top = row[r]
        total = 0.0
        for t in range(shifts):
            row = scores[b * shifts + t]
            for r in range(poses):
                difference = row[r] - top
                row[r] = np.exp(difference) if difference > LEAST_LOG else np.float32(0.0)
                total += row[r]
        for t in range(shifts):
            row = scores[b * shifts + t]
            for r in range(poses):
                if row[r] > 0:
                    row[r] /= np.float32(total)
                    each[b, r] += row[r]
        best[b] = 1.0 / total
        gain[b] = top + np.log(total / (poses * shifts))
