"""From candidate poses to a posterior: widening bands, Laplace weights, and few points that stand for the spread of a pose.

The posterior of an image is taken as a sum of Gaussians, one a peak: its mass is ``exp(-cost) · det(H)^(-1/2)`` with the curvature H of
the cost, its covariance ``H⁻¹``. The rotation's spread is carried by four points of equal covariance at the corners of a tetrahedron,
the shift's spread, given the rotation, by the factor ``exp(-½ κᵀ C κ)`` on the data, κ = 2πk / box.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.symmetry import C1, PointGroup

Array = NDArray[np.float64]

SAME_POSE = np.cos(np.deg2rad(3.0))
"""Candidates closer than this are one peak and are counted once."""
LEAST_WEIGHT = 0.02
BLUR, SETTLED = 0.3, 0.5
"""Radians of phase at a band's edge that a spread of rotations must reach to be worth four slices instead of one: at the edge of what is inserted,
and, in maps that are to be compared with those of other programs, at the resolution found."""
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)


@dataclass
class Candidates:
    """Poses of a block of images on their way to a posterior, best first.

    Attributes
    ----------
    rotations, shifts, costs, curvatures
        ``(B, C, 3, 3)``, ``(B, C, 2)`` px, ``(B, C)`` and ``(B, C, 5, 5)``.
    found
        How many of the C an image has, ``(B,)``.
    """

    rotations: Array
    shifts: Array
    costs: Array
    curvatures: Array
    found: NDArray[np.int64]

    @classmethod
    def of(cls, rotations: Array, shifts: Array, found: NDArray[np.int64]) -> "Candidates":
        """Begin with poses that have no cost yet; they are copied."""
        places = rotations.shape[:2]
        return cls(np.array(rotations, order="C"), np.array(shifts, order="C"), np.zeros(places), np.zeros((*places, 5, 5)), found)

    def distinct(self, keep: int, margin: float = np.inf, group: PointGroup = C1) -> "Candidates":
        """Return the `keep` best, one of each peak and its mates in `group`.

        Those that are less likely than the best by more than `margin` (natural logarithm) are left out.
        """
        count = self.costs.shape[1]
        absent = np.arange(count) >= self.found[:, None]
        order = np.argsort(np.where(absent, np.inf, self.costs), axis=1, kind="stable")
        rows = np.arange(len(order))[:, None]
        rotations, costs = self.rotations[rows, order], self.costs[rows, order]
        present = ~absent[rows, order] & (costs <= costs[:, :1] + margin)
        flat = rotations.reshape(*costs.shape, 9)
        mates = group.mates(rotations).reshape(len(costs), -1, 9)
        cosine = ((mates @ np.swapaxes(flat, 1, 2)).reshape(len(costs), count, group.order, count).max(axis=2) - 1.0) / 2.0
        kept = np.zeros_like(present)
        for c in range(count):
            repeated = (kept[:, :c] & (cosine[:, c, :c] > SAME_POSE)).any(axis=1)
            kept[:, c] = present[:, c] & ~repeated & (kept[:, :c].sum(axis=1) < keep)
        chosen = order[rows, np.argsort(~kept, axis=1, kind="stable")[:, : min(keep, count)]]
        return Candidates(
            self.rotations[rows, chosen],
            self.shifts[rows, chosen],
            self.costs[rows, chosen],
            self.curvatures[rows, chosen],
            kept.sum(axis=1),
        )

    @property
    def log_masses(self) -> Array:
        """Return the logarithm of ``exp(-cost) · det(H)^(-1/2)`` of every pose, minus infinity where there is none, ``(B, C)``."""
        present = np.arange(self.costs.shape[1]) < self.found[:, None]
        sign, logdet = np.linalg.slogdet(_invertible(self.curvatures, present))
        return np.where(present & (sign > 0), -self.costs - 0.5 * logdet, -np.inf)


@dataclass(frozen=True)
class Posterior:
    """Weighted poses of a number of images.

    Attributes
    ----------
    rotations, shifts
        ``(n, C, 3, 3)`` and ``(n, C, 2)`` px, the heaviest first.
    weights
        ``(n, C)``, summing to one an image; 0 where there is no pose.
    covariances
        ``(n, C, 5, 5)`` of rotation (radians about the image axes) and shift (px).
    log_likelihood
        ``(n,)``: how much more likely the image is as a view of the reference than as noise, at its best pose.
    evidence
        ``(n,)``: logarithm of the mass of all poses. It grows with what the reference explains, not with how many different projections of
        noise there are to choose the best from.
    """

    rotations: Array
    shifts: Array
    weights: Array
    covariances: Array
    log_likelihood: Array
    evidence: Array

    @classmethod
    def of(cls, candidates: Candidates) -> "Posterior":
        """Weigh candidates, each refined to its peak."""
        rotations, shifts, costs = candidates.rotations, candidates.shifts, candidates.costs
        present = np.arange(costs.shape[1]) < candidates.found[:, None]
        log_weight = candidates.log_masses
        peak = np.max(log_weight, axis=1, keepdims=True)
        weights = np.exp(log_weight - np.where(np.isfinite(peak), peak, 0.0))
        evidence = peak[:, 0] + np.log(np.maximum(weights.sum(axis=1), 1e-300))
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        weights = np.where(weights >= LEAST_WEIGHT, weights, 0.0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        order = np.argsort(-weights, axis=1, kind="stable")
        rows = np.arange(len(order))[:, None]
        covariances = np.linalg.inv(_invertible(candidates.curvatures, present))
        return cls(rotations[rows, order], shifts[rows, order], weights[rows, order], covariances[rows, order], -costs[:, 0], evidence)

    @classmethod
    def joined(cls, parts: list["Posterior"]) -> "Posterior":
        """Put the posteriors of consecutive images one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def taken(self, rows: NDArray[np.int64]) -> "Posterior":
        """Return the posteriors of some of the images, in the order of `rows`."""
        return Posterior(*(getattr(self, field.name)[rows] for field in fields(self)))

    def weighed(self, factors: Array) -> "Posterior":
        """Return the posteriors with each image's weights multiplied by a factor."""
        return replace(self, weights=self.weights * factors[:, None])


