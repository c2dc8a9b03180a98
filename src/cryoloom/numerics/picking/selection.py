"""Which blobs are particles, told without a threshold from the candidates of the whole set.

Particles of one kind have about one strength and one breadth. Noise is weaker: blobs of the other sign, which no particle makes, show
how strong it gets (target and decoy, Elias & Gygi 2007, doi:10.1038/nmeth1019). Ice, aggregates and edges of carbon are stronger or broader,
and each is different. So candidates are sorted into a narrow family, noise, and the rest. No constant here is a contrast or a score.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.picking.mixture import Mixture, Normal, Sample
from cryoloom.numerics.picking.peaks import keep_apart

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """What is known beforehand of candidates of one kind; features are natural logarithms, the first that of a strength.

    Attributes
    ----------
    spread
        Standard deviations of the features, to which those of particles and noise are drawn where there are few of them.
    widest
        Largest standard deviation of the logarithm of the strength of particles of one kind in one micrograph, for all views.
    weakest
        Smallest mean log strength of a family.
    clear
        By how much its mean log strength is above that of typical noise, at the least.
    """

    spread: tuple[float, ...]
    widest: float
    weakest: float
    clear: float


BLOBS = Kind(spread=(0.15, 0.1), widest=0.2, weakest=float(np.log(0.125)), clear=0.15)
"""`blob.FEATURES`: the maxima of white noise alone have a mean of ln 0.10, and one in twenty is above ln 0.125."""

MATCHES = Kind(spread=(0.12, 0.12), widest=0.25, weakest=0.0, clear=0.5)
"""`matched_filter.FEATURES`: a family made of the best matches of noise alone has a mean 0.45 above the typical ones at the most."""

STEP = 0.15
"""Distance in log strength between the places where the family is looked for."""

BREADTH = 2.0
"""Covariance of the rest over that of all candidates above the noise."""

QUIET = 0.25
"""Quantile of the decoys' strength that is typical of noise, however many of them are halos."""

SAMPLE, ITERATIONS = 20_000, 100


def particle_probability(features: Array, micrograph: NDArray[np.int64], decoys: Array, kind: Kind = BLOBS) -> Array:
    """Return the probability ``(n,)`` that each candidate is a particle; 0 for all where no family of particles is found.

    Parameters
    ----------
    features
        ``(n, k)`` of the candidates of all micrographs.
    micrograph
        ``(n,)`` from 0: which micrograph each belongs to.
    decoys
        ``(m, k)`` features of the decoys of all micrographs.
    kind
        What the features are.
    """
    if len(features) < 3:
        return np.zeros(len(features))
    typical = typical_noise(decoys) if len(decoys) else float(features[:, 0].min())
    weakest = max(typical + kind.clear, kind.weakest)
    data = Sample(features, decoys, micrograph, int(micrograph.max()) + 1, np.array(kind.spread), kind.widest)
    few = _thinned(data)
    best: tuple[float, Mixture] | None = None
    for place in np.arange(weakest, few.candidates[:, 0].max(), STEP):
        start = _start(few, float(place), typical)
        if start is None:
            continue
        mixture, likelihood = start.converged(few, ITERATIONS)
        if mixture.particles.mean[0] >= weakest and (best is None or likelihood > best[0]):
            best = (likelihood, mixture)
    if best is None:
        return np.zeros(len(features))
    mixture = best[1] if few is data else best[1].converged(data, ITERATIONS)[0]
    # The family's own tail is wider than that of the noise: what is weaker than typical noise must not come back in.
    probability = np.where(features[:, 0] > mixture.noise.mean[0], mixture.posterior(data)[0][0], 0.0)
    return probability if probability.sum() >= 2.0 else np.zeros(len(features))


def typical_noise(decoys: Array) -> float:
    """Return the log strength that is typical of noise alone, by decoys ``(m, k)`` of which some may be halos of contaminants."""
    return float(np.quantile(decoys[:, 0], QUIET))


def _start(data: Sample, place: float, typical: float) -> Mixture | None:
    """Return a mixture whose particles have a log strength about `place`, or nothing where there is no candidate; noise is `typical`."""
    near = np.exp(-0.5 * ((data.candidates[:, 0] - place) / STEP) ** 2)
    if near.sum() < 2.0:
        return None
    everything = np.concatenate([data.candidates, data.decoys])
    outside = data.candidates[data.candidates[:, 0] > typical + 0.5 * STEP]
    away = outside - outside.mean(axis=0)
    cover = BREADTH * (np.einsum("nj,nk->jk", away, away) / len(away) + np.diag(data.spread**2))
    return Mixture(
        particles=Normal.fit(data.candidates, near, data.spread).narrowed(data.widest),
        noise=Normal.fit(everything, (everything[:, 0] < typical + STEP) + 1e-9, data.spread),
        rest=Normal(outside.mean(axis=0), cover),
        shares=np.array([0.4, 0.4, 0.2]),
        decoy_shares=np.array([0.8, 0.2]),
        offsets=np.zeros(data.micrographs),
    )


def _thinned(data: Sample) -> Sample:
    """Return every so manieth candidate and decoy, `SAMPLE` of each at the most."""
    step, decoy_step = max(1, -(-len(data.candidates) // SAMPLE)), max(1, -(-len(data.decoys) // SAMPLE))
    if step == decoy_step == 1:
        return data
    return replace(data, candidates=data.candidates[::step], micrograph=data.micrograph[::step], decoys=data.decoys[::decoy_step])


def best_apart(
    x: Array, y: Array, probability: Array, strength: Array, *, least: float, distance: float | Array, most: int | None = None
) -> NDArray[np.int64]:
    """Return which candidates ``(n,)`` of one micrograph to keep, the most probable first.

    Of two that are too near, the likelier stays; when their probabilities differ by less than 0.001, the stronger.

    Parameters
    ----------
    least
        Smallest probability.
    distance
        In px, one for all or one each, of which two take the mean.
    most
        Largest number to keep.
    """
    order = np.lexsort((-strength, -np.round(probability, 3)))
    order = order[(probability[order] >= least) & (probability[order] > 0)]
    kept = order[keep_apart(x[order], y[order], np.broadcast_to(distance, x.shape)[order])]
    return kept[np.lexsort((-strength[kept], -probability[kept]))][:most]
