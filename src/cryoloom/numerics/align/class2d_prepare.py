"""From particle images to the task of a classification, and from its last state to what is reported."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.align.class2d_accuracy import accuracies
from cryoloom.numerics.align.class2d_averages import Frame, average, crossing
from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_match import matches
from cryoloom.numerics.align.class2d_observations import Observations, observe
from cryoloom.numerics.align.class2d_sampling import PolarSampler
from cryoloom.numerics.align.class2d_upright import upright
from cryoloom.numerics.align.optics import Optics

BLOCK = 64  # images prepared at once


@dataclass(frozen=True)
class Geometry:
    """The working image of a classification.

    Attributes
    ----------
    box, pixel_size
        Edge in px, and Å per px.
    frame
        Its polar sampling and mask.
    reach
        Largest shift, working px.
    start_band
        Rings compared at first.
    """

    box: int
    pixel_size: float
    frame: Frame
    reach: float
    start_band: int


def geometry(
    box: int,
    pixel_size: float,
    mask_diameter: float,
    max_resolution: float,
    *,
    outer: float | None = None,
    reach: float = 0.08,
    start: float = 38.0,
) -> Geometry:
    """Choose the working image: large enough for rings to `max_resolution` Å, no larger.

    Parameters
    ----------
    box, pixel_size
        Of the particle images, px and Å/px.
    mask_diameter, outer
        Å, and where the mask's edge ends; None: 1.2 times as far.
    reach
        Largest shift as a fraction of the box.
    start
        Resolution in Å of the first comparison.
    """
    extent = box * pixel_size
    rings = max(6, min(int(extent / max_resolution), box // 2 - 1))
    working = min(2 * (rings + 2), box // 2 * 2)
    rings = min(rings, working // 2 - 1)
    size = extent / working
    end = min((0.6 * mask_diameter if outer is None else outer / 2) / size, working / 2 - 1.0)
    radius = min(mask_diameter / 2 / size, end - min(3.0 if outer is None else 1.0, end / 3))
    shift = reach * working
    layout = PolarLayout(working, rings, min(0.5 * working, radius + (end - radius) / 2 + shift))
    return Geometry(working, size, Frame(PolarSampler(layout), radius, end - radius), shift, max(4, int(extent / start)))


def observations(
    images: Iterator[tuple[NDArray[np.float32], NDArray[np.float64] | None, Optics]],
    shape: Geometry,
    pixel_size: float,
    mask_diameter: float,
) -> Observations:
    """Prepare blocks of images of one optics group each: images ``(n, N, N)``, defocus ``(n, 4)`` or None, optics."""
    parts = [
        observe(
            torch.from_numpy(block),
            shape.frame.sampler,
            pixel_size=pixel_size,
            mask_radius=mask_diameter / 2 / pixel_size,
            defocus=None if defocus is None else torch.from_numpy(defocus),
            optics=optics,
        )
        for block, defocus, optics in images
    ]
    return Observations(*(torch.cat([getattr(part, name) for part in parts]) for name in ("harmonics", "power", "transfer", "usable")))


def half_sets(count: int, seed: int) -> Tensor:
    """Return a half set, 0 or 1, for each of `count` images, equally many of each."""
    return torch.from_numpy(np.random.default_rng([seed, 9]).permutation(np.arange(count) % 2))


@dataclass(frozen=True)
class Outcome:
    """What a finished classification says.

    Attributes
    ----------
    averages
        ``(K, box, box)`` float32, bright.
    frc
        ``(K, R)`` correlation of half-set averages on rings 1 … R.
    resolution, resolution_0143
        Å, of FRC 0.5 and 0.143.
    accuracy_rotations, accuracy_translations
        Degrees and Å, of an image's pose in each class, see `accuracies`, ``(K,)``.
    shown
        Whether images that no average held fit the averages better than their negatives do.
    label, psi, origin, certainty, choices, evidence, match, scale
        Per image: class from 0; degrees; shift in Å ``(n, 2)`` added to the image before it is turned; probability of the pose; effective number
        of classes; log-likelihood gain; amplitude of the class average in it, see `matches`; grey scale.
    """

    averages: NDArray[np.float32]
    frc: NDArray[np.float32]
    resolution: NDArray[np.float64]
    resolution_0143: NDArray[np.float64]
    label: NDArray[np.int64]
    psi: NDArray[np.float64]
    origin: NDArray[np.float64]
    certainty: NDArray[np.float32]
    choices: NDArray[np.float32]
    evidence: NDArray[np.float64]
    match: NDArray[np.float32]
    scale: NDArray[np.float64]
    accuracy_rotations: NDArray[np.float64]
    accuracy_translations: NDArray[np.float64]
    shown: bool


def outcome(task: schedule.Task, state: schedule.State, shape: Geometry, *, vertical: bool = False) -> Outcome:
    """Return what the last `state` says, in the conventions of the tables; `vertical` turns averages upright."""
    if vertical:
        state = upright(state, shape.frame)
    task, settings = schedule.scaled(task, state), task.settings
    found = average(
        schedule.stored_sums(state), torch.from_numpy(state["noise"]), task.frame,
        frc_regularised=settings.frc_regularised, tau_fudge=settings.tau_fudge,
    )  # fmt: skip
    extent = shape.box * shape.pixel_size
    half, low = (extent / np.maximum(crossing(found.frc, level).numpy(), 1) for level in (0.5, 0.143))
    angle = state["angle"].astype(np.float64)
    u = state["shift"].astype(np.float64) * shape.pixel_size
    cosine, sine = np.cos(angle), np.sin(angle)
    origin = -np.stack([cosine * u[:, 0] - sine * u[:, 1], sine * u[:, 0] + cosine * u[:, 1]], axis=1)
    rotations, shifts = accuracies(task, state)
    psi = -((np.rad2deg(angle) + 180.0) % 360.0 - 180.0)
    return Outcome(
        state["images"].astype(np.float32), found.frc.numpy(), half, low, state["labels"], psi, origin, state["certainty"], state["choices"],
        state["evidence"], matches(task, state, found).numpy(),
        np.ones(task.count) if task.alike is None else state["scales"][task.alike], rotations, shifts * shape.pixel_size, state["shown"],
    )  # fmt: skip
