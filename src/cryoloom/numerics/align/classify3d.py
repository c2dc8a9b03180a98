"""Several structures in one set: classes, poses and maps by expectation-maximisation, each image judged by maps it is not in.

The model is that of Scheres et al. 2007 (doi:10.1038/nmeth992) and Scheres 2012 (doi:10.1016/j.jmb.2011.11.010): an image shows one of K maps at an unknown pose.
Three things differ. An image is compared with references made without its own part of the images, so that its noise cannot hold it in a class. Class maps are
drawn towards the mean of all classes instead of towards zero (see `classify3d_maps`). And poses are found as in `refine`, continuously.

Classes start equal but for a random assignment. What tells them apart is then amplified from iteration to iteration: where images differ by more than noise
the difference grows (it is the largest principal component of the images given their poses), elsewhere it dies out once halves of the images disagree on it.

Memory beside the images': the sums of every class and part (16 bytes a cell), which `Task.finest_shell` keeps within `LANES_KEPT`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align import refine, schedule
from cryoloom.numerics.align.calibrate import grey_scale
from cryoloom.numerics.align.classify3d_estep import ClassExpectation, Wide, expect
from cryoloom.numerics.align.classify3d_maps import ClassSums, agreement, final_maps, references
from cryoloom.numerics.align.classify3d_rounds import Rounds, advance, apart, divide, start
from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.expectation import Effort
from cryoloom.numerics.align.posterior import Posterior
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.euler import geodesic_angle
from cryoloom.numerics.reconstruct.grids import Map, reference_grid, working_box
from cryoloom.numerics.reconstruct.kernels import grid_bytes

Array = NDArray[np.float64]
State = dict[str, Any]
Search = Literal["global", "local", "fixed"]

LANES_KEPT = 4 << 30
"""Bytes that the sums of all classes and parts may take."""
SPARK, FADE = 0.3, 0.75
"""Least signal assumed in the differences of classes at first, as a part of the mean map's, and what is left of it after each iteration."""
QUIET, GAIN = 0.01, 0.02
"""Part of the memberships that may still move when classes have come to rest, and gain in mean log-likelihood (of images by maps that they are not in)
that is none."""


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
        while shell > 8 and self.classes * len(self.parts) * grid_bytes(shell) > LANES_KEPT:
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
    count, shells = len(task.images), task.images.plane.last + 1
    band = min(task.shell(task.initial_lowpass) + 2, task.finest_shell)
    box = working_box(band, task.box)
    noise = task.images.total_power()
    starts = np.stack([_start(task, one, band, box, noise) for one in maps])
    rounds = start(task.classes, random=len(maps) < task.classes)
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
        "fsc": np.zeros(shells),
        "band": band,
        "widening": schedule.start(),
        "rounds": rounds,
        "changed": 1.0,
        "evidence": -np.inf,
        "idle": 0,
        "history": [],
        "finished": False,
    }


def _start(task: Task, volume: Map, band: int, box: int, noise: Array) -> Map:
    """Return a reference low-passed, masked and in the grey values of the images."""
    filtered = lowpass(volume, task.pixel_size, task.initial_lowpass)
    start = resample_volume(torch.from_numpy(filtered), box).numpy() * task.solvent(box)
    if not np.abs(start).max() > 0:
        raise ValueError("the reference is zero inside the mask")
    plane = task.images.plane.within(schedule.coarse_shell(band, task.box, task.radius))
    grid = reference_grid(start, task.images.plane.within(band).radius, task.box)
    gallery = Gallery.of(grid, plane, refine.coarse_rotations(task, 0))
    return start * np.float32(grey_scale(task.images, gallery, grid, noise, refine.coarse_lattice(task, plane.last, None)))


