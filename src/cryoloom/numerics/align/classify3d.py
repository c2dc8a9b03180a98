"""Several structures in one set: classes, poses and maps by expectation-maximisation, each image judged by maps it is not in.

The model is that of Scheres et al. 2007 (doi:10.1038/nmeth992) and Scheres 2012 (doi:10.1016/j.jmb.2011.11.010): an image shows one of K maps at
an unknown pose. Three things differ. An image is compared with references made without its own part of the images, so that its noise cannot hold
it in a class. Class maps are drawn towards the mean of all classes instead of towards zero (`classify3d_maps`). And classes are split and merged
until none hides two structures (`classify3d_rounds`). Whether two classes differ is judged while each half of the images goes on by itself; after
that those that differ take their differences from all other images, which a rare class needs, and those that do not share one map. Poses are found
as in `refine`, continuously.

Classes start equal but for a random assignment. What tells them apart is amplified from iteration to iteration: where images differ by more than
noise the difference grows (as the largest principal component of the images given their poses would in a power iteration), elsewhere it dies out
once halves of the images disagree on it.

Memory beside the images': the sums of every class and part (16 bytes a cell), which `Task.finest_shell` keeps within `LANES_KEPT`, and the poses
of every image in every class, 1.2 kB each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align import classify3d_rounds, refine, schedule
from cryoloom.numerics.align.classify3d_accuracy import expected_errors
from cryoloom.numerics.align.classify3d_estep import ClassExpectation, ClassPass, Wide
from cryoloom.numerics.align.classify3d_maps import ClassSums, agreement, final_maps, pooled, references
from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.expectation import BLOCK, Effort
from cryoloom.numerics.align.posterior import Posterior
from cryoloom.numerics.align.scales import TELLING
from cryoloom.numerics.fsc.shells import crossing_shell
from cryoloom.numerics.parallel import Stage, blocks
from cryoloom.numerics.reconstruct.grids import Map, reference_grid
from cryoloom.numerics.reconstruct.kernels import grid_bytes

Array = NDArray[np.float64]
State = dict[str, Any]
Search = Literal["global", "local", "fixed"]

LANES_KEPT = 4 << 30
"""Bytes that the sums of all classes and parts may take."""
SPARK, FADE = 0.3, 0.75
"""Least signal assumed in the differences of classes when they are split, as a part of the mean map's, and what is left of it an iteration later."""
QUIET, GAIN = 0.003, 0.02
"""Part of the memberships that may still move when classes have come to rest, and gain in the images' mean log-likelihood that is none; by maps that
they are not in it does not grow for ever."""
IDLE = 2
"""Iterations without either after which it ends."""


