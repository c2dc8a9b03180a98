"""What a hierarchical classification (CL2D) works on: its settings, its images, and the poses that it finds.

A pose brings an image to the frame of its class average: the image is moved by ``-place``, mirrored along x where `flip` says so, and then turned
back by `angle`. Images are centred by themselves and averages by theirs, so a place belongs to an image and not to a class: all classes are
tried at the place found with the last one, mirrored and not, by products of polar harmonics (whose conjugates are the mirrored images').
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_averages import Frame
from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_observations import Observations


@dataclass(frozen=True)
class Settings:
    """What the user decides.

    Attributes
    ----------
    classes, initial_classes
        K of the last level and of the first.
    iterations
        At most, a level and a split.
    robust
        Assign by what is typical of members and better than of others, instead of by the best similarity.
    correntropy
        Judge poses by correntropy, pixel by pixel, instead of by correlation.
    candidates
        Classes, mirrored or not, in which the pose of an image is refined.
    least_size
        Of the mean size: a smaller class, also below a quarter of the largest, is given up.
    split_trials
        How often a split that leaves one side small is tried again without that side.
    mirrors, centre, classify_all
        Try mirrored images; centre averages; assign images that are similar to none.
    start_band
        Rings compared at first.
    reach
        Largest shift, px.
    """

    classes: int
    initial_classes: int = 4
    iterations: int = 10
    robust: bool = False
    correntropy: bool = False
    candidates: int = 5
    least_size: float = 0.2
    split_trials: int = 5
    mirrors: bool = True
    centre: bool = True
    classify_all: bool = False
    start_band: int = 10
    reach: float = 10.0


@dataclass(frozen=True)
class Task:
    """The images and how they are classified.

    Attributes
    ----------
    observations
        Of the images, see `Observations`.
    group, half
        Optics group (from 0) and half set (0, 1) of every image, int64 ``(n,)``.
    frame
        That averages live in.
    pixels
        The images themselves ``(n, box, box)``, phases corrected, for correntropy; None: not needed.
    """

    observations: Observations
    group: Tensor
    half: Tensor
    frame: Frame
    settings: Settings
    seed: int
    threads: int
    pixels: Tensor | None = None

    @property
    def count(self) -> int:
        """Return the number of images."""
        return len(self.group)

    @property
    def layout(self) -> PolarLayout:
        """Return the polar layout of images and averages."""
        return self.frame.sampler.layout

    @cached_property
    def noise(self) -> Tensor:
        """Return the mean power of the images a component, by optics group and ring ``(G, R)``: little of it is signal."""
        one = torch.nn.functional.one_hot(self.group, int(self.group.max()) + 1).to(torch.float32)
        return (one.t() @ self.observations.power) / one.sum(dim=0)[:, None].clamp(min=1.0) / 2.0


@dataclass(frozen=True)
class Poses:
    """Class and pose of n images.

    Attributes
    ----------
    label
        Class from 0; -1: none, int64 ``(n,)``.
    angle, flip, place
        See the module: radians from +x towards +y ``(n,)``, bool ``(n,)``, px ``(n, 2)``.
    similarity
        To the class average, float32 ``(n,)``.
    """

    label: Tensor
    angle: Tensor
    flip: Tensor
    place: Tensor
    similarity: Tensor

    @staticmethod
    def none(label: Tensor) -> "Poses":
        """Return images of some classes as they are."""
        count = len(label)
        return Poses(label, torch.zeros(count), torch.zeros(count, dtype=torch.bool), torch.zeros((count, 2)), torch.zeros(count))

    @staticmethod
    def of(state: dict[str, NDArray[np.generic]], prefix: str = "") -> "Poses":
        """Return the poses that `stored` put into a state."""
        return Poses(*(torch.from_numpy(state[prefix + name].copy()) for name in _FIELDS))

    def stored(self, prefix: str = "") -> dict[str, NDArray[np.generic]]:
        """Return arrays by name for a state."""
        return {prefix + name: getattr(self, name).numpy().copy() for name in _FIELDS}

    def at(self, rows: Tensor) -> "Poses":
        """Return those of some images."""
        return Poses(*(getattr(self, name)[rows] for name in _FIELDS))

    def put(self, rows: Tensor, other: "Poses") -> "Poses":
        """Return the poses with those of some images replaced."""
        return Poses(*(getattr(self, name).index_copy(0, rows, getattr(other, name)) for name in _FIELDS))

    def shift(self) -> Tensor:
        """Return by how much the class average is moved, px in its own frame, before it is turned to make the (mirrored) image, ``(n, 2)``."""
        x, y = torch.where(self.flip, -self.place[:, 0], self.place[:, 0]), self.place[:, 1]
        cosine, sine = torch.cos(self.angle), torch.sin(self.angle)
        return torch.stack([cosine * x + sine * y, cosine * y - sine * x], dim=1)


_FIELDS = ("label", "angle", "flip", "place", "similarity")


def mirrored(layout: PolarLayout, harmonics: Tensor, flip: Tensor) -> Tensor:
    """Return packed harmonics ``(n, size)`` of images, those of `flip` ``(n,)`` mirrored along x."""
    signs = torch.where(flip, -1.0, 1.0)[:, None, None]
    found = harmonics.clone()
    for group in layout.groups:
        group.view(found, layout.rings)[:, :, 1] *= signs
    return found
