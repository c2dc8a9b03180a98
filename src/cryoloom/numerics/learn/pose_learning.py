"""refine.deep_align from end to end: what is learned from aligned particles, how sure it is, and the poses of other particles by it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.expectation import Effort
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.known_poses import Settled
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.align.schedule import coarse_shell
from cryoloom.numerics.align.within_regions import Found, RegionSearch
from cryoloom.numerics.geometry.regions import Regions
from cryoloom.numerics.geometry.sphere import disc_lattice
from cryoloom.numerics.learn.region_examples import Examples, Sight
from cryoloom.numerics.learn.region_fit import Training
from cryoloom.numerics.learn.region_net import BATCH, RegionNet
from cryoloom.numerics.learn.rings import Rings
from cryoloom.numerics.learn.spread import Spread

Array = NDArray[np.float64]
Map = NDArray[np.float32]

HELD_OUT = 0.2
"""Part of the aligned particles that is not learned from."""
QUANTILE = 0.68
"""Part of the poses whose error is smaller than their spread."""
LOOKS, LOOK_STEP = 2.0, 3.2
"""Looks reach so many standard deviations of the shifts, in steps of a period of the finest detail seen over this."""
FARTHEST_LOOK = 2.3
"""Steps beyond which there is no look, so that there are 21 at the most."""
STEP = 0.375
"""Step of shifts on the local grid, periods of the finest detail compared there."""
LATTICE = 2.5
"""Standard deviations of the shifts, to which those of the local grid reach."""


@dataclass(frozen=True)
class Setting:
    """What learning and aligning share.

    Attributes
    ----------
    regions
        That a network tells.
    radius
        Of the particle, px.
    seen
        Last shell that the networks see.
    band
        Last shell by which poses are found.
    wiener
        Whether the networks see images corrected for their CTF.
    spread
        Standard deviation of shifts along an axis, px.
    farthest
        Shift that is believed, px.
    reach
        Degrees about a region's centre in which poses are sought.
    chosen
        Regions an image is sought in.
    """

    regions: Regions
    radius: float
    seen: int
    band: int
    wiener: bool
    spread: float
    farthest: float
    reach: float
    chosen: int
    threads: int = 1

    def rings(self, images: ImageSet) -> Rings:
        """Return where networks read images."""
        plane = images.plane.within(self.seen)
        step = plane.box / (LOOK_STEP * plane.last)
        return Rings(plane, self.radius, disc_lattice(min(LOOKS * self.spread, FARTHEST_LOOK * step), step))

    def sight(self, images: ImageSet, settled: Settled, noise: Array) -> Sight:
        """Return how networks see images whose noise is given."""
        if not self.wiener:
            return Sight(self.rings(images), noise)
        signal = noise[np.isfinite(noise).all(axis=1)].mean(axis=0) * (1 / np.maximum(settled.share, 1e-3) - 1)
        return Sight(self.rings(images), noise, signal)


@dataclass(frozen=True)
class Aligned:
    """Poses found.

    Attributes
    ----------
    rotations, shifts
        ``(n, 3, 3)`` and ``(n, 2)`` px.
    correlation
        With the map, seen from the pose, ``(n,)``.
    region, probability
        In which the pose lies, and how likely the network thinks it, ``(n,)``.
    features
        What tells how far the pose may be from the truth, ``(n, F)``.
    valid
        Whether there is a pose within the shifts believed that fits better than none, ``(n,)``.
    logits
        Of the network, ``(n, regions)``.
    """

    rotations: Array
    shifts: Array
    correlation: Array
    region: NDArray[np.int64]
    probability: Array
    features: Array
    valid: NDArray[np.bool_]
    logits: NDArray[np.float32]


def lesson(
    setting: Setting,
    images: ImageSet,
    volume: Map,
    rotations: Array,
    shifts: Array,
    *,
    epochs: int,
    batch: int,
    projections: float,
    seed: int,
) -> tuple[Settled, Training]:
    """Return the map as aligned particles show it, and what is to be learned from both.

    Parameters
    ----------
    images, rotations, shifts
        Aligned particles: ``n``, ``(n, 3, 3)`` and ``(n, 2)`` px.
    volume
        ``(box, box, box)``.
    epochs, batch, projections, seed
        See `Training`.

    Raises
    ------
    ValueError
        If the particles do not agree with the map at their poses.
    """
    settled = Settled.of(images, volume, rotations, shifts, setting.band, setting.radius, setting.threads)
    order = np.random.default_rng([seed, 1]).permutation(len(images))
    held, learned = np.sort(order[: round(HELD_OUT * len(images))]), np.sort(order[round(HELD_OUT * len(images)) :])
    sight = setting.sight(images, settled, settled.noise)
    directions = setting.regions.group.reduced(rotations)[:, 2]
    examples = Examples(sight, images, learned, directions, shifts, settled.grid, setting.regions, setting.spread)
    return settled, Training(examples, held, epochs, batch, projections, seed)


@dataclass(frozen=True)
class Aligner:
    """What finds poses.

    Attributes
    ----------
    settled
        The map, as the images show it.
    always
        Regions in which every particle is sought, since nothing was learned of them, ``(regions,)``.
    """

    setting: Setting
    network: RegionNet
    settled: Settled
    always: NDArray[np.bool_]

    def poses(self, images: ImageSet, noise: Array, told: Callable[[float], None] = lambda done: None) -> Aligned:
        """Return the poses of particles of known `noise` (``E|N|²``, ``(groups, shells)``); `told` hears what part is done.

        Each is sought in the regions that the network thinks likeliest.
        """
        setting = self.setting
        sight, rows = setting.sight(images, self.settled, noise), np.arange(len(images))
        parts = np.array_split(rows, -(-len(rows) // BATCH))
        logits = np.concatenate([self.network.logits(sight.images(images, part)) for part in parts])
        proposed = np.tile(self.always, (len(rows), 1))
        np.put_along_axis(proposed, np.argsort(-logits, axis=1, kind="stable")[:, : setting.chosen], True, axis=1)
        coarse = coarse_shell(setting.band, images.plane.box, setting.radius)
        step = STEP * images.plane.box / coarse
        lattice = disc_lattice(min(max(LATTICE * setting.spread, step), setting.farthest), step)
        effort = Effort(setting.band, lattice, PosePrior(shift=1.0 / setting.spread**2), group=setting.regions.group)
        search = RegionSearch(images, self.settled.grid, noise, setting.regions, effort, coarse, setting.reach, setting.threads)
        return _aligned(setting, search.found(proposed, told), logits)


def _aligned(setting: Setting, found: Found, logits: NDArray[np.float32]) -> Aligned:
    posterior = found.posterior
    rotations, shifts = setting.regions.group.reduced(posterior.rotations[:, 0]), posterior.shifts[:, 0]
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    region = setting.regions.nearest(rotations[:, 2])
    near = np.einsum("nr,nr->n", probabilities, setting.regions.adjacent[region].astype(np.float64))
    width = np.trace(posterior.covariances[:, 0, :3, :3], axis1=1, axis2=2)
    features = np.stack(
        [
            found.correlation,
            np.log(near + 1e-3),
            np.log(1.02 - posterior.weights[:, 0]),
            0.5 * np.log(np.maximum(width, 1e-8)),
            np.log1p(np.maximum(posterior.log_likelihood, 0.0)),
        ],
        axis=1,
    )
    valid = (posterior.log_likelihood > 0) & (np.linalg.norm(shifts, axis=1) <= setting.farthest)
    return Aligned(rotations, shifts, found.correlation, region, probabilities[np.arange(len(region)), region], features, valid, logits)


def calibration(aligner: Aligner, training: Training, rotations: Array) -> tuple[Spread, dict[str, Any]]:
    """Align the particles held out; return how far from the truth such poses are, and what is to be told of them.

    What is told of the spread is measured on half of them by what the other half taught.
    """
    setting, rows = aligner.setting, training.held_out
    own = aligner.poses(training.examples.images.subset(rows), aligner.settled.noise)
    truth = rotations[rows]
    errors = setting.regions.group.angle(own.rotations, truth)
    teaching = np.arange(len(rows)) % 2 == 0
    said = Spread.of(own.features[teaching], errors[teaching], QUANTILE)(own.features[~teaching])
    regions = setting.regions.nearest(setting.regions.group.reduced(truth)[:, 2])
    told = {
        **_region_report(setting.regions, own.logits, regions),
        "quantiles": _spread_report(said, errors[~teaching]),
        "error": float(np.median(errors)),
        "within_10": float(np.mean(errors <= 10.0)),
        "median_within_10": float(np.median(errors[errors <= 10.0])) if (errors <= 10.0).any() else None,
    }
    return Spread.of(own.features, errors, QUANTILE), told


def _region_report(regions: Regions, logits: NDArray[np.float32], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Return how often regions are found: all in all, one taken for the other, and by the probability that the network gave."""
    order = np.argsort(-logits, axis=1, kind="stable")
    confusion = np.zeros((len(regions), len(regions)), np.int64)
    np.add.at(confusion, (truth, order[:, 0]), 1)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    sure = (probabilities / probabilities.sum(axis=1, keepdims=True)).max(axis=1)
    hit = order[:, 0] == truth
    bins = [part for part in np.array_split(np.argsort(sure, kind="stable"), 10) if len(part)]
    return {
        "first": float(hit.mean()),
        "near": float(regions.adjacent[truth[:, None], order[:, :2]].any(axis=1).mean()),
        "chance": float(np.bincount(truth, minlength=len(regions)).max() / len(truth)),
        "confusion": confusion.tolist(),
        "probability": [float(sure[part].mean()) for part in bins],
        "hits": [float(hit[part].mean()) for part in bins],
    }


def _spread_report(said: Array, errors: Array) -> dict[str, list[float]]:
    """Return, for poses of like spread, the spread's mean and the part of the poses whose error is smaller."""
    bins = [part for part in np.array_split(np.argsort(said, kind="stable"), 6) if len(part)]
    return {
        "spread": [float(np.median(said[part])) for part in bins],
        "within": [float(np.mean(errors[part] <= said[part])) for part in bins],
    }
