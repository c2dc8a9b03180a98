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
    spread
        ``(k,)`` standard deviations to which those of particles and noise are drawn where few candidates tell.
    widest
        Largest standard deviation of the particles' first feature.
    """

    candidates: Array
    decoys: Array
    spread: Array
    widest: float


@dataclass(frozen=True)
class Mixture:
    """The state of the fit: densities, their shares among candidates, and of the last two among decoys."""

    particles: Normal
    noise: Normal
    rest: Normal
    shares: Array
    decoy_shares: Array

    def posterior(self, candidates: Array, decoys: Array) -> tuple[Array, Array, float]:
        """Return the probabilities of the densities for `candidates` ``(3, n)`` and `decoys` ``(2, m)``, and the log-likelihood."""
        densities = (self.particles, self.noise, self.rest)
        ours, first = _normalised(np.stack([density.log_density(candidates) for density in densities]), self.shares)
        others, second = _normalised(np.stack([density.log_density(decoys) for density in densities[1:]]), self.decoy_shares)
        return ours, others, first + second

    def converged(self, data: Sample, iterations: int) -> tuple["Mixture", float]:
        """Iterate until the likelihood stays, or no particles are left; return the mixture and its log-likelihood."""
        mixture, before = self, -np.inf
        everything = np.concatenate([data.candidates, data.decoys])
        for _ in range(iterations):
            ours, others, likelihood = mixture.posterior(data.candidates, data.decoys)
            if ours[0].sum() < 2.0 or likelihood - before < 1e-6 * len(everything):
                return mixture, likelihood
            before = likelihood
            mixture = Mixture(
                Normal.fit(data.candidates, ours[0], data.spread).narrowed(data.widest),
                Normal.fit(everything, np.concatenate([ours[1], others[0]]) + 1e-9, data.spread),
                mixture.rest,
                _shares(ours),
                _shares(others) if len(data.decoys) else mixture.decoy_shares,
            )
        return mixture, before


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