def _invertible(curvatures: Array, present: NDArray[np.bool_]) -> Array:
    return np.where(present[..., None, None], curvatures, np.eye(5)) + 1e-9 * np.eye(5)


@dataclass(frozen=True)
class Points:
    """What is inserted: entry by entry the image, its rotation ``(3, 3)``, shift (px), weight, and the shift's spread ``(xx, xy, yy)`` in px²."""

    image: NDArray[np.int64]
    rotations: NDArray[np.float32]
    shifts: Array
    weights: Array
    spreads: Array


def insertion_points(posterior: Posterior, box: int, band: int, radius: float, blur: float = BLUR) -> Points:
    """Represent a posterior by one or four points a pose.

    Parameters
    ----------
    posterior
        Of images 0 … n - 1.
    box
        Of the images, px.
    band
        Shell at which the blur is judged.
    radius
        Of the particle, px: with the band it says how much a spread of rotations blurs.
    blur
        Radians of phase up to which one point stands for a pose.
    """
    image, pose = np.nonzero(posterior.weights > 0)
    rotations, shifts = posterior.rotations[image, pose], posterior.shifts[image, pose]
    weights, covariance = posterior.weights[image, pose], posterior.covariances[image, pose]
    turning, moving, mixed = covariance[:, :3, :3], covariance[:, 3:, 3:], covariance[:, 3:, :3]
    gain = np.linalg.solve(turning, np.swapaxes(mixed, -1, -2)).swapaxes(-1, -2)
    given = moving - gain @ np.swapaxes(mixed, -1, -2)
    widest = np.sqrt(np.linalg.eigvalsh(turning)[:, -1])
    spread = widest * 2 * np.pi * band * 0.6 * radius / box > blur
    # A peak wider than 30 degrees is no peak; its points stay within what the Gaussian can mean.
    turning = turning * np.minimum(1.0, np.deg2rad(30.0) / np.maximum(widest, 1e-9))[:, None, None] ** 2
    corners = np.sqrt(3.0) * np.einsum("nij,pj->npi", np.linalg.cholesky(turning + 1e-12 * np.eye(3)), TETRAHEDRON)
    sharp, wide = np.flatnonzero(~spread), np.flatnonzero(spread)
    entries = np.concatenate([sharp, np.repeat(wide, 4)])
    vectors = np.concatenate([np.zeros((len(sharp), 3)), corners[wide].reshape(-1, 3)])
    portion = np.concatenate([np.ones(len(sharp)), np.full(4 * len(wide), 0.25)])
    back = np.argsort(image[entries], kind="stable")
    entries, vectors, portion = entries[back], vectors[back], portion[back]
    moved = shifts[entries] + np.einsum("nij,nj->ni", gain[entries], vectors)
    turned = rotation_from_vector(-vectors) @ rotations[entries]
    spreads = np.stack([given[:, 0, 0], given[:, 0, 1], given[:, 1, 1]], axis=-1)
    return Points(image[entries], turned.astype(np.float32), moved, weights[entries] * portion, spreads[entries])
