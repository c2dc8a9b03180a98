"""Class averages of aligned members: as `classify2d.em` makes them, centred, and of mirrored images too."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import Averages, average, mass_centres, moved
from cryoloom.numerics.align.class2d_estep import Posterior
from cryoloom.numerics.align.class2d_mstep import Sums, accumulate
from cryoloom.numerics.align.hierarchical_task import Poses, Task, mirrored

MARGIN = 8  # rings beyond the band that are averaged: where it may go next
_CENTRING = 0.2  # of an average's maximum: what exceeds it counts for its centre


@dataclass(frozen=True)
class Update:
    """New averages.

    Attributes
    ----------
    images
        Masked and centred, ``(K, box, box)``.
    found
        What `average` made of the sums, not centred.
    counts
        Members, ``(K,)``.
    poses
        Of the images, moved with their average.
    """

    images: Tensor
    found: Averages
    counts: Tensor
    poses: Poses

    @property
    def held(self) -> Tensor:
        """Return what an average holds of a member that is ``C X / σ²`` at its pose, ``(R, K)``."""
        return self.found.damping / self.found.weight


def updated(task: Task, rows: Tensor, poses: Poses, classes: int, band: int, *, centre: bool = True) -> Update:
    """Average images `rows` in their poses; those without a class are left out."""
    layout, frame = task.layout, task.frame
    member = torch.nonzero(poses.label >= 0)[:, 0]
    own, images = poses.at(member), rows[member]
    one = torch.arange(len(member))
    posterior = Posterior(
        one, one, own.label, own.angle, own.shift(), torch.ones(len(member)), torch.zeros(len(member), dtype=torch.float64)
    )
    sums = Sums.zeros(layout.half_angles, layout.rings, classes, 2 * len(task.noise))
    rings = min(layout.rings, band + MARGIN)
    accumulate(
        layout,
        Mirrored(task, images, own.flip),
        posterior,
        2 * task.group[images] + task.half[images],
        sums,
        task.threads,
        band=rings,
    )
    found = average(sums, task.noise, frame, frc_regularised=True, tau_fudge=1.0)
    shown = frame.masked(frame.sampler.images(found.raw))
    if centre:
        away = -mass_centres(shown, _CENTRING, binary=False)
        away *= (task.settings.reach / away.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1.0)
        shown = frame.masked(frame.sampler.images(moved(found.raw, away, frame)))
        poses = _followed(poses, away, task.settings.reach)
    return Update(shown, found, sums.counts.sum(dim=1).round(), poses)


@dataclass(frozen=True)
class Mirrored:
    """Observations of images `images` ``(n,)``, mirrored when they are asked for where `flip` ``(n,)`` says so: nothing is copied before."""

    task: Task
    images: Tensor
    flip: Tensor

    def signals(self, rows: Tensor) -> Tensor:
        """Return the harmonics of some of them, ``(b, size)``."""
        return mirrored(self.task.layout, self.task.observations.signals(self.images[rows]), self.flip[rows])

    def squares(self, rows: Tensor) -> Tensor:
        """Return the ring means of their squared transfer function, ``(b, R)``."""
        return self.task.observations.squares(self.images[rows])


def _followed(poses: Poses, away: Tensor, reach: float) -> Poses:
    """Return poses that superpose images with averages moved by `away` ``(K, 2)``; nobody goes beyond the reach."""
    x, y = (-away[poses.label.clamp(min=0)]).unbind(1)
    cosine, sine = torch.cos(poses.angle), torch.sin(poses.angle)
    right, down = cosine * x - sine * y, sine * x + cosine * y
    step = torch.stack([torch.where(poses.flip, -right, right), down], dim=1)
    place = torch.where((poses.label >= 0)[:, None], poses.place + step, poses.place)
    place = place * (reach / place.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1.0)
    return replace(poses, place=place)
