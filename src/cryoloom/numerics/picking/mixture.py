"""A mixture of normal densities over candidates and decoys, fitted by expectation-maximisation (Dempster, Laird & Rubin 1977).

Candidates are particles, noise, halo or rest; decoys are noise, halo or rest. The rest is broad and fixed: what fits nowhere belongs to it.
Sums run in a fixed order without BLAS: the same bits for any number of threads.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRIOR_COUNT = 5.0
"""Candidates that the priors of covariances and of the offsets of micrographs count for."""

LEAST_SHARE = 0.02
"""Share of the candidates that the rest has at the least."""

BREADTH = 4.0
"""Covariance of the rest over that of all candidates."""


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

    def log_density(self, points: Array) -> Array:
        """Return the natural logarithm of the density at `points` ``(n, k)``."""
        lower = np.linalg.cholesky(self.covariance)
        whitened = np.einsum("jk,nk->nj", np.linalg.inv(lower), points - self.mean)
        constant = np.log(np.diag(lower)).sum() + 0.5 * len(self.mean) * np.log(2.0 * np.pi)
        return -0.5 * np.einsum("nj,nj->n", whitened, whitened) - constant


@dataclass(frozen=True)
class Candidates:
    """What is to be sorted.

    Attributes
    ----------
    features
        ``(n, k)``.
    micrograph
        ``(n,)`` from 0 to `micrographs` - 1.
    decoys
        ``(m, k)``: things that look like candidates and are known not to be particles.
    spread
        ``(k,)`` standard deviations that particles of one kind have at the least.
    """

    features: Array
    micrograph: NDArray[np.int64]
    micrographs: int
    decoys: Array
    spread: Array

    def thinned(self, limit: int) -> "Candidates":
        """Return every so manieth candidate and decoy, about `limit` of each."""
        step, decoy_step = max(1, -(-len(self.features) // limit)), max(1, -(-len(self.decoys) // limit))
        return replace(self, features=self.features[::step], micrograph=self.micrograph[::step], decoys=self.decoys[::decoy_step])


@dataclass(frozen=True)
class Mixture:
    """The state of the fit.

    Attributes
    ----------
    particles, noise, halo, rest
        The densities; halo is what contaminants do to their surroundings.
    shares, decoy_shares
        Of the four densities among candidates, of the last three among decoys.
    offsets
        ``(micrographs, k)``: by how much the particles of each micrograph differ from the mean.
    """

    particles: Normal
    noise: Normal
    halo: Normal
    rest: Normal
    shares: Array
    decoy_shares: Array
    offsets: Array

    @classmethod
    def start(cls, data: Candidates, place: Array, weakest: float) -> "Mixture":
        """Return a mixture whose particles lie about `place` ``(k,)``; noise is what has a first feature below `weakest`."""
        spread = data.spread
        everything = np.concatenate([data.features, data.decoys])
        weak = everything[:, 0] < weakest
        noise = Normal.fit(everything, weak + 1e-6, spread)
        halo = Normal.fit(data.decoys, ~weak[len(data.features) :] + 1e-6, spread) if len(data.decoys) else noise
        away = data.features - data.features.mean(axis=0)
        breadth = BREADTH * (np.einsum("nj,nk->jk", away, away) / len(away) + np.diag(spread**2))
        return cls(
            particles=Normal(place, np.diag((2.0 * spread) ** 2)),
            noise=noise,
            halo=halo,
            rest=Normal(data.features[~weak[: len(data.features)]].mean(axis=0), breadth),
            shares=np.array([0.3, 0.3, 0.2, 0.2]),
            decoy_shares=np.array([0.5, 0.3, 0.2]),
            offsets=np.zeros((data.micrographs, data.features.shape[1])),
        )

    def posterior(self, data: Candidates) -> tuple[Array, Array, float]:
        """Return the probabilities of the densities for candidates ``(4, n)`` and decoys ``(3, m)``, and the log-likelihood."""
        background = [density.log_density(np.concatenate([data.features, data.decoys])) for density in (self.noise, self.halo, self.rest)]
        count = len(data.features)
        own = self.particles.log_density(data.features - self.offsets[data.micrograph])
        candidates, first = _normalised(np.stack([own, *(density[:count] for density in background)]), self.shares)
        decoys, second = _normalised(np.stack([density[count:] for density in background]), self.decoy_shares)
        return candidates, decoys, first + second

    def fitted(self, data: Candidates, candidates: Array, decoys: Array, offset_features: tuple[int, ...]) -> "Mixture":
        """Return the mixture that suits these probabilities best; micrographs may differ in `offset_features`."""
        mine = candidates[0]
        everything = np.concatenate([data.features, data.decoys])
        particles = Normal.fit(data.features - self.offsets[data.micrograph], mine, data.spread)
        noise, halo = (Normal.fit(everything, np.concatenate([candidates[kind], decoys[kind - 1]]) + 1e-6, data.spread) for kind in (1, 2))
        offsets = self.offsets.copy()
        members = np.bincount(data.micrograph, mine, minlength=len(offsets))
        for feature in offset_features:
            away = mine * (data.features[:, feature] - particles.mean[feature])
            offsets[:, feature] = np.bincount(data.micrograph, away, minlength=len(offsets)) / (members + PRIOR_COUNT)
        return Mixture(
            particles, noise, halo, self.rest, _shares(candidates), _shares(decoys) if len(data.decoys) else self.decoy_shares, offsets
        )

    def converged(self, data: Candidates, offset_features: tuple[int, ...], iterations: int) -> tuple["Mixture", Array, float]:
        """Iterate; return the mixture, the probability ``(n,)`` that each candidate is a particle, and the log-likelihood."""
        mixture, before = self, -np.inf
        for _ in range(iterations):
            candidates, decoys, likelihood = mixture.posterior(data)
            if candidates[0].sum() < 2.0 or likelihood - before < 1e-5 * abs(likelihood):
                return mixture, candidates[0], likelihood
            before = likelihood
            mixture = mixture.fitted(data, candidates, decoys, offset_features)
        candidates, _, likelihood = mixture.posterior(data)
        return mixture, candidates[0], likelihood


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