@dataclass(frozen=True)
class Task(refine.Task):
    """What stays the same through a classification; `refine.Task` with classes, its halves and folds being the parts references are made without.

    Attributes
    ----------
    classes
        How many.
    search
        Poses over all orientations, near the given ones, or left as they are.
    finest
        Å, up to which images are compared; None for what they hold.
    """

    folds: int = 2
    iterations: int = 35
    classes: int = 1
    search: Search = "global"
    finest: float | None = None

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Return half and fold of every part, in the order of `lane`."""
        return [(half, fold) for fold in range(self.folds) for half in (0, 1)]

    @cached_property
    def lane(self) -> NDArray[np.int64]:
        """Return the part of every image, ``(n,)``."""
        return self.half + 2 * self.fold

    @cached_property
    def finest_shell(self) -> int:
        """Return the last shell that is wanted and that memory allows."""
        shell = self.images.plane.last if self.finest is None else self.shell(self.finest)
        while shell > 8 and (self.classes + 1) * len(self.parts) * grid_bytes(shell) > LANES_KEPT:
            shell -= 1
        return shell

    def angstrom(self, shell: int) -> float:
        """Return the resolution of a shell in Å."""
        return self.box * self.pixel_size / shell


def begin(task: Task, maps: list[Map], rotations: Array, shifts: Array) -> State:
    """Return the state before the first iteration.

    Parameters
    ----------
    task
        What to do.
    maps
        One reference, or one a class, of the box and pixel size of the images.
    rotations, shifts
        Poses to start from, ``(n, 3, 3)`` and ``(n, 2)`` px; not looked at in a global search.

    Raises
    ------
    ValueError
        If a reference is empty inside the mask, or fits the images better with its sign changed.
    """
    count = len(task.images)
    band = min(task.shell(task.initial_lowpass) + 2, task.finest_shell)
    noise = task.images.total_power()
    starts = np.stack([refine.starting_map(task, one, band, noise) for one in maps])
    rounds = classify3d_rounds.start(task.classes, random=len(maps) < task.classes)
    classes = len(rounds["tested"])
    return {
        "iteration": 0,
        "rotations": rotations,
        "shifts": shifts,
        "members": np.full((count, classes), 1.0 / classes),
        "max_probability": np.zeros(count),
        "log_likelihood": np.zeros(count),
        "references": np.repeat(starts[:, None], len(task.parts), axis=1),
        "noise": noise,
        "scales": refine.first_scales(task),
        "fsc": np.zeros(task.images.plane.last + 1),
        "band": band,
        "widening": schedule.start(),
        "rounds": rounds,
        "changed": 1.0,
        "evidence": -np.inf,
        "idle": 0,
        "judged": None,
        "closing": False,
        "history": [],
        "finished": False,
    }


def iterate(task: Task, state: State, tell: Callable[[float, str], None] = lambda part, message: None) -> State:
    """Return the state after one more iteration. Once classes have come to rest the next one, over all orientations again, is the last: ``finished``.

    `tell` hears the part done of the iteration and what is being done.
    """
    if task.alike is not None:
        task = replace(task, images=task.images.scaled(state["scales"][task.alike]))
    images, band, rounds = task.images, state["band"], state["rounds"]
    expected = _expected(task, state, tell)
    posteriors, members = expected.posteriors, expected.members
    if rounds["age"] == 0:
        members = classify3d_rounds.divide(rounds, members, task.lane, task.seed, state["iteration"])
        whole = {piece: source for source, piece in rounds["splits"]}
        posteriors = [posteriors[whole.get(number, number)] for number in range(members.shape[1])]
    noise = refine.residual_noise(state["noise"], expected.residual, expected.counts, images.coverage)
    inserted = min(schedule.insertion_shell(band, images.plane.last), task.finest_shell)
    tell(0.8, f"reconstructing to {task.angstrom(inserted):.1f} Å")
    averaged = [_certain(one) for one in posteriors] if task.search == "fixed" else posteriors
    sums = ClassSums.of(task, averaged, members, inserted, noise)
    judged = state["judged"]
    agreed = agreement(task, sums) if judged is None else pooled(task, sums, classify3d_rounds.kinds(judged))
    found = _of_best(posteriors, members)
    step = _Step.between(state, members, expected.evidence)
    seen = _observed(task, state, agreed.mean, inserted, found)
    following = classify3d_rounds.advance(rounds, agreed.separation, members.mean(axis=0), task.iterations - state["iteration"] - 1)
    record = {
        **seen.record(task.box, task.pixel_size),
        "changed": step.changed,
        "evidence": step.evidence,
        "share": members.mean(axis=0).tolist(),
    }
    history = [*state["history"], record]
    if following["dropped"]:
        keeper, spare = following["dropped"]
        sums, averaged = sums.merged(keeper, spare), [one for number, one in enumerate(averaged) if number != spare]
        members[:, keeper] += members[:, spare]
        members, agreed = np.delete(members, spare, axis=1), agreement(task, sums)
        history = [{**one, "share": [*one["share"][:spare], *one["share"][spare + 1 :]]} for one in history]
    left = task.iterations - state["iteration"] - 1
    next_band = min(schedule.next_band(agreed.mean, inserted), task.finest_shell)
    if judged is None and classify3d_rounds.judgement_due(rounds, left, steady=abs(next_band - band) <= 1):
        judged = agreed.separation
        agreed = pooled(task, sums, classify3d_rounds.kinds(judged))
    idle = state["idle"] + 1 if state["judged"] is not None and step.idle else 0
    new: State = {
        "iteration": state["iteration"] + 1,
        "rotations": task.group.reduced(found.rotations[:, 0]),
        "shifts": found.shifts[:, 0],
        "members": members,
        "max_probability": found.weights[:, 0] * members.max(axis=1),
        "log_likelihood": found.log_likelihood,
        "noise": noise,
        "scales": refine.updated_scales(task, expected.grey, state),
        "fsc": agreed.mean,
        "band": next_band,
        "widening": schedule.advance(state["widening"], seen, task.iterations),
        "rounds": following,
        "separation": agreed.separation if judged is None else judged,
        "judged": judged,
        "changed": step.changed,
        "evidence": max(step.evidence, state["evidence"]),
        "idle": idle,
        "history": history,
        "closing": idle >= IDLE or left < 2,
        "finished": state["closing"],
    }
    if new["finished"]:
        own = classify3d_rounds.shared_out(members, classify3d_rounds.kinds(new["separation"]), task.seed)
        final, member = final_maps(task, averaged, own, noise), own.argmax(axis=1)
        prior = refine.pose_prior(task, schedule.shift_spread(state["shifts"], task.box))
        return {
            **new,
            "member": member,
            "maps": final.maps,
            "class_fsc": final.fsc,
            "completeness": final.completeness,
            "errors": expected_errors(task, sums, agreed, found, member, state["noise"], band, prior),
        }
    apart = classify3d_rounds.apart(rounds)
    spark = 0.0 if apart else SPARK * FADE ** rounds["age"]
    # Once it is judged which classes differ nothing is decided on the halves any more, and references may be as good as they get.
    return {**new, "references": references(task, sums, agreed, spark=spark, apart=apart and judged is None)}


@dataclass(frozen=True)
class _Step:
    """What an iteration did: part of the memberships that changed, mean log-likelihood, and whether neither says that more would come."""

    changed: float
    evidence: float
    idle: bool

    @classmethod
    def between(cls, state: State, members: Array, evidence: Array) -> "_Step":
        changed, mean = float(0.5 * np.abs(members - state["members"]).sum(axis=1).mean()), float(evidence.mean())
        return cls(changed, mean, mean <= state["evidence"] + GAIN and not QUIET < changed < 0.9 * state["changed"])


def _observed(task: Task, state: State, fsc: Array, inserted: int, found: Posterior) -> schedule.Observation:
    """Return what the schedule of poses wants to know."""
    turned = task.group.angle(found.rotations[:, 0], state["rotations"])
    moved = np.linalg.norm(found.shifts[:, 0] - state["shifts"], axis=1)
    local = task.search != "global" or state["widening"]["local"]
    waves = state["band"] * task.radius / task.box
    return schedule.Observation.of(fsc, inserted, turned, moved, found.weights[:, 0], state["band"], local=local, waves=waves)


def _expected(task: Task, state: State, tell: Callable[[float, str], None]) -> ClassExpectation:
    """Weigh classes and poses of all images, part by part; where there is one reference yet, all are in its class."""
    parts: list[ClassExpectation] = []
    message = f"comparing to {task.angstrom(state['band']):.1f} Å"
    tell(0.0, message)
    stage = Stage(partial(_pass_over, task.sent(), state), ClassPass.block, [blocks(len(task.rows(*part)), BLOCK) for part in task.parts])
    for one in map(ClassExpectation.joined, task.place.results(stage)):
        parts.append(one)
        tell(0.8 * len(parts) / len(task.parts), message)
    order = np.argsort(np.concatenate([task.rows(*part) for part in task.parts]), kind="stable")
    whole = ClassExpectation.joined(parts).taken(order)
    classes = state["members"].shape[1]
    if len(whole.posteriors) == classes:
        return whole
    return replace(whole, posteriors=whole.posteriors * classes, members=np.eye(1, classes).repeat(len(task.images), axis=0))


def _pass_over(task: Task, state: State, number: int) -> ClassPass:
    """Return the pass over a part."""
    half, fold = task.parts[number]
    band, first = state["band"], state["iteration"] == 0
    plane = task.images.plane.within(band)
    maps = state["references"][:, half + 2 * fold]
    grids = np.stack([reference_grid(one, plane.radius, task.box) for one in maps])
    coarse = schedule.coarse_shell(band, task.box, task.radius)
    share = classify3d_rounds.shares(state["rounds"], state["members"])[: len(maps)]
    wide = None
    if task.search == "global" and (state["closing"] or not state["widening"]["local"]):
        wide = _wide(task, state, maps, grids, coarse)
    known = task.search != "global" or not first
    spread = schedule.shift_spread(state["shifts"], task.box) if known else refine.first_spread(task)
    lattice = refine.coarse_lattice(task, coarse, spread if state["iteration"] > 1 else None)
    effort = Effort(band, lattice, refine.pose_prior(task, spread), correlate=first, group=task.group, relaxed=task.relaxed)
    return ClassPass(
        task.images, task.rows(half, fold), grids, wide, share, state["noise"], effort, state["rotations"], state["shifts"],
        known=known, fixed=task.search == "fixed", reliable=crossing_shell(state["fsc"], TELLING),
    )  # fmt: skip


def _wide(task: Task, state: State, maps: Map, grids: NDArray[np.float32], coarse: int) -> Wide:
    """Return what poses are sought in: the mean of all classes while they are still alike, then an image's own class or, as often, any."""
    choice = np.zeros(len(task.images), np.int64)
    if not classify3d_rounds.apart(state["rounds"]):
        share = state["members"].mean(axis=0)[: len(maps)]
        mean = np.tensordot(share / share.sum(), maps, axes=1).astype(np.float32)
        grids = reference_grid(mean, task.images.plane.within(state["band"]).radius, task.box)[None]
    elif len(grids) > 1:
        rng = np.random.default_rng([task.seed, 1 << 18, state["iteration"]])
        own = (rng.random(len(choice)) < 0.5) | state["closing"]
        choice = np.where(own, state["members"].argmax(axis=1), rng.integers(len(grids), size=len(choice)))
    turns, plane = refine.coarse_rotations(task, state["iteration"]), task.images.plane.within(coarse)
    return Wide(grids, [Gallery.of(grid, plane, turns) for grid in grids], choice)


def _of_best(posteriors: list[Posterior], members: Array) -> Posterior:
    """Return the posterior of every image in its best class."""
    best = members.argmax(axis=1)
    order = np.argsort(np.concatenate([np.flatnonzero(best == number) for number in range(len(posteriors))]), kind="stable")
    return Posterior.joined([one.taken(np.flatnonzero(best == number)) for number, one in enumerate(posteriors)]).taken(order)


def _certain(posterior: Posterior) -> Posterior:
    """Return the posterior as if its poses were known exactly."""
    return replace(posterior, covariances=np.broadcast_to(1e-12 * np.eye(5), posterior.covariances.shape))
