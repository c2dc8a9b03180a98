"""A mixture of normal densities over candidates and decoys, fitted by expectation-maximisation (Dempster, Laird & Rubin 1977).

Candidates are particles, noise or rest; decoys are noise or rest. The rest is broad and fixed: what fits nowhere belongs to it.
Sums run in a fixed order without BLAS: the same bits for any number of threads.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRIOR_COUNT = 10.0
"""Candidates that the priors of covariances count for."""

OFFSET_COUNT = 20.0
"""Candidates that the prior of a micrograph's offset, none, counts for."""

LEAST_SHARE = 0.02
"""Share that the rest has at the least."""


@dataclass(frozen=True)
class Normal:
    """A normal density with `mean` ``(k,)`` and `covariance` ``(k, k)``."""

    mean: Array
    covariance: Array

    @classmethod
    def fit(cls, points: Array, weights: Array, spread: Array) -> "Normal":
        """Return the density of weighted `points` ``(n, k)``, its covariance drawn to the variances ``spread²``."""
        total = weights.sum()
        mean = np.einsum("n,nk->k", weights, points) / total
        away = points - mean
        scatter = np.einsum("nj,nk->jk", away * weights[:, None], away)
        return cls(mean, (scatter + PRIOR_COUNT * np.diag(spread**2)) / (total + PRIOR_COUNT))

    def narrowed(self, limit: float) -> "Normal":
        """Return the density with the standard deviation of its first axis at most `limit`; correlations stay."""
        factors = np.ones(len(self.mean))
        factors[0] = min(1.0, limit / self.covariance[0, 0] ** 0.5)
        return Normal(self.mean, self.covariance * factors[:, None] * factors[None, :])

    def log_density(self, points: Array) -> Array:
        """Return the natural logarithm of the density at `points` ``(n, k)``."""
        lower = np.linalg.cholesky(self.covariance)
        whitened = np.einsum("jk,nk->nj", np.linalg.inv(lower), points - self.mean)
        constant = np.log(np.diag(lower)).sum() + 0.5 * len(self.mean) * np.log(2.0 * np.pi)
        return -0.5 * np.einsum("nj,nj->n", whitened, whitened) - constant


@dataclass(frozen=True)
class Sample:
    """What is to be sorted.

    Attributes
    ----------
    candidates, decoys
        Features ``(n, k)`` and ``(m, k)``; decoys look like candidates and are known not to be particles.
    micrograph
        ``(n,)`` from 0 to `micrographs` - 1: where each candidate lies.
    spread
        ``(k,)`` standard deviations to which those of particles and noise are drawn where few candidates tell.
    widest
        Largest standard deviation of the particles' first feature.
    """

    candidates: Array
    decoys: Array
    micrograph: NDArray[np.int64]
    micrographs: int
    spread: Array
    widest: float


@dataclass(frozen=True)
class Mixture:
    """The state of the fit.

    Attributes
    ----------
    particles, noise, rest
        The densities.
    shares, decoy_shares
        Of the three densities among candidates, of the last two among decoys.
    offsets
        ``(micrographs,)``: by how much the first feature of the particles of each micrograph differs from the mean.
    """

    particles: Normal
    noise: Normal
    rest: Normal
    shares: Array
    decoy_shares: Array
    offsets: Array

    def posterior(self, data: Sample) -> tuple[Array, Array, float]:
        """Return the probabilities of the densities for candidates ``(3, n)`` and decoys ``(2, m)``, and the log-likelihood."""
        background = (self.noise, self.rest)
        own = self.particles.log_density(self._levelled(data))
        ours, first = _normalised(np.stack([own, *(density.log_density(data.candidates) for density in background)]), self.shares)
        others, second = _normalised(np.stack([density.log_density(data.decoys) for density in background]), self.decoy_shares)
        return ours, others, first + second

    def converged(self, data: Sample, iterations: int) -> tuple["Mixture", float]:
        """Iterate until the likelihood stays, or no particles are left; return the mixture and its log-likelihood."""
        mixture, before = self, -np.inf
        everything = np.concatenate([data.candidates, data.decoys])
        for _ in range(iterations):
            ours, others, likelihood = mixture.posterior(data)
            if ours[0].sum() < 2.0 or likelihood - before < 1e-6 * len(everything):
                return mixture, likelihood
            before = likelihood
            particles = Normal.fit(mixture._levelled(data), ours[0], data.spread).narrowed(data.widest)
            away = ours[0] * (data.candidates[:, 0] - particles.mean[0])
            members = np.bincount(data.micrograph, ours[0], minlength=data.micrographs)
            mixture = Mixture(
                particles,
                Normal.fit(everything, np.concatenate([ours[1], others[0]]) + 1e-9, data.spread),
                mixture.rest,
                _shares(ours),
                _shares(others) if len(data.decoys) else mixture.decoy_shares,
                np.bincount(data.micrograph, away, minlength=data.micrographs) / (members + OFFSET_COUNT),
            )
        return mixture, before

    def _levelled(self, data: Sample) -> Array:
        """Return the candidates ``(n, k)`` without the offsets of their micrographs."""
        levelled = data.candidates.copy()
        levelled[:, 0] -= self.offsets[data.micrograph]
        return levelled


def _normalised(log_density: Array, shares: Array) -> tuple[Array, float]:
    """Return the probabilities ``(classes, n)`` of classes with these log densities and shares, and the summed log evidence."""
    joint = np.log(np.maximum(shares, 1e-300))[:, None] + log_density
    top = joint.max(axis=0)
    evidence = top + np.log(np.exp(joint - top).sum(axis=0))
    return np.exp(joint - evidence), float(evidence.sum())


def _shares(posterior: Array) -> Array:
    weight = posterior.sum(axis=1)
    weight[-1] = max(weight[-1], LEAST_SHARE * weight.sum())
    return weight / weight.sum()
