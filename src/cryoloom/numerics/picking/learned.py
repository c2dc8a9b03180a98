"""Picking as somebody showed it: examples from lessons on a few micrographs, a model made of them, and the picks of a model.

After Abrishami et al. (2013), doi:10.1093/bioinformatics/btt429. What is other here, and why: docs/decisions/0026.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.picking.descriptors import REACH, Descriptors, Grain, View
from cryoloom.numerics.picking.features import DETAIL, Bases
from cryoloom.numerics.picking.kernel_machine import KernelMachine, precision_recall
from cryoloom.numerics.picking.selection import best_apart

Array = NDArray[np.float64]

SAME = 0.25 * REACH
"""A pick and a candidate nearer than this, in diameters, are one particle."""
GRID = 0.5 * REACH
"""Step of the places that are taken for background where there are too few candidates, diameters."""
FEWEST, PER_PICK = 30, 2.0
"""Places of background taken from a micrograph: so many for each pick, and these at the least."""
EMPTY = 15
"""Places taken from noise of the spectrum of the micrograph: where particles lie dense there is little else that is empty."""
STRANGE = 5.0
"""Standard deviations from the detail of the particles shown, beyond which nothing is one."""
VARIES = np.array([0.1, 0.03])
"""Standard deviations of `FEATURES` of the detail between micrographs, of which few are shown."""
MOST = (400, 800)
"""Most positive and negative examples of a model."""
LEAST_PICKS = 10


class TooFew(ValueError):
    """There is not enough to learn from; the text says what is missing."""


@dataclass(frozen=True)
class Lesson:
    """What somebody marked on a micrograph, px.

    Attributes
    ----------
    picks, rejected
        ``(n, 2)`` (x, y) of particles, and of what was picked and is none.
    region
        x and y of its first corner, x and y of the last: all particles in it are marked. None: in the whole micrograph.
    """

    picks: Array
    rejected: Array
    region: tuple[float, float, float, float] | None = None

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> "Lesson":
        """Return a lesson from lists of places ``picks`` and ``rejected``, and ``region``."""
        picks, rejected = (np.array(told[name], dtype=np.float64).reshape(-1, 2) for name in ("picks", "rejected"))
        region = told.get("region")
        return cls(picks, rejected, tuple(region) if region else None)


@dataclass(frozen=True)
class Examples:
    """Places of a micrograph with their descriptions.

    Attributes
    ----------
    places
        ``(n, 2)`` (x, y), px of the micrograph.
    described
        Of the places.
    positive, corrected
        ``(n,)`` whether it is a particle; whether somebody said that it is none.
    share
        ``(n,)`` how many candidates each stands for; 0 for what is no candidate.
    """

    places: Array
    described: Descriptors
    positive: NDArray[np.bool_]
    corrected: NDArray[np.bool_]
    share: Array


@dataclass(frozen=True)
class Model:
    """What tells particles from other places."""

    grain: Grain
    bases: Bases
    machine: KernelMachine
    positive: NDArray[np.bool_]
    share: Array

    @classmethod
    def trained(cls, grain: Grain, examples: Sequence[Examples], *, seed: int) -> "Model":
        """Learn from the examples of several micrographs.

        Raises
        ------
        TooFew
            There are fewer than `LEAST_PICKS` particles, or is nothing else to tell them from.
        """
        positive = np.concatenate([each.positive for each in examples]) if examples else np.zeros(0, bool)
        if positive.sum() < LEAST_PICKS:
            raise TooFew(f"{int(positive.sum())} particles are marked: pick at least {LEAST_PICKS} particles")
        if positive.all():
            raise TooFew("there is nothing but particles: mark a region in which some places are empty")
        corrected = np.concatenate([each.corrected for each in examples])
        share = np.concatenate([each.share for each in examples])
        kept, share = _thinned(positive, corrected, share, np.random.default_rng(seed))
        described = Descriptors.joined([each.described for each in examples])[kept]
        positive = positive[kept]
        bases = Bases.of(described[positive])
        machine = KernelMachine.trained(bases.features(described), positive, share)
        return cls(grain, bases, machine, positive, share)

    def scores(self, described: Descriptors) -> Array:
        """Return the probability ``(n,)`` that each described place is a particle; 0 where the detail is like that of no particle shown.

        What is weaker, stronger or broader (emptier ice, contaminants that no example is of) is nothing that the examples say anything about.
        """
        features = self.bases.features(described)
        return np.where(self._strangeness(features) <= STRANGE, self.machine.probabilities(self.machine.margins(features)), 0.0)

    def _strangeness(self, features: Array) -> Array:
        """Return how far the detail of places ``(n,)`` is from that of the particles shown, in standard deviations of theirs."""
        shown = (self.machine.vectors[self.positive] * self.machine.spread + self.machine.centre)[:, DETAIL]
        away = features[:, DETAIL] - shown.mean(axis=0)
        spread = np.cov(shown.T) + np.diag(VARIES**2)
        return np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(spread), away))

    def estimates(self, least: float = 0.5) -> dict[str, float]:
        """Return the precision and the recall of picks of the score `least` or more, each example judged by a model that was not shown it."""
        chosen = self.machine.probabilities(self.machine.left_out) >= least
        hits = (self.share * (chosen & self.positive)).sum()
        precision = hits / max((self.share * chosen).sum(), 1e-12)
        return {"precision": round(float(precision), 4), "recall": round(float(hits / (self.share * self.positive).sum()), 4)}

    def curve(self) -> tuple[Array, Array, Array]:
        """Return scores, falling, with the precision and the recall of picks down to each, judged as those of `estimates`."""
        margins, precision, recall = precision_recall(self.machine.left_out, self.positive, self.share)
        return self.machine.probabilities(margins), precision, recall


@dataclass(frozen=True)
class Picks:
    """Picks of one micrograph, the likeliest first: ``(n,)`` x, y in px and score."""

    x: Array
    y: Array
    score: Array


def pick(view: View, model: Model, *, least: float, distance: float, share: float = 1.0, most: int | None = None) -> Picks:
    """Return what a model takes for particles.

    Parameters
    ----------
    least
        Smallest probability.
    distance
        Least distance of two picks, px; the likelier stays.
    share
        Part of the candidates, the strongest, that are looked at.
    most
        Largest number of picks.
    """
    candidates = view.candidates
    count = int(np.ceil(share * len(candidates.x)))
    x, y, strength = candidates.x[:count], candidates.y[:count], candidates.strength[:count]
    score = model.scores(view.describe(x, y))
    best = best_apart(x, y, score, strength, least=least, distance=distance, most=most)
    return Picks(x[best], y[best], score[best])


def examples_of(view: View, lesson: Lesson, diameter: float, *, seed: int) -> Examples:
    """Return what a lesson teaches on the micrograph of `view`.

    Parameters
    ----------
    diameter
        Of the particle, px of the micrograph.
    """
    candidates = np.stack([view.candidates.x, view.candidates.y], axis=1)
    picks = _on_candidates(lesson.picks, candidates, SAME * diameter)
    rejected = _apart(lesson.rejected, lesson.picks, SAME * diameter)  # somebody may have had second thoughts
    known = np.concatenate([lesson.picks, picks, rejected])
    background = _apart(_inside(candidates, lesson.region), known, SAME * diameter)
    wanted = max(FEWEST, round(PER_PICK * len(picks)))
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(background))[:wanted]
    grid = _apart(_grid(view, lesson.region, diameter), np.concatenate([known, background]), SAME * diameter)
    more = rng.permutation(len(grid))[: wanted - len(drawn)]
    noise = view.noise(seed)
    empty = np.stack([noise.candidates.x, noise.candidates.y], axis=1)
    empty = empty[rng.permutation(len(empty))[:EMPTY]]
    places = np.concatenate([picks, rejected, background[drawn], grid[more]])
    counts = (len(picks), len(rejected), len(drawn), len(more), len(empty))
    return Examples(
        places=np.concatenate([places, empty]),
        described=Descriptors.joined([view.describe(*places.T), noise.describe(*empty.T)]),
        positive=np.repeat([True, False, False, False, False], counts),
        corrected=np.repeat([False, True, False, False, False], counts),
        share=np.repeat(
            [1.0, 1.0, len(background) / max(len(drawn), 1), 0.0, max(0.5 * len(picks) - len(background), 0.0) / max(len(empty), 1)], counts
        ),
    )


def _on_candidates(picks: Array, candidates: Array, reach: float) -> Array:
    """Return `picks` moved to the nearest candidate within `reach`: there the model will be asked."""
    if not len(picks) or not len(candidates):
        return picks
    distance = np.linalg.norm(picks[:, None] - candidates[None], axis=2)
    nearest = distance.argmin(axis=1)
    return np.where((distance.min(axis=1) < reach)[:, None], candidates[nearest], picks)


def _apart(places: Array, others: Array, reach: float) -> Array:
    """Return those of `places` that are not within `reach` of any of `others`."""
    if not len(places) or not len(others):
        return places
    return places[np.linalg.norm(places[:, None] - others[None], axis=2).min(axis=1) >= reach]


def _inside(places: Array, region: tuple[float, float, float, float] | None) -> Array:
    if region is None:
        return places
    first, last = np.array(region[:2]), np.array(region[2:])
    return places[((places >= first) & (places <= last)).all(axis=1)]


def _grid(view: View, region: tuple[float, float, float, float] | None, diameter: float) -> Array:
    """Return places that cover the micrograph, or a region of it, but for its border."""
    height, width = (size * scale for size, scale in zip(view.scene.pixels.shape, view.scene.scale, strict=True))
    margin, step = 2.0 * REACH * diameter, GRID * diameter
    columns, rows = np.meshgrid(np.arange(margin, width - margin, step), np.arange(margin, height - margin, step))
    return _inside(np.stack([columns.ravel(), rows.ravel()], axis=1), region)


def _thinned(
    positive: NDArray[np.bool_], corrected: NDArray[np.bool_], share: Array, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Array]:
    """Return which examples to keep, in order, and what each stands for then: no more than `MOST`, all corrections among them."""
    kept, share = [], share.copy()
    for wanted, most in ((positive, MOST[0]), (~positive & ~corrected, MOST[1])):
        all_ = np.flatnonzero(wanted)
        few = np.sort(rng.permutation(all_)[:most])
        share[few] *= share[all_].sum() / max(share[few].sum(), 1e-12) if share[all_].any() else 1.0
        kept.append(few)
    order = np.sort(np.concatenate([*kept, np.flatnonzero(corrected)[: MOST[1]]]))
    return order, share[order]
