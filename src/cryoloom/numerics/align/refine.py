"""Gold-standard refinement: two half sets, each with its own reference, aligned and averaged in turn until nothing improves.

Follows Scheres 2012 (doi:10.1016/j.jmb.2011.11.010, doi:10.1016/j.jsb.2012.09.006) and Scheres & Chen 2012 (doi:10.1038/nmeth.2115) in the
model and in keeping the halves apart; poses are found by a coarse global search and Levenberg-Marquardt instead of ever finer grids.
The halves share the noise spectrum, the grey scales and the band limit, which are not signal, the shells below `JOIN`, so that their frames stay one, and
the mask of their references, which may follow the particle's surface. The shell correlation is that under a sphere, unless it is asked for under
the mask and corrected for it.

Noise alone, aligned to one map, makes two halves that agree as far as that map goes, and each round a little farther. Images are therefore compared
no farther than `JOIN` before they have shown that they hold the reference: they must fit it better than their negatives do, which noise does not.

In the last iteration an image whose pose is settled enters its half map at that pose alone. The points of a posterior smear detail, signal and
noise alike, the more the farther it lies from the centre: the better map, but one that hushes the solvent and lifts the halves' correlation
above what the same poses give in another program. The maps of both halves together have all points.

Memory beside the images': the sums of every fold as long as they fit `fold_sums.LANES_KEPT`; for large bands two sums (16 bytes a cell of the grid, 1.7 GB
each for a box of 300 to Nyquist) and one or two of a fold at a time, which are then summed twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align import schedule
from cryoloom.numerics.align.calibrate import grey_scale, grey_scale_at
from cryoloom.numerics.align.class_accuracy import class_accuracy, pose_errors, with_reference
from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.expectation import BLOCK, Effort, Expectation, Pass
from cryoloom.numerics.align.fold_sums import LANES_AT_ONCE, FoldSums
from cryoloom.numerics.align.negatives import better_than_negatives
from cryoloom.numerics.align.posterior import SETTLED, Posterior, insertion_points
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.align.reference_noise import Sample
from cryoloom.numerics.align.refine_task import Task
from cryoloom.numerics.align.scales import TELLING, group_scales
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.fsc.masked import masked_fsc
from cryoloom.numerics.fsc.shells import crossing_shell, fourier_shell_correlation
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.masks.soft import soft_mask, spherical_mask
from cryoloom.numerics.parallel import Stage, blocks
from cryoloom.numerics.reconstruct.grids import Map, reference_grid, working_box
from cryoloom.numerics.reconstruct.kernels import grid_bytes
from cryoloom.numerics.reconstruct.sums import divided, join_low_shells, joined_ssnr
from cryoloom.numerics.reconstruct.symmetry import symmetric_map

Array = NDArray[np.float64]
State = dict[str, Any]

SURFACE_FROM = 8
"""Details across the mask's diameter that the halves must agree on before a mask follows the particle's surface."""
SURFACE_LOWPASS, SURFACE_EXTEND, SURFACE_EDGE, SURFACE_BOX = 15.0, 8.0, 12.0, 160
"""Å of the low-pass (at least; 1.5 times the resolution otherwise), of the reach beyond the surface and of the soft edge; largest box."""
SMEAR = 3
"""Shells beyond the next band that references hold, for a mask mixes neighbours."""
SCALES_FROM = 4
"""Shells that the halves must agree on well before grey scales are read from them."""
WITNESSES = 128
"""Images that must show the reference."""
IN_VAIN = 6
"""Iterations after which images that have not shown the reference are given up."""
DIRECTIONS, ANGLES = 2, 24
"""HEALPix order and in-plane steps of the global search: 15 degrees."""


def begin(task: Task, references: list[Map], rotations: Array | None = None, shifts: Array | None = None) -> State:
    """Return the state before the first iteration.

    Parameters
    ----------
    task
        What to do.
    references
        One map, or one for each half, of the box and pixel size of the images.
    rotations, shifts
        Poses to start from when `task.given`, ``(n, 3, 3)`` and ``(n, 2)`` px.

    Raises
    ------
    ValueError
        If a reference is empty inside the mask, or fits the images better with its sign changed, or not at all at the given poses.
    """
    count, shells = len(task.images), task.images.plane.last + 1
    band = min(task.shell(task.initial_lowpass) + 2, shells - 1)
    noise = task.images.total_power()
    free = task.prior is not None and task.prior.about_axis
    given = None if rotations is None or shifts is None or free else (rotations, shifts)
    starts = [starting_map(task, one, band, noise, given) for one in references]
    state: State = {
        "iteration": 0,
        "rotations": np.tile(np.eye(3), (count, 1, 1)) if rotations is None else task.group.reduced(rotations),
        "shifts": np.zeros((count, 2)) if shifts is None else shifts,
        "max_probability": np.zeros(count),
        "log_likelihood": np.zeros(count),
        "references": np.repeat(np.broadcast_to(starts, (2, *starts[0].shape))[:, None], task.folds, axis=1),
        "noise": noise,
        "scales": first_scales(task),
        "fsc": np.zeros(shells),
        "band": band,
        "widening": schedule.start(near=task.near),
        "shown": task.given,
        "history": [],
        "finished": False,
    }
    if not task.given:
        state["shown"] = shown(task, state)
        state["band"] = _known_band(task, state["shown"], band)
    return state


def shown(task: Task, state: State) -> bool:
    """Return whether images fit the references better than their negatives do; see `negatives`."""
    some = np.unique(np.linspace(0, len(task.images) - 1, WITNESSES).astype(np.int64))
    every = [(half, fold, np.intersect1d(task.rows(half, fold), some)) for half in (0, 1) for fold in range(task.folds)]
    parts = [part for part in every if len(part[2])]
    gains = []
    for sign in (1.0, -1.0):
        signed = replace(task, images=task.images.scaled(sign * task.images.scale))
        gains.append(np.concatenate([one.posterior.log_likelihood for one in _expected(signed, state, parts)]))
    return better_than_negatives(*gains)


def _known_band(task: Task, shown: bool, band: int) -> int:
    """Return how far images are compared: no farther than the halves are joined while they have not shown the reference."""
    return band if shown else min(band, task.shell(task.join))


def starting_map(task: Task, volume: Map, band: int, noise: Array, given: tuple[Array, Array] | None = None) -> Map:
    """Return a reference low-passed, masked, symmetric and in the grey values of the images, at the working box of `band`.

    `given` are the images' rotations ``(n, 3, 3)`` and shifts ``(n, 2)`` in px where they are known.

    Raises
    ------
    ValueError
        See `begin`.
    """
    box = working_box(band, task.box)
    filtered = lowpass(volume, task.pixel_size, task.initial_lowpass)
    start = symmetric_map(resample_volume(torch.from_numpy(filtered), box).numpy() * task.solvent(box), task.group)
    if not np.abs(start).max() > 0:
        raise ValueError("the reference is zero inside the mask")
    whole = task.images.plane.within(band)
    grid = reference_grid(start, whole.radius, task.box)
    if given is not None:
        return start * np.float32(grey_scale_at(task.images, whole, grid, noise, *given))
    plane = task.images.plane.within(schedule.coarse_shell(band, task.box, task.radius))
    gallery = Gallery.of(grid, plane, coarse_rotations(task, 0))
    return start * np.float32(grey_scale(task.images, gallery, grid, noise, coarse_lattice(task, plane.last, None)))


def iterate(task: Task, state: State, tell: Callable[[float, str], None] = lambda part, message: None) -> State:
    """Return the state after one more iteration; the one that finds nothing left to improve is followed by a last one to Nyquist.

    `tell` hears the part done of the iteration and what is being done. After the last iteration the state is ``finished`` and also holds
    ``half_maps`` (unfiltered), and of both halves together ``unfiltered`` and ``combined`` (Wiener-filtered with the curve of the halves), full box.
    """
    if task.alike is not None:
        task = replace(task, images=task.images.scaled(state["scales"][task.alike]))
    if not state["shown"]:
        state = {**state, "shown": shown(task, state)}
    images, last = task.images, schedule.converged(state["widening"])
    band, widening = state["band"], state["widening"]
    parts = [(half, fold) for half in (0, 1) for fold in range(task.folds)]
    expected: list[Expectation] = []
    tell(0.0, f"aligning half 1 to {_angstrom(task, band)}")
    for one in _expected(task, state, [(*part, task.rows(*part)) for part in parts]):
        expected.append(one)
        tell(0.8 * len(expected) / len(parts), f"aligning half {1 + (len(expected) >= task.folds)} to {_angstrom(task, band)}")
    posterior = _merged(task, parts, expected)
    known = task.given or state["iteration"] > 0
    rotations = task.group.reduced(posterior.rotations[:, 0])
    turned = task.group.angle(rotations, state["rotations"]) if known else np.full(len(images), 180.0)
    moved = np.linalg.norm(posterior.shifts[:, 0] - state["shifts"], axis=1)
    residual, counts = (sum(getattr(one, name) for one in expected) for name in ("residual", "counts"))
    noise = residual_noise(state["noise"], residual, counts, images.coverage)
    inserted = images.plane.last if last else schedule.insertion_shell(band, images.plane.last)
    tell(0.8, f"reconstructing to {_angstrom(task, inserted)}")
    points = insertion_points(posterior, task.box, inserted, task.radius)
    resolved = crossing_shell(state["fsc"], schedule.THRESHOLD)
    compared = insertion_points(posterior, task.box, resolved, task.radius, SETTLED) if last else points
    folds = FoldSums(task, compared, inserted, noise, 1 if last else task.folds)
    box = task.box if last else working_box(inserted, task.box)
    halves = [divided(one, inserted, box, task.box, group=task.group) for one in folds.total()]
    fsc = np.zeros(images.plane.last + 1)
    curve = _correlation(task, halves[0], halves[1], corrected=last and not state["shown"])[: inserted + 1]
    fsc[: len(curve)] = curve
    errors = _expected_errors(task, state, posterior, halves) if last else pose_errors(posterior, task.group)
    new: State = {
        "iteration": state["iteration"] + 1,
        "rotations": rotations,
        "shifts": posterior.shifts[:, 0],
        "max_probability": posterior.weights[:, 0],
        "log_likelihood": posterior.log_likelihood,
        "errors": errors,
        "shown": state["shown"],
        "noise": noise,
        "scales": updated_scales(task, np.concatenate([one.grey for one in expected])[_order(task, parts)], state),
        "fsc": fsc,
        "finished": last,
    }
    waves = band * task.radius / task.box
    observed = schedule.Observation.of(fsc, inserted, turned, moved, posterior.weights[:, 0], band, local=widening["local"], waves=waves)
    turn, shift = (float(one[0]) for one in class_accuracy(errors, np.zeros(len(images), np.int64), 1))
    accuracy = {"accuracy_rotations": turn, "accuracy_translations": shift * task.pixel_size}
    new["history"] = [*state["history"], observed.record(task.box, task.pixel_size) | accuracy]
    new["widening"] = schedule.advance(widening, observed, task.iterations if state["shown"] else min(task.iterations, IN_VAIN))
    new["band"] = _known_band(task, state["shown"], schedule.next_band(fsc, inserted))
    if last:
        new["references"] = state["references"]
        # As far as the faces of the box: solvent that is cut off raises the correlation of the whole halves.
        new["half_maps"] = np.stack(halves) * spherical_mask(box, box / 2, 3)
        del folds
        return new | _joint_maps(task, FoldSums(task, points, inserted, noise, 1), inserted, fsc)
    joined = min(task.shell(task.join), max(observed.crossing, 1))
    reach = min(inserted, new["band"] + SMEAR)
    new["references"] = _references(task, folds, joined, reach, fsc[: inserted + 1], follow=task.follow_surface and state["shown"])
    return new


def _correlation(task: Task, first: Map, second: Map, *, corrected: bool) -> Array:
    """Return the shell correlation of the halves under the sphere, or the mask; what the sphere itself lends it taken off if `corrected`."""
    box = first.shape[0]
    sphere = task.sphere(box)
    if corrected or task.solvent_fsc:
        return masked_fsc(first, second, task.solvent(box) if task.solvent_fsc else sphere, seed=task.seed).corrected
    return fourier_shell_correlation(first * sphere, second * sphere)


def _joint_maps(task: Task, folds: FoldSums, inserted: int, fsc: Array) -> State:
    """Return the maps of both halves together, full box."""
    sums, box = folds.both(), task.box
    rim = spherical_mask(box, box / 2 - 3, 3)
    return {
        "unfiltered": divided(sums, inserted, box, box, group=task.group) * rim,
        "combined": divided(sums, inserted, box, box, ssnr=task.regularisation * joined_ssnr(fsc, combined=True), group=task.group) * rim,
    }


def _references(task: Task, folds: FoldSums, joined: int, reach: int, fsc: Array, *, follow: bool) -> Map:
    """Return the reference of every half and fold, ``(2, folds, b, b, b)``, to shell `reach`: the sums of its half less those of the fold itself."""
    box = working_box(reach, task.box)
    solvent, ssnr = task.solvent(box), task.regularisation * joined_ssnr(fsc)
    references = np.empty((2, folds.count, box, box, box), np.float32)
    for fold, pair in enumerate(folds.others(reach)):
        join_low_shells(pair[0], pair[1], joined)
        for half in (0, 1):
            references[half, fold] = divided(pair[half], reach, box, task.box, ssnr=ssnr, group=task.group) * solvent
    resolution = task.box * task.pixel_size / max(crossing_shell(fsc, schedule.THRESHOLD), 1)
    if task.mask is None and follow and SURFACE_FROM * resolution < task.mask_diameter:
        references *= surface(task, references.mean(axis=(0, 1)), resolution)
    return references


def surface(task: Task, mean: Map, resolution: float) -> Map:
    """Return a soft mask around the particle of a map known to `resolution` Å."""
    box = min(mean.shape[0], SURFACE_BOX)
    voxel = task.box * task.pixel_size / box
    small = resample_volume(torch.from_numpy(mean), box).numpy()
    mask, _ = soft_mask(
        small, voxel, resolution=max(SURFACE_LOWPASS, 1.5 * resolution), extend=SURFACE_EXTEND / voxel, edge=SURFACE_EDGE / voxel,
        radius=task.mask_diameter / 2 / voxel,
    )  # fmt: skip
    return np.clip(resample_volume(torch.from_numpy(mask), mean.shape[0]).numpy(), 0.0, 1.0)


def _expected(task: Task, state: State, parts: list[tuple[int, int, NDArray[np.int64]]]) -> Iterator[Expectation]:
    """Yield what is found of the images of each part (half, fold, rows), in order; parts overlap as long as two references fit."""
    at_once = LANES_AT_ONCE // grid_bytes(task.images.plane.within(state["band"]).radius)
    cut = [blocks(len(rows), BLOCK) for _, _, rows in parts]
    stage = Stage(partial(_pass_over, task.sent(), state, parts), Pass.block, cut)
    return map(Expectation.joined, task.place.results(stage, min(2, at_once)))


def _pass_over(task: Task, state: State, parts: list[tuple[int, int, NDArray[np.int64]]], number: int) -> Pass:
    """Return the pass over a part."""
    half, fold, rows = parts[number]
    widening, band = state["widening"], state["band"]
    plane = task.images.plane.within(band)
    grid = reference_grid(state["references"][half, fold], plane.radius, task.box)
    coarse = schedule.coarse_shell(band, task.box, task.radius)
    first, spread = state["iteration"] == 0 and not task.given, _shift_spread(task, state)
    gallery = None
    if not widening["local"]:
        gallery = Gallery.of(grid, task.images.plane.within(coarse), coarse_rotations(task, state["iteration"]))
    lattice = coarse_lattice(task, coarse, None if state["iteration"] < 2 else spread)
    effort = Effort(band, lattice, pose_prior(task, spread), correlate=first, group=task.group, relaxed=task.relaxed)
    return Pass(
        task.images, rows, grid, gallery, state["noise"], effort, state["rotations"], state["shifts"],
        known=not first, reliable=crossing_shell(state["fsc"], TELLING),
    )  # fmt: skip


def _shift_spread(task: Task, state: State) -> float:
    """Return the prior's standard deviation for shifts in px; wide while nothing is known."""
    known = task.given or state["iteration"] > 0
    return schedule.shift_spread(state["shifts"], task.box) if known else first_spread(task)


