"""From class memberships to references: each class as its difference from the mean of all.

A class that has few images, or differs little, would by itself be a blurred map, to which noisy images fit best because it makes the smallest
errors: it attracts what it should not. Here the prior of a class map is not zero but the mean map of all classes, and what is filtered is the
difference from it, all classes together (`reconstruct.together`). The covariance of the differences, shell by shell, is that which two halves
of the images have in common (an empirical Bayes estimate). Classes that do not differ become equal, and images are then shared among them by
chance, which is the truth about them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align import schedule
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import Posterior, insertion_points
from cryoloom.numerics.align.refine_task import Task
from cryoloom.numerics.fourier.grids import shells_3d
from cryoloom.numerics.fourier.transforms import centred_rfft3
from cryoloom.numerics.fsc.shells import crossing_shell, fourier_shell_correlation, shell_sums, transform_correlation
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.grids import Map, working_box
from cryoloom.numerics.reconstruct.kernels import empty_grid
from cryoloom.numerics.reconstruct.sums import Sums, divided, divided_transform, joined_ssnr, known_part, mean_weights, transformed_back
from cryoloom.numerics.reconstruct.together import drawn_together

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassSums:
    """The sums of every class and part of the images, ``(K, parts, …, 4)``, out to shell `last`; part = half + 2 · fold."""

    each: NDArray[np.float32]
    last: int

    @classmethod
    def of(cls, task: Task, posteriors: list[Posterior], members: Array, last: int, noise: Array) -> "ClassSums":
        """Insert every image into the classes that speak for it, by their weight."""
        plane = task.images.plane.within(last)
        parts, lane = len(task.parts), task.lane
        each = np.zeros((len(posteriors), parts, *empty_grid(plane.radius, 4).shape), np.float32)
        for number, posterior in enumerate(posteriors):
            rows = np.flatnonzero(members[:, number] > 0)
            if not rows.size:
                continue
            weighed = posterior.taken(rows).weighed(members[rows, number])
            points = insertion_points(weighed, task.box, last, task.radius)
            found = accumulate(
                task.images, rows, points, plane, noise, lane[rows], group=task.group, place=task.place, at_once=task.threads
            )
            for part, sums in enumerate(found):
                each[number, part] = sums
        return cls(each, last)

    def merged(self, keeper: int, spare: int) -> "ClassSums":
        """Return the sums with class `spare` added to `keeper` and left out."""
        each = np.delete(self.each, spare, axis=0)
        each[keeper - (keeper > spare)] += self.each[spare]
        return ClassSums(each, self.last)

    def half(self, number: int, half: int) -> Sums:
        """Return the sums of a half of a class."""
        return self.each[number, half::2].sum(axis=0)


@dataclass(frozen=True)
class Agreement:
    """How well two halves of the images agree.

    Attributes
    ----------
    mean
        Shell correlation of the mean map of all classes, ``(shells,)``.
    covariance
        Of the classes' differences from the mean, as far as the halves have it in common, ``(shells, K, K)``, in the inverse of the sums' weights.
    separation
        How surely two classes differ: standard deviations by which the halves' agreement on their difference exceeds chance, ``(K, K)``.
    """

    mean: Array
    covariance: Array
    separation: Array


def agreement(task: Task, sums: ClassSums) -> Agreement:
    """Compare the halves under the sphere."""
    box, classes, last = working_box(sums.last, task.box), len(sums.each), sums.last
    sphere = task.sphere(box)
    means, differences = [], []
    for half in (0, 1):
        mean = divided(sums.each[:, half::2].sum(axis=(0, 1)), last, box, task.box, group=task.group)
        means.append(_transform(mean * sphere))
        maps = (divided(sums.half(one, half), last, box, task.box, group=task.group) for one in range(classes))
        differences.append([_transform((one - mean) * sphere) for one in maps])
    curve = np.zeros(task.images.plane.last + 1)
    found = transform_correlation(*means)[: last + 1]
    curve[: len(found)] = found
    shells = shells_3d(box).numpy()
    first, second = differences
    power, cross = np.zeros((last + 1, classes)), np.zeros((last + 1, classes, classes))
    for a in range(classes):
        power[:, a] = 0.5 * shell_sums(np.abs(first[a]) ** 2 + np.abs(second[a]) ** 2, shells, last + 1)
        for b in range(a + 1):
            product = first[a] * second[b].conj() + first[b] * second[a].conj()
            cross[:, a, b] = cross[:, b, a] = 0.5 * shell_sums(product.real, shells, last + 1)
    separation = np.zeros((classes, classes))
    # Under the sphere neighbouring coefficients are alike; this many are not.
    cells = np.bincount(shells.ravel(), minlength=last + 1)[: last + 1] * float(np.mean(sphere))
    for a in range(classes):
        for b in range(a):
            agreed = transform_correlation(first[a] - first[b], second[a] - second[b])[: last + 1]
            separation[a, b] = separation[b, a] = _excess(agreed, cells[: len(agreed)])
    weights = np.stack([mean_weights(sums.half(one, 0) + sums.half(one, 1), last) / 2 for one in range(classes)], axis=1)
    return Agreement(curve, _covariance(cross, power, weights), separation)


def pooled(task: Task, sums: ClassSums, kind: NDArray[np.int64]) -> Agreement:
    """Return the agreement of the halves with classes of one `kind`, ``(K,)`` from 0, taken together: what differs within a kind is none."""
    each = np.stack([sums.each[kind == one].sum(axis=0) for one in range(int(kind.max()) + 1)])
    found = agreement(task, ClassSums(each, sums.last))
    return Agreement(found.mean, found.covariance[:, kind][:, :, kind], found.separation[kind][:, kind])


def _covariance(cross: Array, power: Array, weights: Array) -> Array:
    """Return the signal's covariance ``(shells, K, K)`` from products of two halves and their power, given the mean weights of a half ``(shells, K)``.

    The power is signal and noise, the product signal alone; the noise's variance is the inverse of the weight, which sets the scale.
    """
    own = np.diagonal(cross, axis1=1, axis2=2)
    noise = np.maximum(power - np.maximum(own, 0.0), 1e-3 * power)
    scale = 1.0 / np.sqrt(np.maximum(weights * noise, 1e-30))
    scale[(weights <= 0) | (power <= 0)] = 0.0
    values, vectors = np.linalg.eigh(cross * scale[:, :, None] * scale[:, None, :])
    return (vectors * np.maximum(values, 0.0)[:, None, :]) @ np.swapaxes(vectors, -1, -2)


def _excess(curve: Array, cells: Array) -> float:
    """Return the most standard deviations by which the sum of a curve from shell 2 to any other exceeds zero; a shell's is 1 / √cells."""
    total = np.cumsum((np.sqrt(cells) * curve)[2:]) / np.sqrt(np.arange(1, len(curve) - 1))
    return float(total.max())


