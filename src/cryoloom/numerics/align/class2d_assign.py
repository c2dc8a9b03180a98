"""Which class and pose is reported for every image."""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_estep import Posterior, Search, rank_within
from cryoloom.numerics.align.class2d_mstep import runs_of
from cryoloom.numerics.align.class2d_poses import aligned, posed
from cryoloom.numerics.parallel import ordered

_POSES = 128  # polished at once


@dataclass(frozen=True)
class Assignments:
    """One row an image.

    Attributes
    ----------
    label
        The most probable class.
    angle, shift
        Its most probable pose of that class: radians from +x towards +y, px in the reference's frame.
    certainty
        Probability of that pose.
    share
        Probability of that class.
    choices
        How many classes share the image: exp of the entropy of its class probabilities.
    evidence
        Log-likelihood less that of an empty image.
    """

    label: Tensor
    angle: Tensor
    shift: Tensor
    certainty: Tensor
    share: Tensor
    choices: Tensor
    evidence: Tensor

    @staticmethod
    def join(parts: "list[Assignments]") -> "Assignments":
        """Concatenate."""
        return Assignments(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Assignments)))


def assign(found: Posterior, classes: int) -> Assignments:
    """Return the assignments of the images ``found.rows``."""
    slot = found.slot
    shares = found.weight.new_zeros(len(found.rows) * classes).index_add_(0, slot * classes + found.label, found.weight)
    shares = shares.view(-1, classes)
    share, label = shares.max(dim=1)
    own = torch.nonzero(found.label == label[slot])[:, 0]
    order = own[torch.argsort(found.weight[own], descending=True, stable=True)]
    order = order[torch.argsort(slot[order], stable=True)]
    best = order[rank_within(slot[order]) == 0]
    entropy = -(shares * torch.log(shares.clamp(min=1e-20))).sum(dim=1)
    return Assignments(label, found.angle[best], found.shift[best], found.weight[best], share, torch.exp(entropy), found.evidence)


def polished(search: Search, rows: Tensor, given: Assignments, threads: int, *, level: int) -> Assignments:
    """Look once more around the assigned poses of the images `rows`, a third of the last step away; see `PoseGrid.children`."""
    children = search.grid.children(level)
    order = torch.argsort(given.label, stable=True)
    precision = search.precision(search.band)[:, : search.band]

    def work(cut: slice) -> tuple[Tensor, Tensor]:
        own = order[cut]
        image, label = rows[own], int(given.label[own[0]])
        angle, shift = given.angle[own], given.shift[own]
        samples = aligned(search.layout, search.observations.signals(image), angle, shift, search.band)
        samples = samples * (precision[search.group[image]] / search.layout.half_angles).t()
        poses = posed(search.layout, search.references.samples[:, :, label : label + 1], children, search.band)
        flat = torch.view_as_real(samples).transpose(2, 3).flatten(0, 2).t()
        scores = flat @ torch.view_as_real(poses).transpose(2, 3).flatten(0, 2)
        count = len(children)
        every = children.compose(angle.repeat_interleave(count), shift.repeat_interleave(count, 0), torch.arange(count).repeat(len(own)))
        scores = scores + search.log_prior(every[1]).view(len(own), count)
        return children.compose(angle, shift, scores.argmax(dim=1))

    parts = list(ordered(work, runs_of(given.label[order], _POSES), threads))
    angle, shift = given.angle.clone(), given.shift.clone()
    if parts:
        angle[order], shift[order] = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    return replace(given, angle=torch.remainder(angle, 2 * math.pi), shift=shift)
