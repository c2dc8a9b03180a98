"""Local high-resolution refinement: poses, grey scales and transfer functions improved image by image, and the map averaged with weights.

After HighRes (Sorzano et al. 2018, doi:10.1016/j.jsb.2018.08.002) in its schedule, its weights and what is done to the next reference; in place of Powell's
search in real space, Levenberg and Marquardt's with analytic derivatives on the Fourier residual. The halves never see each other, and an image is
compared with the average of its half without a tenth that it is in: its own noise would hold it where it is.

All that an iteration depends on is in the particles' own columns (`COLUMNS`), in the units in which they are written: references are averaged anew
from them, noise and filters are measured anew, and nothing is drawn at random. An iteration of another run that starts from these columns therefore
gives the same bits.

Memory beside the images': that of `fold_sums`, and two references of the working box at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align import refine, schedule
from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.continuous import DEFOCUS, GREY, MAGNIFICATION
from cryoloom.numerics.align.expectation import BLOCK, residual_power
from cryoloom.numerics.align.fold_sums import FoldSums
from cryoloom.numerics.align.images import Defocus, ImageSet, Transfers
from cryoloom.numerics.align.local_estep import Found, Freedom, LocalPass, Near
from cryoloom.numerics.align.local_maps import Finish, References, given_references, weighted_references
from cryoloom.numerics.align.local_optics import new_defocus, shared_changes
from cryoloom.numerics.align.local_schedule import Sampling, angular_step, next_sampling
from cryoloom.numerics.align.negatives import better_than_negatives
from cryoloom.numerics.align.particle_weights import Weighing, defocus_groups, particle_weights
from cryoloom.numerics.align.posterior import SETTLED, Points, Posterior, insertion_points
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.fsc.masked import masked_fsc
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.parallel import Stage, blocks
from cryoloom.numerics.reconstruct.grids import Map, reference_grid
from cryoloom.numerics.reconstruct.sums import divided, joined_ssnr

Array = NDArray[np.float64]
State = dict[str, Any]

FOLDS = 10
THRESHOLD = schedule.THRESHOLD
STILL = 1e12
"""Precision of a prior that keeps a pose where it is."""
LEAST_NOISE = 20
"""Images of an optics group that must tell its noise; otherwise the group's whole power stands for it."""
REACH = 3.0
"""Angular steps that a pose may turn in an iteration."""
COLUMNS = (
    "rot", "tilt", "psi", "origin_x", "origin_y", "pose_covariance", "weight", "grey_scale", "magnification", "defocus_u", "defocus_v", "defocus_angle",
)  # fmt: skip
"""Columns of particles that a state holds by name: degrees, Å, the lower triangle of the pose's covariance (radians and Å) ``(n, 15)``, and parts of one."""
TOLD = ("cost", "change_angle", "change_shift", "max_probability", "log_likelihood")
"""Columns that a state holds beside these once an iteration is done: correlation with the reference, ° and Å since the last one, see `Found`."""
_ROWS, _COLUMNS = np.tril_indices(5)


@dataclass(frozen=True)
class Plan:
    """What an iteration is to do.

    Attributes
    ----------
    target
        Å asked for.
    wide
        Seek poses over all orientations instead of near the last ones.
    turn
        Whether orientations may change.
    move
        Largest change of shifts, px; 0 for none.
    grey, magnification, defocus
        See `Freedom`.
    """

    target: float
    wide: bool = False
    turn: bool = True
    move: float = np.inf
    grey: float = 0.0
    magnification: float = 0.0
    defocus: float = 0.0


@dataclass(frozen=True)
class LocalTask:
    """What stays the same through a refinement.

    Attributes
    ----------
    base
        Images, halves, mask and symmetry; its images have the transfer functions and scales that the particles came with.
    phase_shift
        Of every image, degrees, ``(n,)``.
    micrograph
        Which images share a micrograph, ``(n,)`` from 0; None where that is not known.
    weighing, finish
        How much images count, and what is done to references.
    adapt
        Work with pixels that suit the target.
    """

    base: refine.Task
    phase_shift: Array
    micrograph: NDArray[np.int64] | None = None
    weighing: Weighing = Weighing()
    finish: Finish = Finish()
    adapt: bool = True

    @cached_property
    def total_power(self) -> Array:
        """Return what stands for the noise before it is known."""
        return self.base.images.total_power()


