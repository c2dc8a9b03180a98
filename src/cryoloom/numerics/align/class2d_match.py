"""How much of its class average each particle shows, judged by an average that the particle had no part in.

If an image X is the average A in its pose T, seen through the CTF and with noise, ``X = a · C T A + N`` with a = 1, the likeliest a is

    a = Re Σ conj(C X) T A / σ²  /  Σ C² |A|² / σ²

and its error is one over the root of the denominator. Ice, broken and misplaced particles, and classes of things with nothing in
common show less of the average of the others. But every image is also a member: the share of itself, noise and all, that its class
average holds would make the odd one out of a small class look at home. That share is known, and is taken out.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import Averages, Frame
from cryoloom.numerics.align.class2d_mstep import runs_of
from cryoloom.numerics.align.class2d_observations import Signals, circle
from cryoloom.numerics.align.class2d_poses import aligned
from cryoloom.numerics.align.class2d_schedule import State, Task
from cryoloom.numerics.parallel import ordered

_POSES = 128  # compared at once


@dataclass(frozen=True)
class Members:
    """Images and where they lie in which class average.

    Attributes
    ----------
    observations
        Of the images.
    label, angle, shift, share
        Class, radians, px in the frame of the average, and weight in it, ``(n,)``, the shift ``(n, 2)``.
    noise
        σ² of every image, ``(n, R)``.
    """

    observations: Signals
    label: Tensor
    angle: Tensor
    shift: Tensor
    share: Tensor
    noise: Tensor


def matches(task: Task, state: State, found: Averages) -> Tensor:
    """Return for every image of a classification the amplitude of its class average in it, see `amplitudes`.

    Parameters
    ----------
    state
        The last one, with the images' classes and poses.
    found
        What `average` makes of its sums.
    """
    label, angle, shift, share = (torch.from_numpy(state[name]) for name in ("labels", "angle", "shift", "share"))
    members = Members(task.observations, label, angle, shift, share, torch.from_numpy(state["noise"])[task.group])
    return amplitudes(members, torch.from_numpy(state["images"]), found, task.frame, task.threads)


def amplitudes(members: Members, images: Tensor, found: Averages, frame: Frame, threads: int) -> Tensor:
    """Return for every image the amplitude of its class average in it, ``(n,)``: about 1 for a member, 0 for what has nothing of it.

    Parameters
    ----------
    images
        The class averages, ``(K, box, box)``.
    found
        What `average` made them of.
    """
    layout = frame.sampler.layout
    observations, labels, shares = members.observations, members.label, members.share
    references = frame.sampler.samples(images)
    kept = kept_noise(frame)
    order = torch.argsort(labels, stable=True)

    def work(cut: slice) -> Tensor:
        own = order[cut]
        label = int(labels[own[0]])
        reference, variance = references[:, :, label], members.noise[own]  # (H, R), (n, R)
        images = aligned(layout, observations.signals(own), members.angle[own], members.shift[own], layout.rings)  # C X, (H, R, n)
        cross = (images * reference[:, :, None].conj()).real.mean(dim=0).t()
        part = shares[own, None] / variance / found.weight[:, label]  # of an image with C X, in the average of its class
        itself = part * found.damping[:, label] * kept * images.abs().square().mean(dim=0).t()
        # Without one of its images the average has less to be divided by; a class of one is left with nothing.
        others = (1.0 - part * observations.squares(own)).clamp(min=0.5)
        precision = layout.areas / variance
        signal = (precision * (cross - itself) / others).sum(dim=1)
        power = (precision * observations.squares(own) * reference.abs().square().mean(dim=0)).sum(dim=1)
        return signal / (power + 1.0)  # Where the average is fainter than the noise, nothing is known: 0.

    parts = list(ordered(work, runs_of(labels[order], _POSES), threads))
    out = torch.zeros(len(labels))
    out[order] = torch.cat(parts)
    return out


def kept_noise(frame: Frame) -> float:
    """Return the share of an image's noise that lies where the averages' mask leaves it."""
    kept, seen = _areas(frame)
    return kept / seen


def kept_harmonics(frame: Frame, band: int) -> list[Tensor]:
    """Return the same of every harmonic, ``(orders, 2 · rings, 1)`` of each group: high orders come from far out.

    White noise in a disc of radius D gives a ring of radius ρ orders m in proportion to the length of a chord, ``√(D² - (m box / 2πρ)²)``.
    """
    layout, (kept, seen) = frame.sampler.layout, _areas(frame)
    shares = []
    for group in layout.groups_within(band):
        order = torch.tensor(list(group.orders), dtype=torch.float32)[:, None]
        ring = torch.arange(group.ring, band + 1, dtype=torch.float32)
        nearest = math.pi * (order * layout.box / (2.0 * math.pi * ring)).square()  # the area within which that order has died out
        share = torch.sqrt((kept - nearest).clamp(min=0.0) / (seen - nearest).clamp(min=1e-3 * seen))
        shares.append(share.repeat(1, 2)[..., None])
    return shares


def _areas(frame: Frame) -> tuple[float, float]:
    """Return the areas, px, of an image's noise within the averages' mask, and of all of it."""
    box = frame.sampler.layout.box
    seen = circle(box, 0.5 * box - 3.0, 3.0).square()  # as `observe` cuts images
    return float((frame.mask * seen).sum()), float(seen.sum())
