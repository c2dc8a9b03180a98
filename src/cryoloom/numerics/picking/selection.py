"""Which blobs are particles, told without a threshold from the candidates of the whole set.

A mixture of three normal densities over the features of `blob.FEATURES`: particles (compact, because they are all the same thing), noise,
and the rest (broad: ice, carbon, aggregates). It is fitted by expectation-maximisation (Dempster, Laird & Rubin 1977). Blobs of the
other sign are *decoys*: no particle makes them, so they teach the mixture what is not a particle (target-decoy, Elias & Gygi 2007,
doi:10.1038/nmeth1019).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SPREAD = np.array([0.1, 0.03, 0.25, 0.25, 0.1, 0.1, 0.15])
"""Standard deviations, in the order of `blob.FEATURES`, that particles of one kind have at the least: the prior of their covariance."""

PRIOR_COUNT = 5.0
"""Candidates that the priors of covariances and of the offsets of micrographs count for."""

BREADTH = 4.0
"""Covariance of the rest over that of all candidates."""

LEAST_SHARE = 0.02
"""Share of the candidates that the rest has at the least."""

OFFSET_FEATURES = (0, 4)
"""Strength and texture follow defocus and ice thickness: their mean may differ from micrograph to micrograph."""

GRADIENT = 2
STEEP, STEEPEST = -1.6, 0.3
"""Mean log gradient from which a cluster is suspected of being an edge, and at which it is one."""

W1,W2=0.25,0.15
ITERATIONS = 60
STARTS = 4
SAMPLE = 1500


@dataclass(frozen=True)
class _Normal:
    mean: Array
    covariance: Array

    @classmethod
    def fit(cls, points: Array, weights: Array) -> "_Normal":
        """Return the density of weighted `points` ``(n, k)``, its covariance drawn to `SPREAD`."""
        total = weights.sum()
        mean = np.einsum("n,nk->k", weights, points) / total
        away = points - mean
        scatter = np.einsum("nj,nk->jk", away * weights[:, None], away)
        return cls(mean, (scatter + PRIOR_COUNT * np.diag(SPREAD**2)) / (total + PRIOR_COUNT))

    def log_density(self, points: Array) -> Array:
        """Return the natural logarithm of the density at `points` ``(n, k)``."""
        lower = np.linalg.cholesky(self.covariance)
        whitened = np.einsum("jk,nk->nj", np.linalg.inv(lower), points - self.mean)
        constant = np.log(np.diag(lower)).sum() + 0.5 * len(self.mean) * np.log(2.0 * np.pi)
        return -0.5 * np.einsum("nj,nj->n", whitened, whitened) - constant


@dataclass(frozen=True)
class _Fit:
    particles: _Normal
    probability: Array
    log_likelihood: float


def particle_probability(features: Array, micrograph: NDArray[np.int64], strong: NDArray[np.bool_], decoys: Array) -> Array:
    """Return the probability ``(n,)`` that each candidate is a particle; 0 for those that noise alone explains.

    Parameters
    ----------
    features
        ``(n, k)`` of the candidates of all micrographs, columns as `blob.FEATURES`.
    micrograph
        ``(n,)`` from 0: which micrograph each belongs to.
    strong
        ``(n,)`` whether it is stronger than chance.
    decoys
        ``(m, k)`` features of the decoys of all micrographs.
    """
    nothing = np.zeros(len(features))
    if np.count_nonzero(strong) < 3:
        return nothing
    weakest = float(features[strong, 0].min())
    best: tuple[float, Array] | None = None
    for start in _dense_places(features[strong], decoys):
        fit = _expectation_maximisation(features, micrograph, strong, decoys, start)
        mean = fit.particles.mean
        if mean[GRADIENT] > 0.3 or mean[0] < weakest + 0.05:
            continue
        merit = fit.log_likelihood - 0.5 * (max(0.0, mean[GRADIENT] +1.6) / W1) ** 2 - 0.5 * ((mean[5] - 0.7) / W2) ** 2
        if best is None or merit > best[0]:
            best = (merit, fit.probability)
    return np.where(strong, best[1], 0.0) if best else nothing


def _dense_places(candidates: Array, decoys: Array) -> list[Array]:
    """Return up to `STARTS` places where candidates are denser than decoys, the densest first, well apart."""
    unit = 2.0 * SPREAD
    own, own_step = _thinned(candidates / unit)
    other, other_step = _thinned(decoys / unit)
    apart = _squared_distances(own, own)
    density = own_step * np.exp(-0.5 * apart).sum(axis=1)
    if len(other):
        density -= other_step * np.exp(-0.5 * _squared_distances(own, other)).sum(axis=1)
    places = []
    while len(places) < STARTS and density.max() > 0.0:
        peak = int(density.argmax())
        places.append(own[peak] * unit)
        density = np.where(apart[peak] < 4.5 * len(unit), 0.0, density)
    return places


def _thinned(points: Array) -> tuple[Array, int]:
    step = max(1, -(-len(points) // SAMPLE))
    return points[::step], step


def _squared_distances(first: Array, second: Array) -> Array:
    return np.sum([(first[:, None, axis] - second[None, :, axis]) ** 2 for axis in range(first.shape[1])], axis=0)


def _expectation_maximisation(
    features: Array, micrograph: NDArray[np.int64], strong: NDArray[np.bool_], decoys: Array, start: Array
) -> _Fit:
    count = len(features)
    everything = np.concatenate([features, decoys])
    about = features - features.mean(axis=0)
    breadth = BREADTH * (np.einsum("nj,nk->jk", about, about) / count + np.diag(SPREAD**2))
    rest = _Normal(features[strong].mean(axis=0), breadth).log_density(everything)
    weak = everything[:, 0] < features[strong, 0].min()
    noise = _Normal.fit(everything, weak + 1e-6)
    halo = _Normal.fit(decoys, (~weak[count:]) + 1e-6) if len(decoys) else noise
    particles = _Normal(start, np.diag((2.0 * SPREAD) ** 2))
    offsets = np.zeros((int(micrograph.max()) + 1, features.shape[1]))
    shares = np.log([0.3, 0.3, 0.2, 0.2])
    decoy_shares = np.log([0.5, 0.3, 0.2])
    for step in range(ITERATIONS):
        level = features - offsets[micrograph]
        background = np.stack([noise.log_density(everything), halo.log_density(everything), rest])
        of_candidates, evidence = _posterior(shares[:, None] + np.concatenate([particles.log_density(level)[None], background[:, :count]]))
        of_decoys, decoy_evidence = _posterior(decoy_shares[:, None] + background[:, count:])
        mine = of_candidates[0]
        if step == ITERATIONS - 1 or mine.sum() < 2.0:
            break
        particles = _Normal.fit(level, mine)
        noise = _Normal.fit(everything, np.concatenate([of_candidates[1], of_decoys[0]]) + 1e-6)
        halo = _Normal.fit(everything, np.concatenate([of_candidates[2], of_decoys[1]]) + 1e-6)
        shares = _log_shares(of_candidates)
        decoy_shares = _log_shares(of_decoys) if len(decoys) else decoy_shares
        for feature in OFFSET_FEATURES:
            total = np.bincount(micrograph, mine * (features[:, feature] - particles.mean[feature]), minlength=len(offsets))
            offsets[:, feature] = total / (np.bincount(micrograph, mine, minlength=len(offsets)) + PRIOR_COUNT)
    return _Fit(particles, mine, float(evidence.sum() + decoy_evidence.sum()))


def _posterior(joint: Array) -> tuple[Array, Array]:
    """Return the probabilities ``(classes, n)`` and the log evidence ``(n,)`` of log joint densities ``(classes, n)``."""
    top = joint.max(axis=0, initial=-np.inf)
    evidence = top + np.log(np.exp(joint - top).sum(axis=0))
    return np.exp(joint - evidence), evidence


def _log_shares(posterior: Array) -> Array:
    """Return the log share of each class, the last (the rest) kept above `LEAST_SHARE`."""
    weight = posterior.sum(axis=1)
    weight[-1] = max(weight[-1], LEAST_SHARE * weight.sum())
    return np.log(np.maximum(weight / weight.sum(), 1e-300))