def _transform(volume: Map) -> NDArray[np.complex64]:
    return centred_rfft3(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))).numpy()


def references(task: Task, sums: ClassSums, agreed: Agreement, *, spark: float, apart: bool) -> Map:
    """Return the reference of every class for the images of every part, made without them, ``(K, parts, b, b, b)``.

    Parameters
    ----------
    task, sums, agreed
        What has been found.
    spark
        Least signal of a difference, as a part of the mean map's: it lets classes that are still alike drift apart.
    apart
        Take the differences from the half of the part alone, so that the halves' agreement on them is earned.
    """
    classes, parts = sums.each.shape[:2]
    box = working_box(sums.last, task.box)
    whole = sums.each.sum(axis=1)
    out = np.empty((classes, parts, box, box, box), np.float32)
    for part in range(parts):
        rest = whole - sums.each[:, part]
        own = sums.each[:, part % 2 :: 2].sum(axis=1) - sums.each[:, part] if apart else rest
        out[:, part] = _filtered(task, rest, own, sums.last, agreed, spark)
    return out


def halves_of(task: Task, sums: ClassSums, number: int) -> tuple[Map, Map]:
    """Return the unfiltered maps of the halves of a class, masked like a reference."""
    box = working_box(sums.last, task.box)
    first, second = (divided(sums.half(number, half), sums.last, box, task.box, group=task.group) * task.solvent(box) for half in (0, 1))
    return first, second


