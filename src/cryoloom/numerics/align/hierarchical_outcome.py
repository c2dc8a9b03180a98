"""From particle images to the task of a hierarchical classification, and from its levels to what is reported."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import crossing
from cryoloom.numerics.align.class2d_match import Members, amplitudes
from cryoloom.numerics.align.class2d_prepare import BLOCK, Geometry
from cryoloom.numerics.align.hierarchical_core import deviations, stable
from cryoloom.numerics.align.hierarchical_schedule import State
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.align.hierarchical_update import Mirrored, Update, updated

_TOO_FEW = 10
"""Members whose halves say nothing of a resolution."""


def with_pixels(task: Task) -> Task:
    """Return the task with its images, phases corrected, on the grid of the averages."""
    layout, sampler = task.layout, task.frame.sampler
    parts = []
    for harmonics in task.observations.harmonics.split(BLOCK):
        arrays = [group.view(harmonics, layout.rings).flatten(2).permute(1, 2, 0) for group in layout.groups]
        parts.append(sampler.images(layout.synthesise(arrays, layout.rings)))
    return replace(task, pixels=torch.cat(parts))


@dataclass(frozen=True)
class Level:
    """One level of a finished classification.

    Attributes
    ----------
    averages
        ``(K, box, box)`` float32, bright.
    counts
        Members, ``(K,)``.
    frc, rings, rings_0143
        Correlation of halves ``(K, R)``, and the last rings above 0.5 and 0.143, at least 1, ``(K,)``.
    label
        Class from 0 of every image, -1 for none, ``(n,)``.
    junk, component
        How far from usual each image is in its class, see `deviations`, ``(n,)``.
    core
        Whether it is neither, ``(n,)``.
    match
        How much of the average of the others each image shows, ``(n,)``.
    poses
        Of the images.
    """

    averages: NDArray[np.float32]
    counts: NDArray[np.int64]
    frc: NDArray[np.float64]
    rings: NDArray[np.int64]
    rings_0143: NDArray[np.int64]
    label: NDArray[np.int64]
    junk: NDArray[np.float64]
    component: NDArray[np.float64]
    core: NDArray[np.bool_]
    match: NDArray[np.float64]
    poses: Poses

    def median(self, values: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return the median over the members of each class, 0 where it is empty, ``(K,)``."""
        mine = self.label if among is None else np.where(among, self.label, -1)
        return np.array([np.median(values[mine == label]) if (mine == label).any() else 0.0 for label in range(len(self.counts))])


def level(task: Task, state: State, number: int, *, junk_z: float, component_z: float) -> Level:
    """Return level `number` of a finished classification, its members tested."""
    poses, band = Poses.of(state, f"level{number}_"), int(state[f"level{number}_band"])
    classes = next(record["classes"] for record in state["history"] if record["level"] == number)
    rows = torch.nonzero(poses.label >= 0)[:, 0]
    own = poses.at(rows)
    update = updated(task, rows, own, classes, band, centre=False)
    observed = Mirrored(task, rows, own.flip)
    members = Members(observed, own.label, own.angle, own.shift(), torch.ones(len(rows)), task.noise[task.group[rows]])
    match = amplitudes(members, update.images, update.found, task.frame, task.threads)
    junk, component = deviations(task, rows, own, update.images, match, band)
    counts = update.counts.numpy().astype(np.int64)
    half, low = (_resolved(update, threshold) for threshold in (0.5, 0.143))

    def spread(values: Tensor) -> NDArray[np.float64]:
        out = np.zeros(task.count)
        out[rows.numpy()] = values.numpy().astype(np.float64)
        return out

    label = poses.label.numpy().copy()
    far_junk, far_component = spread(junk), spread(component)
    core = (label >= 0) & (far_junk < junk_z) & (far_component < component_z)
    return Level(
        update.images.numpy().astype(np.float32), counts, update.found.frc.numpy().astype(np.float64), half, low, label, far_junk, far_component,
        core, spread(match), poses,
    )  # fmt: skip


def stable_core(levels: list[Level], tolerance: int) -> NDArray[np.bool_]:
    """Return which images of the last level's cores were in earlier cores together, see `stable`."""
    return stable(np.stack([np.where(each.core, each.label, -1) for each in levels], axis=1), tolerance)


def parents(levels: list[Level]) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return for the classes of each level the class before that most members come from, -1 for none, and their part; the first level has none."""
    found = [(np.full(len(levels[0].counts), -1, dtype=np.int64), np.zeros(len(levels[0].counts)))]
    for before, after in zip(levels[:-1], levels[1:], strict=True):
        both = (before.label >= 0) & (after.label >= 0)
        table = np.zeros((len(after.counts), len(before.counts)))
        np.add.at(table, (after.label[both], before.label[both]), 1.0)
        total = table.sum(axis=1)
        found.append((np.where(total > 0, table.argmax(axis=1), -1), table.max(axis=1) / np.maximum(total, 1.0)))
    return found


def average_of(
    task: Task, poses: Poses, among: NDArray[np.bool_], classes: int, band: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the averages ``(K, box, box)`` of some of the images only, and the last rings above an FRC of 0.5."""
    rows = torch.nonzero((poses.label >= 0) & torch.from_numpy(among))[:, 0]
    update = updated(task, rows, poses.at(rows), classes, band, centre=False)
    return update.images.numpy().astype(np.float32), _resolved(update, 0.5)


def _resolved(update: Update, threshold: float) -> NDArray[np.int64]:
    """Return the last ring above a correlation of halves, at least 1, of each class; 1 where members are too few."""
    return np.where(update.counts.numpy() < _TOO_FEW, 1, np.maximum(crossing(update.found.frc, threshold).numpy(), 1))


@dataclass(frozen=True)
class TablePoses:
    """Poses in the convention of the tables: mirrored, then moved by `origin` (Å), then turned by `psi` (degrees)."""

    flip: NDArray[np.bool_]
    psi: NDArray[np.float64]
    origin: NDArray[np.float64]

    @staticmethod
    def of(poses: Poses, shape: Geometry) -> "TablePoses":
        """Return poses found on the working images of `shape`."""
        flip, angle = poses.flip.numpy().copy(), poses.angle.numpy().astype(np.float64)
        place = poses.place.numpy().astype(np.float64) * shape.pixel_size
        origin = -place * np.where(flip[:, None], (-1.0, 1.0), (1.0, 1.0))
        return TablePoses(flip, -((np.rad2deg(angle) + 180.0) % 360.0 - 180.0), origin)
