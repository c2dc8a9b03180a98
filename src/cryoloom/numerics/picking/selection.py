"""Which blobs are particles, told without a threshold from the candidates of the whole set.

Particles are all the same thing, so they lie close together in the space of `blob.FEATURES`; ice, carbon, gold and aggregates lie
scattered. Blobs of the other sign are decoys: no particle makes them, so they teach the mixture what noise and the surroundings of
contaminants look like (target and decoy, Elias & Gygi 2007, doi:10.1038/nmeth1019). No constant here is a contrast or a score.
"""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.picking.blob import FEATURES
from cryoloom.numerics.picking.mixture import Candidates, Mixture, Normal
from cryoloom.numerics.picking.peaks import keep_apart

Array = NDArray[np.float64]

SPREAD = np.array([0.1, 0.03, 0.25, 0.25, 0.1, 0.1, 0.15])
"""Standard deviations, in the order of `FEATURES`, that particles of one kind have at the least."""

OFFSET_FEATURES = (FEATURES.index("log_strength"), FEATURES.index("log_texture"))
"""Strength and texture follow defocus and ice thickness, so micrographs may differ in them."""

STRENGTH, GRADIENT, WIDE = (FEATURES.index(name) for name in ("log_strength", "log_gradient", "wide"))

SAMPLE, CROWD = 20_000, 1500
STARTS, ITERATIONS = 4, 60


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
    if np.count_nonzero(strong) < 3:
        return np.zeros(len(features))
    weakest = float(features[strong, STRENGTH].min())
    data = Candidates(features, micrograph, int(micrograph.max()) + 1, decoys, SPREAD)
    sample = data.thinned(SAMPLE)
    best: tuple[float, Mixture] | None = None
    for place in _dense_places(features[strong], decoys):
        mixture, _, likelihood = Mixture.start(sample, place, weakest).converged(sample, OFFSET_FEATURES, ITERATIONS)
        merit = likelihood + _plausibility(mixture.particles, weakest)
        if best is None or merit > best[0]:
            best = (merit, mixture)
    if best is None or best[0] == -np.inf:
        return np.zeros(len(features))
    _, probability, _ = best[1].converged(data, OFFSET_FEATURES, ITERATIONS)
    return np.where(strong, probability, 0.0)


def _plausibility(particles: Normal, weakest: float) -> float:
    """Return the log prior of a cluster: as wide as asked for and without a slope, or it is edges, halos or ripples; not mere noise."""
    if particles.mean[STRENGTH] < weakest + 0.05:
        return -np.inf
    slope, wide = max(0.0, particles.mean[GRADIENT] + 1.6), particles.mean[WIDE] - 0.7
    return -np.inf if slope > 1.9 else -0.5 * (slope**2 + wide**2) / 0.15**2


def _dense_places(candidates: Array, decoys: Array) -> list[Array]:
    """Return up to `STARTS` places where candidates are denser than decoys, the densest first, well apart."""
    unit = 2.0 * SPREAD
    own, own_step = _thinned(candidates / unit)
    other, other_step = _thinned(decoys / unit)
    apart = _squared_distances(own, own)
    density = own_step * np.exp(-0.5 * apart).sum(axis=1) - other_step * np.exp(-0.5 * _squared_distances(own, other)).sum(axis=1)
    places: list[Array] = []
    while len(places) < STARTS and density.max() > 0.0:
        peak = int(density.argmax())
        places.append(own[peak] * unit)
        density = np.where(apart[peak] < 4.5 * len(unit), 0.0, density)
    return places


def _thinned(points: Array) -> tuple[Array, int]:
    step = max(1, -(-len(points) // CROWD))
    return points[::step], step


def _squared_distances(first: Array, second: Array) -> Array:
    return np.sum([(first[:, None, axis] - second[None, :, axis]) ** 2 for axis in range(first.shape[1])], axis=0)


def best_apart(
    x: Array, y: Array, probability: Array, strength: Array, *, least: float, distance: float, most: int | None = None
) -> NDArray[np.int64]:
    """Return which candidates ``(n,)`` of one micrograph to keep, the most probable first.

    Of two that are too near, the likelier stays; when their probabilities differ by less than 0.001, the stronger.

    Parameters
    ----------
    least
        Smallest probability.
    distance
        In px.
    most
        Largest number to keep.
    """
    order = np.lexsort((-strength, -np.round(probability, 3)))
    order = order[(probability[order] >= least) & (probability[order] > 0)]
    kept = order[keep_apart(x[order], y[order], distance)]
    return kept[np.lexsort((-strength[kept], -probability[kept]))][:most]