def thinned(task: Task, sums: ClassSums, agreed: Agreement, without: int) -> Map:
    """Return references for the images of the first part made without the part `without` too, filtered like those they use, ``(K, b, b, b)``."""
    parts = sums.each.shape[1]
    rest = sums.each.sum(axis=1) - sums.each[:, 0] - sums.each[:, without]
    rest *= (parts - 1) / (parts - 2)
    return _filtered(task, rest, rest, sums.last, agreed, 0.0)


def _filtered(task: Task, rest: Sums, own: Sums, last: int, agreed: Agreement, spark: float) -> Map:
    """Return maps ``(K, b, b, b)``: the mean of the classes' sums `rest`, of all parts but one, and the differences from it that `own` show."""
    box, parts, common = working_box(last, task.box), len(task.parts), rest.sum(axis=0)
    solvent = task.solvent(box)
    # The halves' curve is about half of the images; a reference's mean holds all but those of its part.
    ssnr = task.regularisation * 2.0 * (parts - 1) / parts * joined_ssnr(agreed.mean)[: last + 1]
    signal = ssnr / np.maximum(mean_weights(common, last), 1e-30)
    covariance = task.regularisation * agreed.covariance + spark * signal[:, None, None] * np.eye(len(rest))
    transforms = drawn_together(own, divided_transform(common, last, ssnr=ssnr), covariance)
    return np.stack([transformed_back(one, box, task.box, task.group) * solvent for one in transforms])


@dataclass(frozen=True)
class FinalMaps:
    """Maps of all classes, filtered, ``(K, box, box, box)``; the curves of their halves ``(K, shells)``; and how completely they are known ``(K,)``.

    Completeness is the part of the coefficients, out to where the curve falls below 0.143, of which the images say more than their prior does.
    """

    maps: Map
    fsc: Array
    completeness: Array


def final_maps(task: Task, posteriors: list[Posterior], members: Array, noise: Array) -> FinalMaps:
    """Average each class by itself to Nyquist, in the halves of the set."""
    plane, box = task.images.plane, task.box
    sphere, inside = task.sphere(box), spherical_mask(box, box / 2 - 3, 3)
    maps = np.zeros((len(posteriors), box, box, box), np.float32)
    fsc, completeness = np.zeros((len(posteriors), plane.last + 1)), np.zeros(len(posteriors))
    for number, posterior in enumerate(posteriors):
        rows = np.flatnonzero(members[:, number] > 0)
        if len(np.unique(task.half[rows])) < 2:
            continue
        points = insertion_points(posterior.taken(rows).weighed(members[rows, number]), box, plane.last, task.radius)
        first, second = accumulate(
            task.images, rows, points, plane, noise, task.half[rows], group=task.group, place=task.place, at_once=task.threads
        )
        curve = fourier_shell_correlation(*(divided(one, plane.last, box, box, group=task.group) * sphere for one in (first, second)))
        fsc[number, : len(curve)] = curve[: plane.last + 1]
        ssnr = task.regularisation * joined_ssnr(fsc[number], combined=True)
        first += second
        maps[number] = divided(first, plane.last, box, box, ssnr=ssnr, group=task.group) * inside
        completeness[number] = known_part(first, ssnr, crossing_shell(fsc[number], schedule.THRESHOLD))
    return FinalMaps(maps, fsc, completeness)
