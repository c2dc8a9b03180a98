"""Averages turned so that what is long in them stands upright: filaments, rods, particles in a membrane seen from the side."""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align.class2d_averages import Frame
from cryoloom.numerics.align.class2d_poses import turned
from cryoloom.numerics.align.class2d_schedule import State


def upright(state: State, frame: Frame) -> State:
    """Return the last state with averages, sums and poses turned alike: what superposed before still does."""
    layout = frame.sampler.layout
    angle = upright_angles(state["images"])
    turns = torch.from_numpy(angle.astype(np.float32))
    sums = torch.from_numpy(state["sum_images"])  # (H, R, K, Q)
    parts = sums.shape[3]
    both = [frame.sampler.samples(torch.from_numpy(state["images"])), sums.flatten(2)]
    images, sums = (
        layout.synthesise(turned(layout, layout.analyse(one, layout.rings), each, layout.rings), layout.rings)
        for one, each in zip(both, (turns, turns.repeat_interleave(parts)), strict=True)
    )
    # An image is the average moved, then turned: the first in the average's frame, which has turned itself.
    own = angle[state["labels"]]
    cosine, sine, (x, y) = np.cos(own), np.sin(own), state["shift"].T
    shift = np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)
    return {
        **state,
        "images": frame.masked(frame.sampler.images(images)).numpy(),
        "sum_images": sums.unflatten(2, (-1, parts)).numpy(),
        "angle": (state["angle"] - own).astype(state["angle"].dtype),
        "shift": shift.astype(state["shift"].dtype),
    }


def upright_angles(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return by how much, in radians from +x towards +y, images ``(n, b, b)`` must be turned for the long axis of their density to lie along y."""
    axis = np.arange(images.shape[-1]) - images.shape[-1] // 2
    mass = np.maximum(images, 0.0).astype(np.float64)
    mass /= np.maximum(mass.sum(axis=(1, 2), keepdims=True), 1e-12)
    x, y = (mass * axis).sum(axis=(1, 2)), (mass * axis[:, None]).sum(axis=(1, 2))
    xx, yy = (mass * axis**2).sum(axis=(1, 2)) - x**2, (mass * axis[:, None] ** 2).sum(axis=(1, 2)) - y**2
    xy = (mass * axis[:, None] * axis).sum(axis=(1, 2)) - x * y
    long = 0.5 * np.arctan2(2 * xy, xx - yy)
    # Half a turn is no difference: the smaller of both.
    return (np.pi / 2 - long + np.pi / 2) % np.pi - np.pi / 2