def first_spread(task: Task) -> float:
    """Return the prior's standard deviation for shifts in px before any is known."""
    return 0.06 * task.box if task.reach is None else task.reach / 2


def pose_prior(task: Task, spread: float) -> PosePrior:
    """Return the prior of all poses, that of shifts having a standard deviation of `spread` px unless one is given."""
    return (task.prior or PosePrior()).with_shift(1.0 / spread**2)


def _expected_errors(task: Task, state: State, posterior: Posterior, halves: list[Map]) -> Array:
    """Return the standard error of an axis of rotation (radians) and of shift (px) of every pose, ``(n, 2)``, given unfiltered maps of the `halves`.

    Images of one fold tell what the references' noise does, for neither half's reference for that fold has them in it.
    """
    plane, rows, prior = (
        task.images.plane.within(state["band"]),
        np.flatnonzero(task.fold == 0),
        pose_prior(task, _shift_spread(task, state)),
    )
    sample, solvent = Sample.of(task.images, rows, plane, state["noise"], prior, posterior), task.solvent(halves[0].shape[0])
    inflation = sample.inflation((halves[0] * solvent, halves[1] * solvent), task.box)
    differences = sample.differences(reference_grid(one, plane.radius, task.box) for one in state["references"][:, 0])
    # Either reference has its part in the difference.
    return with_reference(pose_errors(posterior, task.group), inflation, 0.5 * differences)