def start(columns: dict[str, Array], *, maps: list[Map] | None = None, resolution: float | None = None) -> State:
    """Return the state before the first iteration.

    Parameters
    ----------
    columns
        See `COLUMNS`.
    maps
        A reference for both halves, or one each, in the box and pixel size of the images; None makes them of the images at their poses.
    resolution
        Å that the poses, or the maps, are known to; None where that is not known.
    """
    return {
        **{name: np.asarray(columns[name], np.float64) for name in COLUMNS},
        "maps": np.stack([maps[0], maps[-1]]) if maps else np.zeros((0, 1, 1, 1), np.float32),
        "resolution": resolution,
        "history": [],
    }


def iterate(task: LocalTask, state: State, plan: Plan, tell: Callable[[float, str], None] = lambda part, message: None) -> State:
    """Return the state after one more iteration: with new columns, ``half_maps`` (unfiltered), ``unfiltered``, ``combined``, ``reference`` and curves."""
    columns = {name: state[name] for name in COLUMNS}
    base, rotations, shifts = _posed(task, columns)
    sampling = next_sampling(plan.target, state["resolution"], base.box, base.pixel_size, wide=plan.wide, adapt=task.adapt)
    last = min(sampling.last, base.images.plane.last)
    tell(0.0, f"averaging references to {sampling.target:.1f} Å")
    if len(state["maps"]):
        given = None if plan.wide else (rotations, shifts)
        band = min(base.shell(base.initial_lowpass) + 2, base.shell(sampling.target))
        maps = [_given_map(base, one, sampling, band, task.total_power, given) for one in state["maps"]]
        references = given_references(base, task.finish, maps, sampling, last)
    else:
        sums = FoldSums(base, _points(task, columns, rotations, shifts, last), last, task.total_power, base.folds)
        references = weighted_references(base, task.finish, sums, sampling, last)
        band = int(min(schedule.next_band(references.fsc, last), base.shell(sampling.target)))
    step = angular_step(base.box, base.pixel_size, state["resolution"] or sampling.target, wide=plan.wide)
    found, shown = _found(base, references, plan, band, step, rotations, shifts, tell)
    new = _changed(task, base, columns, plan, found, rotations, shifts)
    tell(0.85, f"averaging to {base.box * base.pixel_size / last:.1f} Å")
    return _averaged(task, state, plan, sampling, last, band, new, found, shown=shown, references=references)


def _posed(task: LocalTask, columns: dict[str, Array]) -> tuple[refine.Task, Array, Array]:
    """Return the task with the images as the columns say they are, and their poses ``(n, 3, 3)`` and ``(n, 2)`` px."""
    base = task.base
    rotations = euler_to_matrix(columns["rot"], columns["tilt"], columns["psi"])
    shifts = np.stack([columns["origin_x"], columns["origin_y"]], axis=1) / base.pixel_size
    return replace(base, images=_with_optics(task, base.images.scaled(columns["grey_scale"]), columns)), rotations, shifts


def _with_optics(task: LocalTask, images: ImageSet, columns: dict[str, Array]) -> ImageSet:
    """Return the images with the transfer functions of the columns."""
    old = images.transfers
    if old.distinct is None:
        return images
    defocus = Defocus(columns["defocus_u"], columns["defocus_v"], columns["defocus_angle"], task.phase_shift)
    return replace(images, transfers=Transfers.of(old.plane, old.pixel_size, old.optics, images.group, defocus))


def _points(task: LocalTask, columns: dict[str, Array], rotations: Array, shifts: Array, last: int, blur: float | None = None) -> Points:
    """Return where the images are inserted: at their poses, magnified, with their weights, and spread as their poses are."""
    covariances = np.zeros((len(rotations), 5, 5))
    covariances[:, _ROWS, _COLUMNS] = covariances[:, _COLUMNS, _ROWS] = columns["pose_covariance"]
    covariances /= np.outer([1, 1, 1, *[task.base.pixel_size] * 2], [1, 1, 1, *[task.base.pixel_size] * 2])
    covariances += 1e-12 * np.eye(5)
    one = np.ones(len(rotations))
    posterior = Posterior(
        (rotations * columns["magnification"][:, None, None])[:, None], shifts[:, None], columns["weight"][:, None], covariances[:, None], one, one
    )  # fmt: skip
    return insertion_points(posterior, task.base.box, last, task.base.radius, *(() if blur is None else (blur,)))


def _given_map(base: refine.Task, volume: Map, sampling: Sampling, band: int, noise: Array, given: tuple[Array, Array] | None) -> Map:
    """Return a map low-passed and in the grey values of the images, in the working box."""
    scaled = refine.starting_map(base, volume, band, noise, given)
    return resample_volume(torch.from_numpy(scaled), sampling.box).numpy()


