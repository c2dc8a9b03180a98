"""One pass over images with several references: how much each class speaks for an image, and where the image lies in each.

A pose is sought over all orientations in one reference, since conformations of one particle share most of it; the few that survive are then
refined in every class from the same start, so that no class wins by having been searched better. A class's evidence is the sum over its peaks of
``exp(-cost) · det(H)^(-1/2)``, which is what integrating over the pose leaves (Scheres 2012, doi:10.1016/j.jmb.2011.11.010, for the model).
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.expectation import CANDIDATES, FINAL_STEPS, MARGIN, Effort, residual_power, sought
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.levenberg import refine_candidates, refine_pose
from cryoloom.numerics.align.posterior import SAME_POSE, Candidates, Posterior
from cryoloom.numerics.geometry.symmetry import PointGroup

Array = NDArray[np.float64]

KEPT = 4
"""Poses of an image that reach the full band, and that a class keeps."""
LEAST_SHARE = 0.02
"""Classes that speak for an image with less weight than this get none of it."""
ALL_ROTATIONS = np.log(8 * np.pi**2)
"""Logarithm of the volume of all rotations, in the radians³ of a curvature."""


@dataclass(frozen=True)
class Wide:
    """Where poses are sought over all orientations.

    Attributes
    ----------
    grids, galleries
        References to slice ``(S, …)``, and their slices at the coarse rotations.
    choice
        Which of them each image of the set is sought in, ``(n,)``.
    """

    grids: NDArray[np.float32]
    galleries: list[Gallery]
    choice: NDArray[np.int64]


@dataclass(frozen=True)
class ClassExpectation:
    """Result of a `ClassPass` or of a block of it, all in the order of its rows.

    Attributes
    ----------
    posteriors
        One a class: the poses of every image if it belonged there.
    evidence
        Log-likelihood of each image over that of noise, all classes and poses considered, up to a constant, ``(n,)``.
    members
        Probability of each class for each image, ``(n, K)``.
    residual, counts
        Residual power ``(groups, shells)`` under all classes and poses, and its counts.
    grey
        What tells the grey scale of every image, see `expectation.Expectation`, ``(n, 2)``.
    """

    posteriors: list[Posterior]
    evidence: Array
    members: Array
    residual: Array
    counts: Array
    grey: Array

    @classmethod
    def joined(cls, parts: list["ClassExpectation"]) -> "ClassExpectation":
        """Put parts one after the other; sums are taken in their order."""
        each = zip(*(part.posteriors for part in parts), strict=True)
        return cls(
            [Posterior.joined(list(one)) for one in each],
            np.concatenate([part.evidence for part in parts]),
            np.concatenate([part.members for part in parts]),
            np.sum([part.residual for part in parts], axis=0),
            np.sum([part.counts for part in parts], axis=0),
            np.concatenate([part.grey for part in parts]),
        )

    def taken(self, order: NDArray[np.int64]) -> "ClassExpectation":
        """Return the images in another order."""
        return replace(
            self, posteriors=[one.taken(order) for one in self.posteriors], evidence=self.evidence[order], members=self.members[order],
            grey=self.grey[order],
        )  # fmt: skip


@dataclass(frozen=True)
class ClassPass:
    """A pass over some images that weighs classes and poses, block by block.

    Attributes
    ----------
    images, rows
        The set, and which of it.
    grids
        References to slice, ``(K, …)``.
    wide
        For a global search; None for a local one from the last pose.
    share
        Prior probability of each class, ``(K,)``.
    noise, effort
        As in `expectation.Pass`.
    rotations, shifts
        Last poses of all images of the set, ``(n, 3, 3)`` and ``(n, 2)`` px.
    known
        Whether the last poses mean anything.
    fixed
        Compare at the last poses and nowhere else.
    reliable
        Last shell that tells grey scales.
    """

    images: ImageSet
    rows: NDArray[np.int64]
    grids: NDArray[np.float32]
    wide: Wide | None
    share: Array
    noise: Array
    effort: Effort
    rotations: Array
    shifts: Array
    known: bool
    fixed: bool = False
    reliable: int = 0

    def block(self, part: slice) -> ClassExpectation:
        """Weigh classes and poses of a block of the rows."""
        images, grids, wide, noise, effort, chosen = self.images, self.grids, self.wide, self.noise, self.effort, self.rows[part]
        rotations, shifts, known, fixed = self.rotations, self.shifts, self.known, self.fixed
        plane, classes = images.plane.within(effort.band), len(grids)
        log_share = np.log(np.maximum(self.share, 1e-12))
        telling = np.where(np.arange(noise.shape[1]) <= self.reliable, 1.0 / noise, 0.0)
        data, weight = images.prepare(chosen, plane, noise)
        prior, mates = effort.prior.rows(chosen), effort.prior.mates
        last = (rotations[chosen][:, None], shifts[chosen][:, None]) if fixed else effort.starts(rotations[chosen], shifts[chosen])
        start = Candidates.of(*last, np.full(len(chosen), last[0].shape[1]))
        if wide is not None:
            choice = wide.choice[chosen]
            start = _sought(start if known else None, wide.galleries, choice, data, weight, effort, chosen)
            for shell, steps, kept in effort.stages(plane.last, wide=True, kept=KEPT):
                refine_among(
                    wide.grids, choice, plane.kx, plane.ky, plane.ends[shell], plane.box, data, weight, prior, mates, steps,
                    start.rotations, start.shifts, start.costs, start.curvatures, start.found,
                )  # fmt: skip
                start = start.distinct(kept, MARGIN, effort.group)
            if known:
                start = _with_last(start, rotations[chosen], shifts[chosen], effort.group)
        posteriors, evidence = [], np.empty((len(chosen), classes))
        for number, grid in enumerate(grids):
            poses = Candidates.of(start.rotations, start.shifts, start.found)
            refine_candidates(
                grid, plane.kx, plane.ky, len(plane.kx), plane.box, data, weight, prior, mates, 0 if fixed else FINAL_STEPS,
                poses.rotations, poses.shifts, poses.costs, poses.curvatures, poses.found,
            )  # fmt: skip
            poses = poses.distinct(KEPT, MARGIN, effort.group)
            posteriors.append(Posterior.of(poses))
            evidence[:, number] = -poses.costs[:, 0] if fixed else log_evidence(poses, effort.prior.shift, effort.group.order)
        members, whole = _weighed(evidence + log_share)
        residual, total = np.zeros((len(noise), plane.last + 1)), np.zeros((len(noise), plane.last + 1))
        grey = np.zeros((len(chosen), 2))
        masked, transfers = images.storage.take(chosen, len(plane.kx)), images.transfers.take(chosen, len(plane.kx))
        for number, (grid, posterior) in enumerate(zip(grids, posteriors, strict=True)):
            residual_power(
                grid, plane.kx, plane.ky, plane.shell, plane.box, masked, transfers, images.group[chosen], images.premultiplied, images.scale[chosen],
                telling, posterior.rotations, posterior.shifts, posterior.weights * members[:, number, None], residual, total, grey,
            )  # fmt: skip
        return ClassExpectation(posteriors, whole, members, residual, total, grey)


def log_evidence(poses: Candidates, prior: float, order: int = 1) -> Array:
    """Return the logarithm of the integral of ``exp(-cost)`` over all poses, up to a constant, ``(B,)``.

    `prior` is the precision (1/px²) of the shift's prior, `order` that of the group whose mates count as one pose. A peak so flat that its
    Gaussian is wider than all poses there are does not count for more than these: the integral is at most the volume times the highest
    likelihood.
    """
    masses = poses.log_masses
    highest = masses.max(axis=1)
    total = highest + np.log(np.exp(masses - highest[:, None]).sum(axis=1))
    bound = -poses.costs[:, 0] + ALL_ROTATIONS - np.log(order) - np.log(max(prior, 1e-6)) - 1.5 * np.log(2 * np.pi)
    return np.minimum(total, bound)


def _sought(
    last: Candidates | None, galleries: list[Gallery], choice: NDArray[np.int64], data, weight, effort: Effort, chosen: NDArray[np.int64]
) -> Candidates:
    """Search each image in its gallery and return the likeliest poses, after the last one where it is known."""
    turned, moved = np.empty((len(data), CANDIDATES, 3, 3)), np.empty((len(data), CANDIDATES, 2))
    likely = np.empty(len(data), np.int64)
    for number in np.unique(choice):
        rows = np.flatnonzero(choice == number)
        turned[rows], moved[rows], likely[rows] = sought(galleries[number], data[rows], weight[rows], effort, chosen[rows])
    if last is None:
        return Candidates.of(turned, moved, likely)
    return Candidates.of(
        np.concatenate([last.rotations, turned], axis=1), np.concatenate([last.shifts, moved], axis=1), likely + last.found
    )


def _with_last(found: Candidates, rotations: Array, shifts: Array, group: PointGroup) -> Candidates:
    """Add the last pose of each image that has come away from it: the reference searched in may be that of another structure."""
    cosine = group.cosine(found.rotations, rotations[:, None])
    present = np.arange(cosine.shape[1]) < found.found[:, None]
    lost = np.flatnonzero(~(present & (cosine > SAME_POSE)).any(axis=1))
    more = Candidates.of(
        np.concatenate([found.rotations, found.rotations[:, :1]], axis=1), np.concatenate([found.shifts, found.shifts[:, :1]], axis=1),
        found.found.copy(),
    )  # fmt: skip
    more.rotations[lost, found.found[lost]], more.shifts[lost, found.found[lost]] = rotations[lost], shifts[lost]
    more.found[lost] += 1
    return more


def _weighed(scores: Array) -> tuple[Array, Array]:
    """Return weights of each row that sum to one, those below `LEAST_SHARE` set to nothing, and the logarithm of the scores' sum of exponentials."""
    top = scores.max(axis=1, keepdims=True)
    masses = np.exp(scores - top)
    total = masses.sum(axis=1, keepdims=True)
    weights = np.where(masses >= LEAST_SHARE * total, masses, 0.0)
    return weights / weights.sum(axis=1, keepdims=True), (top + np.log(total))[:, 0]


@njit(nogil=True, cache=True, error_model="numpy")
def refine_among(grids, choice, kx, ky, count, box, data, weight, prior, mates, steps, rotations, shifts, costs, curvatures, found):
    """Refine candidates as `levenberg.refine_candidates` does, those of image b in the reference ``grids[choice[b]]``."""
    for b in range(len(data)):
        for c in range(found[b]):
            costs[b, c] = refine_pose(
                grids[choice[b]], kx, ky, count, box, data[b], weight[b], prior[b], mates, steps,
                rotations[b, c], shifts[b, c], curvatures[b, c],
            )  # fmt: skip