def coarse_rotations(task: Task, iteration: int) -> Array:
    """Return the coarse grid over the asymmetric unit and its rim, turned anew at random every iteration so that poses cannot lock to it."""
    turn = random_rotations(1, np.random.default_rng([task.seed, iteration]))[0]
    grid = rotation_grid(DIRECTIONS, ANGLES) @ turn
    return grid[task.group.in_unit(grid[:, 0, 2], margin=180.0 / ANGLES)]


def coarse_lattice(task: Task, coarse: int, spread: float | None) -> Array:
    """Return shifts whose steps the coarse band can bridge, as far out as asked for or three steps at first, then as far as shifts have been found."""
    step = 0.375 * task.box / coarse
    most = 3.0 if task.reach is None else max(1.0, task.reach / step)
    reach = most if spread is None else float(np.clip(np.ceil(2.5 * spread / step), 1.0, most))
    return disc_lattice(reach * step, step)


def _merged(task: Task, parts: list[tuple[int, int]], expected: list[Expectation]) -> Posterior:
    """Bring the posteriors of all parts into the order of the set."""
    return Posterior.joined([one.posterior for one in expected]).taken(_order(task, parts))


def first_scales(task: Task) -> Array:
    """Return the grey scales before anything is known: one."""
    return np.ones(1 if task.alike is None else task.alike.max() + 1)


def updated_scales(task: Task, grey: Array, state: State) -> Array:
    """Return the grey scale of every group of images from what all images tell, ``(n, 2)``; what it was where the halves do not yet tell any."""
    if task.alike is None or crossing_shell(state["fsc"], TELLING) < SCALES_FROM:
        return state["scales"]
    return group_scales(grey, task.alike)


def _order(task: Task, parts: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return where each image of the set stands among those of all parts one after the other."""
    return np.argsort(np.concatenate([task.rows(*part) for part in parts]), kind="stable")


def residual_noise(old: Array, residual: Array, counts: Array, coverage: float) -> Array:
    """Take the noise from what the models left of the masked images; beyond the band, and where images hold nothing, it stays what it was."""
    new = old.copy()
    shells = residual.shape[1]
    measured = (counts > 0) & np.isfinite(old[:, :shells])
    new[:, :shells][measured] = residual[measured] / counts[measured] / coverage
    return new


def _angstrom(task: Task, shell: int) -> str:
    return f"{task.box * task.pixel_size / shell:.1f} Å"