def _found(
    base: refine.Task, references: References, plan: Plan, band: int, step: float, rotations: Array, shifts: Array,
    tell: Callable[[float, str], None],
) -> tuple[Found, bool]:  # fmt: skip
    """Return what is found of all images, in their order, and whether they fit the references better than their negatives do."""
    noise = None
    found: list[Found] = []
    for fold, pair in enumerate(references.pairs()):
        grids = [reference_grid(one, base.images.plane.within(band).radius, base.box) for one in pair]
        if noise is None:
            noise = _noise(base, grids, band, rotations, shifts)
            shown = _shown(base, grids, noise, plan, band, step, rotations, shifts)
        tell(0.1 + 0.75 * fold / base.folds, f"aligning to {base.box * base.pixel_size / band:.1f} Å")
        rows = [base.rows(half, fold) for half in (0, 1)]
        stage = Stage(
            partial(_pass, base.sent(), grids, rows, noise, plan, band, step, rotations, shifts),
            LocalPass.block,
            [blocks(len(one), BLOCK) for one in rows],
        )
        found += [Found.joined(one) for one in base.place.results(stage)]
    order = np.argsort(np.concatenate([base.rows(half, fold) for fold in range(base.folds) for half in (0, 1)]), kind="stable")
    return Found.joined(found).taken(order), shown


def _pass(
    base: refine.Task, grids: list[NDArray[np.float32]], rows: list[NDArray[np.int64]], noise: Array, plan: Plan, band: int, step: float,
    rotations: Array, shifts: Array, half: int,
) -> LocalPass:  # fmt: skip
    """Return the pass over the images `rows` of a half."""
    spread = schedule.shift_spread(shifts, base.box)
    prior = PosePrior(shift=1.0 / spread**2) if plan.move > 0 else PosePrior(shift=STILL, shifts=shifts)
    if not plan.turn:
        prior = replace(prior, turn=STILL, rotations=rotations)
    gallery, lattice, known = None, np.zeros((1, 2)), True
    if plan.wide:
        coarse = schedule.coarse_shell(band, base.box, base.radius)
        gallery = Gallery.of(grids[half], base.images.plane.within(coarse), refine.coarse_rotations(base, 0))
        known = bool(np.any(rotations != rotations[:1]))
        lattice = refine.coarse_lattice(base, coarse, spread if known else None)
    turn = np.inf if plan.wide else REACH * np.deg2rad(step) if plan.turn else 0.0
    freedom = Freedom(turn, np.inf if plan.wide else plan.move, plan.grey, plan.magnification, plan.defocus)
    effort = Near(band, lattice, prior, group=base.group, step=np.deg2rad(step) if plan.turn else 0.0)
    return LocalPass(base.images, rows[half], grids[half], gallery, noise, effort, rotations, shifts, freedom, base.pixel_size, known)


def _noise(base: refine.Task, grids: list[NDArray[np.float32]], band: int, rotations: Array, shifts: Array) -> Array:
    """Return ``E|N|²`` from what the references leave of the images of the first fold at their poses."""
    images = base.images
    plane, total = images.plane.within(band), images.total_power()
    residual, counts = np.zeros((len(total), band + 1)), np.zeros((len(total), band + 1))
    members = np.zeros(len(total), np.int64)
    for half, grid in enumerate(grids):
        for part in blocks(len(base.rows(half, 0)), BLOCK):
            rows = base.rows(half, 0)[part]
            members += np.bincount(images.group[rows], minlength=len(total))
            residual_power(
                grid, plane.kx, plane.ky, plane.shell, plane.box, images.storage.take(rows, len(plane.kx)),
                images.transfers.take(rows, len(plane.kx)), images.group[rows], images.premultiplied, images.scale[rows],
                np.zeros((len(total), band + 1)), rotations[rows, None], shifts[rows, None], np.ones((len(rows), 1)), residual, counts,
                np.zeros((len(rows), 2)),
            )  # fmt: skip
    counts[members < LEAST_NOISE] = 0
    return refine.residual_noise(total, residual, counts, images.coverage)