def iterate(task: Task, state: State, tell: Callable[[float, str], None] = lambda part, message: None) -> State:
    """Return the state after one more iteration; once classes and poses have come to rest it is ``finished``.

    `tell` hears the part done of the iteration and what is being done.
    """
    images, band = task.images, state["band"]
    expected: list[ClassExpectation] = []
    for number, part in enumerate(task.parts):
        tell(0.8 * number / len(task.parts), f"comparing to {task.angstrom(band):.1f} Å")
        expected.append(_expect_part(task, state, *part))
    back = np.argsort(np.concatenate([task.rows(*part) for part in task.parts]), kind="stable")
    members = np.concatenate([one.members for one in expected])[back]
    posteriors = [
        Posterior.joined([one.posteriors[number] for one in expected]).taken(back) for number in range(len(expected[0].posteriors))
    ]
    rounds, classes = state["rounds"], state["members"].shape[1]
    if len(posteriors) < classes:
        posteriors, members = posteriors * classes, np.eye(1, classes).repeat(len(images), axis=0)
    if rounds["age"] == 0:
        members = divide(rounds, members, task.lane, task.seed, state["iteration"])
        posteriors = _inherited(rounds, posteriors)
    noise = refine.residual_noise(state["noise"], expected, images.coverage)
    best = members.argmax(axis=1)
    chosen = _of_best(posteriors, best)
    inserted = min(schedule.insertion_shell(band, images.plane.last), task.finest_shell)
    tell(0.8, f"reconstructing to {task.angstrom(inserted):.1f} Å")
    averaged = [_sharp(one) for one in posteriors] if task.search == "fixed" else posteriors
    sums = ClassSums.of(task, averaged, members, inserted, noise)
    agreed = agreement(task, sums)
    changed = float(0.5 * np.abs(members - state["members"]).sum(axis=1).mean())
    turned = geodesic_angle(chosen.rotations[:, 0], state["rotations"])
    moved = np.linalg.norm(chosen.shifts[:, 0] - state["shifts"], axis=1)
    certainty = chosen.weights[:, 0] * members.max(axis=1)
    local = task.search != "global" or state["widening"]["local"]
    waves = band * task.radius / task.box
    observed = schedule.Observation.of(agreed.mean, inserted, turned, moved, chosen.weights[:, 0], band, local=local, waves=waves)
    widening = schedule.advance(state["widening"], observed, task.iterations)
    evidence = float(np.mean(np.concatenate([one.evidence for one in expected])))
    idle = 0 if not rounds["settling"] or evidence > state["evidence"] + GAIN or QUIET < changed < 0.9 * state["changed"] else state["idle"] + 1
    done = state["iteration"] + 1
    share = members.mean(axis=0)
    following = advance(rounds, agreed.separation, share, task.iterations - done)
    history = [
        *state["history"],
        {**observed.record(task.box, task.pixel_size), "changed": changed, "evidence": evidence, "share": share.tolist()},
    ]
    if following["dropped"]:
        keeper, spare = following["dropped"]
        sums = sums.merged(keeper, spare)
        members[:, keeper] += members[:, spare]
        members, agreed = np.delete(members, spare, axis=1), agreement(task, sums)
        history = [{**step, "share": [*step["share"][:spare], *step["share"][spare + 1 :]]} for step in history]
    new: State = {
        "iteration": done,
        "rotations": chosen.rotations[:, 0],
        "shifts": chosen.shifts[:, 0],
        "members": members,
        "max_probability": certainty,
        "log_likelihood": chosen.log_likelihood,
        "noise": noise,
        "fsc": agreed.mean,
        "difference_fsc": agreed.difference,
        "band": min(schedule.next_band(agreed.mean, inserted), task.finest_shell),
        "widening": widening,
        "rounds": following,
        "separation": agreed.separation,
        "changed": changed,
        "evidence": max(evidence, state["evidence"]),
        "idle": idle,
        "history": history,
        "finished": done >= task.iterations or idle >= 2,
    }
    if new["finished"]:
        final = final_maps(task, averaged, members, noise)
        errors = pose_errors(chosen)
        return {**new, "maps": final.maps, "class_fsc": final.fsc, "completeness": final.completeness, "errors": errors}
    spark = 0.0 if apart(rounds) else SPARK * FADE ** rounds["age"]
    return {**new, "references": references(task, sums, agreed, spark=spark, apart=apart(rounds))}


