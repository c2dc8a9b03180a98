"""Several maps of one particle as a swarm: each is rebuilt from random images and drawn to the best it has been and to the best of all.

Particle-swarm optimisation (Kennedy & Eberhart 1995, doi:10.1109/ICNN.1995.488968) over volumes in the manner of Sorzano et al. 2018. A member's
position is a map. Every iteration aligns random images to it and averages them at their likely poses, which moves the member by a step of stochastic
gradient ascent on the likelihood; images of a pool from which no member is ever made then tell how good members are, the same ones for all of
them and for their former bests; and velocities carry members on towards their own best and the best of all.

A member is two half maps, each made of its own half of the images, which are aligned to it alone: what the halves agree on is then no echo of a
reference that both had. The step is preconditioned: with the sums d and w of the images drawn, the gradient at the map V is ``d - w V`` and the step
``η (d - w V) / w``. The whole of it, ``η = 1``, replaces the member by the reconstruction of the draw, as published; a smaller one remembers
``(2 - η) / η`` draws, and the reconstruction is filtered for as many, by what the halves agree on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.expectation import Expectation
from cryoloom.numerics.align.maps import MapAlignment
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import insertion_points
from cryoloom.numerics.align.refine import residual_noise
from cryoloom.numerics.align.refine_task import JOIN
from cryoloom.numerics.align.swarm_maps import Maps, correlations, laid_one_by_one, laid_together, significant
from cryoloom.numerics.align.swarm_scores import Projecting
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.grids import Map, working_box
from cryoloom.numerics.reconstruct.sums import Sums, divided, join_low_shells, joined_ssnr
from cryoloom.numerics.reconstruct.symmetry import symmetric_map

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
State = dict[str, Any]
Tell = Callable[[float, str], None]

POOL = 5
"""Times the images of one evaluation that are kept for evaluations alone, a quarter of the set at most."""
WHOLE_STEPS = 2
"""First iterations that replace the members: what they were made of is not known."""
ROUNDS = 3
"""Most times that a consensus is rebuilt from all images."""
FIRST_JUDGES = 600
"""Most images that judge the members before the first iteration: nothing has been made of any image yet, so that all may."""
WRONG = 3.0
"""Standard errors of its fitness by which a map falls short of the best to be called wrong."""


@dataclass(frozen=True)
class Rules:
    """How members move and are judged.

    Attributes
    ----------
    inertia, pull
        What a velocity keeps of itself, and the coefficients of both attractions.
    step
        Of the stochastic gradient, see above.
    correlate
        Judge by correlation with the best projection, without transfer functions, instead of by evidence.
    denoise
        Keep only what is significant of a member, see `significant`.
    weigh
        Let only those bests into the result that make it better.
    renew
        Forget the members as given once they are rebuilt, be they better or not.
    """

    inertia: float = 0.72
    pull: float = 1.49
    step: float = 0.5
    correlate: bool = False
    denoise: bool = False
    weigh: bool = True
    renew: bool = False


PUBLISHED = Rules(1.0, 2.0, 1.0, correlate=True, denoise=True, weigh=False, renew=True)


@dataclass(frozen=True)
class Plan:
    """What stays the same through the iterations of a swarm.

    Attributes
    ----------
    projecting
        The images, and how they are compared with maps.
    pixel_size
        Å/px of the images.
    seed
        Of every draw.
    train, test
        Images that rebuild a member, and that judge all, in an iteration.
    rules
        How members move.
    positive
        Set what is negative in members to nothing.
    mask
        ``(box, box, box)`` at the working box; None for a sphere.
    """

    projecting: Projecting
    pixel_size: float
    seed: int
    train: int = 500
    test: int = 100
    rules: Rules = Rules()
    positive: bool = True
    mask: Map | None = None

    @property
    def box(self) -> int:
        """Return the box of the members: the images' extent at the voxels that the band needs."""
        return working_box(self.projecting.images.plane.radius, self.full_box)

    @property
    def full_box(self) -> int:
        """Return the images' box."""
        return self.projecting.images.plane.box

    @property
    def voxel(self) -> float:
        """Return Å a voxel of the members."""
        return self.pixel_size * self.full_box / self.box

    @cached_property
    def solvent(self) -> Map:
        """Return the mask of the members."""
        if self.mask is not None:
            return self.mask
        return spherical_mask(self.box, self.projecting.radius * self.box / self.full_box, 3.0)

    @cached_property
    def parted(self) -> tuple[Rows, Rows, Rows]:
        """Return the images that only judge, and those that build either half."""
        order = np.random.default_rng([self.seed, 0]).permutation(len(self.projecting.images))
        judges = min(len(order) // 4, POOL * self.test)
        return np.sort(order[:judges]), np.sort(order[judges::2]), np.sort(order[judges + 1 :: 2])

    def masked(self, mask: Map) -> "Plan":
        """Return the plan with another mask of the members."""
        return replace(self, mask=mask)

    def builders(self, iteration: int, member: int, half: int) -> Rows:
        """Draw the images that rebuild a half of a member: half of those there are at the most, and none of those of the iteration before."""
        every = self.parted[1 + half]
        size = max(1, min(self.train // 2, len(every) // 2))
        turns = len(every) // size
        # Dealt out like cards: an image comes back when all have had their turn.
        order = np.random.default_rng([self.seed, 3, member, half, iteration // turns]).permutation(every)
        return np.sort(order[iteration % turns * size :][:size])

    def judges(self, rng: np.random.Generator) -> Rows:
        """Draw the images of an evaluation."""
        return np.sort(rng.choice(self.parted[0], min(self.test, len(self.parted[0])), replace=False))

    def scores(self, maps: list[Map], rows: Rows, noise: Array, turn: Array) -> Array:
        """Return how well each map explains each image, ``(maps, images)``."""
        if self.rules.correlate:
            return np.stack([self.projecting.blind.correlations(one, rows, noise, turn) for one in maps])
        return np.stack([self.projecting.evidence(one, rows, noise, turn) for one in maps])

    def kept(self, volume: Map) -> Map:
        """Return what may stay of a map."""
        inside = volume * self.solvent
        inside = significant(inside, self.solvent) if self.rules.denoise else inside
        return np.maximum(inside, 0.0) if self.positive else inside


@dataclass(frozen=True)
class Laid:
    """Maps laid on the one that explains the images best.

    Attributes
    ----------
    maps
        ``(k, b, b, b)``, in the grey values of the images and with the symmetry imposed.
    best
        Which one stayed where it was.
    moves
        Of every other one what it was laid on, and how it was moved.
    free
        That one, as given.
    scores
        Evidence of the maps before they were moved, ``(k, images)``.
    """

    maps: Maps
    best: int
    moves: dict[int, tuple[int, MapAlignment]]
    free: Map
    scores: Array


def laid_on_best(plan: Plan, maps: Maps) -> Laid:
    """Bring maps ``(k, b, b, b)`` to the grey values of the images, shell by shell, judge them so, and lay them on the best, see `laid_one_by_one`.

    Raises
    ------
    ValueError
        If the images agree with the negative of one of them; it is named by its number, from 1.
    """
    group, (rows, noise, turn) = plan.projecting.group, _before(plan)
    fitted = []
    for number, one in enumerate(maps, start=1):
        try:
            fitted.append(plan.projecting.fitted(one * plan.solvent, rows, noise, turn) * plan.solvent)
        except ValueError as problem:
            raise ValueError(f"volume {number}: {problem}") from problem
    scores = np.stack([plan.projecting.evidence(one, rows, noise, turn) for one in fitted])
    best = int(scores.mean(axis=1).argmax())
    placed, moves = laid_one_by_one(np.stack(fitted), best, plan.voxel, group)
    return Laid(np.stack([symmetric_map(one, group) for one in placed]), best, moves, maps[best], scores)


def far_worse(fitness: Sequence[float], error: Sequence[float]) -> list[int]:
    """Return which maps, from 0, an evaluation found far worse than the best, given mean and standard error of the scores of each."""
    return [k for k, (one, spread) in enumerate(zip(fitness, error, strict=True)) if one < max(fitness) - WRONG * spread]


def begin(plan: Plan, laid: Laid) -> State:
    """Return the state before the first iteration, in which members are maps as laid, and as good as they were found."""
    rows, noise, turn = _before(plan)
    scores = plan.scores(list(laid.maps), rows, noise, turn) if plan.rules.correlate else laid.scores
    placed = np.repeat(laid.maps[:, None], 2, axis=1)
    lead = int(scores.mean(axis=1).argmax())
    return {
        "iteration": 0,
        "starts": laid.maps,
        "positions": placed,
        "velocities": np.zeros_like(placed),
        "bests": placed,
        "best_iterations": np.zeros(len(placed), np.int64),
        "best_fsc": np.zeros((len(placed), plan.projecting.band + 1)),
        "common": placed[lead],
        "noise": noise,
        "history": [_record(scores, scores, scores[lead], correlations(placed, plan.solvent))],
    }


def _before(plan: Plan) -> tuple[Rows, Array, Array]:
    """Return which images judge before the first iteration, what is noise to them, and how the grid of orientations is turned."""
    rng, count = np.random.default_rng([plan.seed, 1, 0]), len(plan.projecting.images)
    turn = random_rotations(1, rng)[0]
    return np.sort(rng.permutation(count)[:FIRST_JUDGES]), plan.projecting.images.total_power(), turn


def iterate(plan: Plan, state: State, tell: Tell = lambda part, message: None) -> State:
    """Return the state after one more iteration; `tell` hears the part done of it and what is being done."""
    number, rules = state["iteration"] + 1, plan.rules
    rng = np.random.default_rng([plan.seed, 1, number])
    turn, judges = random_rotations(1, rng)[0], plan.judges(rng)
    noise, count = state["noise"], len(state["positions"])
    bests, common = state["bests"], state["common"]
    rebuilt = []
    for member, halves in enumerate(state["positions"]):
        tell(0.6 * member / count, f"rebuilding volume {member + 1}")
        rows = (plan.builders(number, member, 0), plan.builders(number, member, 1))
        rebuilt.append(_rebuilt(plan, halves, rows, rules.step if number > WHOLE_STEPS else 1.0, noise, turn))
    moved = np.stack([one.halves for one in rebuilt])
    if count > 1:
        tell(0.6, "laying the volumes on each other")
        middle = moved.sum(axis=(0, 1)) if number <= WHOLE_STEPS else bests.sum(axis=(0, 1)) + common.sum(axis=0)
        moved = laid_together(moved, middle, plan.voxel, plan.projecting.group)
    tell(0.7, "judging the volumes")
    scores = plan.scores([one.mean(axis=0) for one in [*moved, *bests, common]], judges, noise, turn)
    new, own, of_common = scores[:count], scores[count : 2 * count], scores[-1]
    better = (new.mean(axis=1) > own.mean(axis=1)) | (rules.renew and number == 1)
    bests, own = np.where(better[:, None, None, None, None], moved, bests), np.where(better[:, None], new, own)
    lead = int(own.mean(axis=1).argmax())
    if own[lead].mean() > of_common.mean():
        common, of_common = bests[lead], own[lead]
    record = _record(new, own, of_common, correlations(moved, plan.solvent))
    record["resolution"] = [resolution_at(one.fsc, 0.143, plan.full_box, plan.pixel_size) for one in rebuilt]
    velocities, positions = state["velocities"], moved
    if number > 1:
        own_pull, common_pull = rules.pull * rng.random((2, count, 1, 1, 1, 1), np.float32)
        velocities = rules.inertia * velocities + own_pull * (bests - moved) + common_pull * (common - moved)
        velocities = velocities.astype(np.float32)
        positions = moved + velocities
    best = max(rebuilt, key=lambda one: one.evidence)
    return {
        **state,
        "iteration": number,
        "positions": positions,
        "velocities": velocities,
        "bests": bests,
        "best_iterations": np.where(better, number, state["best_iterations"]),
        "best_fsc": np.where(better[:, None], [one.fsc for one in rebuilt], state["best_fsc"]),
        "common": common,
        "noise": residual_noise(noise, best.residual, best.counts, plan.projecting.images.coverage),
        "history": [*state["history"], record],
    }


def consensus(plan: Plan, state: State) -> State:
    """Return what a swarm agrees on: the mean of the members' bests, the best first, each of which stays if it makes the mean fit better.

    The whole pool judges. The published rule takes the mean of all, and of the best of all once more.

    Returns
    -------
    dict
        ``halves`` ``(2, b, b, b)`` of the result; ``fsc`` of the best member's, before they were filtered and made positive; ``within``, which
        bests are in it; ``scores`` of each best and of the result last,
        ``(k + 1, images)``; and what `settle` goes on from.
    """
    bests = state["bests"]
    if len(bests) > 1:
        bests = laid_together(bests, state["common"].sum(axis=0), plan.voxel, plan.projecting.group)
    scores = [_by_pool(plan, one, state["noise"]) for one in bests]
    first, *others = np.argsort([-one.mean() for one in scores], kind="stable").tolist()
    mean, reached, within = bests[first], scores[first], [first]
    if plan.rules.weigh:
        for member in others:
            more = mean + (bests[member] - mean) / np.float32(len(within) + 1)
            score = _by_pool(plan, more, state["noise"])
            if score.mean() > reached.mean():
                mean, reached = more, score
                within.append(member)
    else:
        mean = np.stack([plan.kept(half) for half in (bests.sum(axis=0) + state["common"]) / np.float32(len(bests) + 1)])
        reached, within = _by_pool(plan, mean, state["noise"]), list(range(len(bests)))
    return {
        "halves": mean,
        "fsc": state["best_fsc"][first],
        "within": [member in within for member in range(len(bests))],
        "scores": np.stack([*scores, reached]),
        "noise": state["noise"],
        "rotations": np.zeros((0, 3, 3)),
        "round": 0,
        "settled": False,
    }


def settle(plan: Plan, state: State, most: int) -> State:
    """Return a consensus rebuilt from all images that build, `most` at most; it has ``settled`` when the pool no longer finds it better."""
    number = state["round"] + 1
    rng = np.random.default_rng([plan.seed, 4, number])
    one, two = (np.sort(rng.permutation(rows)[: most // 2]) for rows in plan.parted[1:])
    new = _rebuilt(plan, state["halves"], (one, two), 1.0, state["noise"], random_rotations(1, rng)[0])
    score = _by_pool(plan, new.halves, state["noise"])
    if score.mean() <= state["scores"][-1].mean():
        return {**state, "round": number, "settled": True}
    scores = np.concatenate([state["scores"][:-1], score[None]])
    better = {"halves": new.halves, "fsc": new.fsc, "rotations": new.rotations, "scores": scores}
    return {**state, **better, "round": number, "settled": number == ROUNDS}


def _by_pool(plan: Plan, halves: Maps, noise: Array) -> Array:
    """Return the scores of a member by all images that judge, always at the same grid of orientations."""
    turn = random_rotations(1, np.random.default_rng([plan.seed, 2]))[0]
    return plan.scores([halves.mean(axis=0)], plan.parted[0], noise, turn)[0]


@dataclass(frozen=True)
class _Rebuilt:
    """A member after a step: halves, their shell correlation, what its images left and how well they fit (see `Expectation`), and their rotations."""

    halves: Maps
    fsc: Array
    residual: Array
    counts: Array
    evidence: float
    rotations: Array


def _rebuilt(plan: Plan, halves: Maps, rows: tuple[Rows, Rows], step: float, noise: Array, turn: Array) -> _Rebuilt:
    """Return a member after a step of the gradient that some images of either half give."""
    projecting, band = plan.projecting, plan.projecting.band
    found = [projecting.aligned(volume, some, noise, turn) for volume, some in zip(halves, rows, strict=True)]
    sums = [_summed(plan, some, one, noise) for some, one in zip(rows, found, strict=True)]
    join_low_shells(*sums, min(band, round(plan.full_box * plan.pixel_size / JOIN)))
    single = [_divided(plan, one) * plan.solvent for one in sums]
    curve = fourier_shell_correlation(*single)[: band + 1]
    ssnr = joined_ssnr(np.maximum(curve, 0.0)) * (2.0 - step) / step
    new = [plan.kept(old + np.float32(step) * (_divided(plan, one, ssnr) - old)) for old, one in zip(halves, sums, strict=True)]
    return _Rebuilt(
        np.stack(new),
        curve,
        np.sum([one.residual for one in found], axis=0),
        np.sum([one.counts for one in found], axis=0),
        float(np.mean([one.posterior.evidence.mean() for one in found])),
        np.concatenate([one.posterior.rotations[:, 0] for one in found]),
    )


def _summed(plan: Plan, rows: Rows, found: Expectation, noise: Array) -> Sums:
    projecting = plan.projecting
    points = insertion_points(found.posterior, plan.full_box, projecting.band, projecting.radius)
    one_lane = np.zeros(len(rows), np.int64)
    return next(accumulate(projecting.images, rows, points, projecting.images.plane, noise, one_lane, group=projecting.group))


def _divided(plan: Plan, sums: Sums, ssnr: Array | None = None) -> Map:
    return divided(sums, plan.projecting.band, plan.box, plan.full_box, ssnr=ssnr, group=plan.projecting.group)


def _record(new: Array, own: Array, common: Array, alike: Array) -> dict[str, Any]:
    """Return what is remembered of an evaluation: mean and standard error of the scores, and how alike the members are."""
    fitness, error = _summary(new)
    return {
        "fitness": fitness,
        "error": error,
        "best": own.mean(axis=1).tolist(),
        "common": float(common.mean()),
        "correlation": alike.tolist(),
    }


def _summary(scores: Array) -> tuple[list[float], list[float]]:
    """Return mean and standard error of the scores of each map ``(k, images)``."""
    return scores.mean(axis=1).tolist(), (scores.std(axis=1) / np.sqrt(scores.shape[1])).tolist()