def _shown(
    base: refine.Task, grids: list[NDArray[np.float32]], noise: Array, plan: Plan, band: int, step: float, rotations: Array, shifts: Array
) -> bool:
    """Return whether some images of the first fold fit the references better than their negatives do; see `negatives`."""
    gains = []
    for sign in (1.0, -1.0):
        signed = replace(base, images=base.images.scaled(sign * base.images.scale), elsewhere=None)
        rows = [base.rows(half, 0)[: refine.WITNESSES // 2] for half in (0, 1)]
        passes = [_pass(signed, grids, rows, noise, plan, band, step, rotations, shifts, half) for half in (0, 1)]
        gains.append(np.concatenate([one.block(part).log_likelihood for one in passes for part in blocks(len(one.rows), BLOCK)]))
    return better_than_negatives(*gains)


def _changed(
    task: LocalTask, base: refine.Task, columns: dict[str, Array], plan: Plan, found: Found, rotations: Array, shifts: Array
) -> dict[str, Array]:
    """Return the columns after an iteration, and beside them what is told of it."""
    size = base.pixel_size
    turned = base.group.reduced(found.rotations)
    rot, tilt, psi = matrix_to_euler(turned)
    moved = np.linalg.norm(found.shifts - shifts, axis=1) * size
    change = base.group.angle(turned, rotations)
    cross, norm, power = found.told.T
    cost = cross / np.sqrt(np.maximum(norm * power, 1e-30))
    scale = np.outer([1, 1, 1, size, size], [1, 1, 1, size, size])
    new = columns | {
        "rot": rot, "tilt": tilt, "psi": psi, "origin_x": found.shifts[:, 0] * size, "origin_y": found.shifts[:, 1] * size,
        "pose_covariance": (found.covariances * scale)[:, _ROWS, _COLUMNS],
    }  # fmt: skip
    if plan.grey > 0:
        grey = columns["grey_scale"] * (1.0 + found.values[:, GREY])
        new["grey_scale"] = grey / grey.mean() * columns["grey_scale"].mean()
    if plan.magnification > 0:
        new["magnification"] = np.clip(
            columns["magnification"] * (1.0 + found.values[:, MAGNIFICATION]), 1 - plan.magnification, 1 + plan.magnification
        )
    if plan.defocus > 0:
        precision = found.curvatures[:, DEFOCUS, DEFOCUS]
        every = np.arange(len(cost)) if task.micrograph is None else task.micrograph
        mean = shared_changes(found.values[:, DEFOCUS], precision, every, plan.defocus)
        names = ("defocus_u", "defocus_v", "defocus_angle")
        new |= dict(zip(names, new_defocus(*(columns[name] for name in names), mean, found.values[:, 3], found.values[:, 4]), strict=True))
    defocus = None if base.images.transfers.distinct is None else 0.5 * (columns["defocus_u"] + columns["defocus_v"])
    new["weight"] = particle_weights(
        task.weighing, cost, norm * (1.0 + found.values[:, GREY]) ** 2, change, moved, defocus_groups(defocus, len(cost))
    )
    return new | {
        "cost": cost,
        "change_angle": change,
        "change_shift": moved,
        "max_probability": found.certainty,
        "log_likelihood": found.log_likelihood,
    }


def _averaged(
    task: LocalTask, state: State, plan: Plan, sampling: Sampling, last: int, band: int, new: dict[str, Array], found: Found, *, shown: bool,
    references: References,
) -> State:  # fmt: skip
    """Return the state with the maps that the new columns make."""
    base, rotations, shifts = _posed(task, new)
    blurred = _points(task, new, rotations, shifts, band, SETTLED)
    sums = FoldSums(base, blurred, last, task.total_power, 1)
    halves = [divided(one, last, sampling.box, base.box, group=base.group) for one in sums.total()]
    sphere = base.sphere(sampling.box)
    if shown:
        curve = fourier_shell_correlation(halves[0] * sphere, halves[1] * sphere)
    else:
        curve = masked_fsc(*halves, sphere).corrected
    fsc = np.zeros(last + 1)
    fsc[: len(curve)] = curve[: last + 1]
    resolution = resolution_at(fsc, THRESHOLD, base.box, base.pixel_size)
    joint = sums.both()
    rim = spherical_mask(sampling.box, sampling.box / 2 - 3, 3)
    ssnr = base.regularisation * joined_ssnr(fsc, combined=True)
    record = {
        "target": sampling.target, "pixel_size": sampling.pixel_size, "box": float(sampling.box), "band": base.box * base.pixel_size / band,
        "resolution": resolution, "change_angle": float(np.median(new["change_angle"])), "change_shift": float(np.median(new["change_shift"])),
        "max_probability": float(np.mean(new["max_probability"])), "cost": float(np.mean(new["cost"])), "bounded": float(np.mean(found.bounded)),
        "wide": float(plan.wide), "shown": float(shown),
    }  # fmt: skip
    return {
        **new,
        "maps": np.zeros((0, 1, 1, 1), np.float32),
        "resolution": resolution,
        "history": [*state["history"], record | {"fsc": fsc.tolist(), "processed": references.processed.tolist()}],
        "half_maps": np.stack(halves) * spherical_mask(sampling.box, sampling.box / 2, 3),
        "unfiltered": divided(joint, last, sampling.box, base.box, group=base.group) * rim,
        "combined": divided(joint, last, sampling.box, base.box, ssnr=ssnr, group=base.group) * rim,
        "reference": references.mean,
        "fsc": fsc,
    }
