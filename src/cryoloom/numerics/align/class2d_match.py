"""How much of its class average each particle shows, judged by an average that the particle had no part in.

If an image X is the average A in its pose T, seen through the CTF and with noise, ``X = a · C T A + N`` with a = 1, the likeliest a is

    a = Re Σ conj(C X) T A / σ²  /  Σ C² |A|² / σ²

and its error is one over the root of the denominator. Ice, broken and misplaced particles, and classes of things with nothing in
common show less of the average of the others. But every image is also a member: the share of itself, noise and all, that its class
average holds would make the odd one out of a small class look at home. That share is known, and is taken out.
"""

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import Averages
from cryoloom.numerics.align.class2d_mstep import runs_of
from cryoloom.numerics.align.class2d_observations import circle
from cryoloom.numerics.align.class2d_poses import aligned
from cryoloom.numerics.align.class2d_schedule import State, Task
from cryoloom.numerics.parallel import ordered

_POSES = 128  # compared at once


def matches(task: Task, state: State, found: Averages) -> Tensor:
    """Return for every image the amplitude of its class average in it, ``(n,)``: about 1 for a member, 0 for what has nothing of it.

    Parameters
    ----------
    state
        The last one, with the images' classes and poses.
    found
        What `average` makes of its sums.
    """
    sampler, observations = task.frame.sampler, task.observations
    layout = sampler.layout
    references = sampler.samples(torch.from_numpy(state["images"]))
    noise = torch.from_numpy(state["noise"])
    labels, angles, shifts, shares = (torch.from_numpy(state[name]) for name in ("labels", "angle", "shift", "share"))
    kept = _kept_noise(task)
    order = torch.argsort(labels, stable=True)

    def work(cut: slice) -> Tensor:
        own = order[cut]
        label = int(labels[own[0]])
        reference, variance = references[:, :, label], noise[task.group[own]]  # (H, R), (n, R)
        images = aligned(layout, observations.signals(own), angles[own], shifts[own], layout.rings)  # C X, (H, R, n)
        cross = (images * reference[:, :, None].conj()).real.mean(dim=0).t()
        part = shares[own, None] / variance / found.weight[:, label]  # of an image with C X, in the average of its class
        itself = part * found.damping[:, label] * kept * images.abs().square().mean(dim=0).t()
        # Without one of its images the average has less to be divided by; a class of one is left with nothing.
        others = (1.0 - part * observations.squares(own)).clamp(min=0.5)
        precision = layout.areas / variance
        signal = (precision * (cross - itself) / others).sum(dim=1)
        power = (precision * observations.squares(own) * reference.abs().square().mean(dim=0)).sum(dim=1)
        return signal / (power + 1.0)  # Where the average is fainter than the noise, nothing is known: 0.

    parts = list(ordered(work, runs_of(labels[order], _POSES), task.threads))
    out = torch.zeros(task.count)
    out[order] = torch.cat(parts)
    return out


def _kept_noise(task: Task) -> float:
    """Return the share of an image's noise that lies where the averages' mask leaves it."""
    box = task.frame.sampler.layout.box
    seen = circle(box, 0.5 * box - 3.0, 3.0)  # as `observe` cuts images
    return float((task.frame.mask * seen.square()).sum() / seen.square().sum())
