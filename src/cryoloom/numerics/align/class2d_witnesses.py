"""Images that no average has held before the last pass: they tell whether the averages show anything that is in the images.

Averages of noise show what their members were aligned to, and members fit them well. An image that had no part in them fits the average of noise as
well as its own negative does; an image of a particle fits the average of others and its negative does not.
"""

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_observations import Observations

PART, MOST, LEAST = 10, 256, 8
"""One image in so many is a witness, but not more than so many; fewer than the last tell nothing."""


def witnesses(count: int, seed: int) -> np.ndarray:
    """Return the images kept out of the averages, rising."""
    rows = np.random.default_rng([seed, 3]).permutation(count)[: min(MOST, count // PART)]
    return np.sort(rows) if len(rows) >= LEAST else rows[:0]


def with_negatives(observations: Observations, rows: Tensor) -> Observations:
    """Return the images `rows`, and after them their negatives."""
    twice = torch.cat([rows, rows])
    harmonics = observations.harmonics[twice]
    harmonics[len(rows) :] *= -1.0
    scale = None if observations.scale is None else observations.scale[twice]
    return Observations(harmonics, observations.power[twice], observations.transfer[twice], observations.usable[twice], scale)