def _expect_part(task: Task, state: State, half: int, fold: int) -> ClassExpectation:
    band, first = state["band"], state["iteration"] == 0
    plane = task.images.plane.within(band)
    maps = state["references"][:, half + 2 * fold]
    grids = np.stack([reference_grid(one, plane.radius, task.box) for one in maps])
    coarse = schedule.coarse_shell(band, task.box, task.radius)
    shares = state["members"].mean(axis=0)[: len(maps)]
    wide = None
    if task.search == "global" and not state["widening"]["local"]:
        wide = _wide(task, state, maps, grids, shares, coarse)
    known = task.search != "global" or not first
    spread = schedule.shift_spread(state["shifts"], task.box) if known else 0.06 * task.box
    lattice = refine.coarse_lattice(task, coarse, spread if state["iteration"] > 1 else None)
    effort = Effort(band, lattice, prior=1.0 / spread**2, correlate=first)
    # As long as classes are being told apart none may win by being large.
    share = shares if state["rounds"]["settling"] else np.full(len(grids), 1.0 / len(grids))
    return expect(
        task.images, task.rows(half, fold), grids, wide, share, state["noise"], effort, state["rotations"], state["shifts"],
        known=known, fixed=task.search == "fixed", threads=task.threads,
    )  # fmt: skip


def _wide(task: Task, state: State, maps: Map, grids: NDArray[np.float32], shares: Array, coarse: int) -> Wide:
    """Return what poses are sought in: the mean of all classes while they are still alike, then an image's own class or, as often, any."""
    choice = np.zeros(len(task.images), np.int64)
    if not apart(state["rounds"]):
        mean = np.tensordot(shares / shares.sum(), maps, axes=1).astype(np.float32)
        grids = reference_grid(mean, task.images.plane.within(state["band"]).radius, task.box)[None]
    elif len(grids) > 1:
        rng = np.random.default_rng([task.seed, 1 << 18, state["iteration"]])
        own = rng.random(len(choice)) < 0.5
        choice = np.where(own, state["members"].argmax(axis=1), rng.integers(len(grids), size=len(choice)))
    turns, plane = refine.coarse_rotations(task, state["iteration"]), task.images.plane.within(coarse)
    return Wide(grids, [Gallery.of(grid, plane, turns) for grid in grids], choice)


def _inherited(rounds: Rounds, posteriors: list[Posterior]) -> list[Posterior]:
    """Return the poses of every class, those of the pieces of a class being its own."""
    source = {piece: whole for whole, piece in rounds["splits"]}
    return [posteriors[source.get(number, number)] for number in range(len(posteriors))]


def _of_best(posteriors: list[Posterior], best: NDArray[np.int64]) -> Posterior:
    """Return the posterior of every image in its best class."""
    order = np.argsort(np.concatenate([np.flatnonzero(best == number) for number in range(len(posteriors))]), kind="stable")
    return Posterior.joined([one.taken(np.flatnonzero(best == number)) for number, one in enumerate(posteriors)]).taken(order)


def _sharp(posterior: Posterior) -> Posterior:
    """Return the posterior as if its poses were certain."""
    return replace(posterior, covariances=np.broadcast_to(1e-12 * np.eye(5), posterior.covariances.shape))


def pose_errors(posterior: Posterior) -> Array:
    """Return the standard error of an axis of rotation (radians) and of shift (px) of every image's best pose, ``(n, 2)``."""
    spread = np.diagonal(posterior.covariances[:, 0], axis1=1, axis2=2)
    given = 1/np.diagonal(np.linalg.inv(posterior.covariances[:, 0]), axis1=1, axis2=2)
    return np.sqrt(np.stack([spread[:, :3].mean(axis=1), spread[:, 3:].mean(axis=1), given[:,:3].mean(axis=1), given[:,3:].mean(axis=1)], axis=1))
