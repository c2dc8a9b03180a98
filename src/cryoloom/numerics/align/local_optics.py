"""Defoci of particles from what each of them tells and what those of its micrograph have in common."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def shared_changes(change: Array, precision: Array, group: NDArray[np.int64], bound: float) -> Array:
    """Return the changes that are likeliest when those of a group scatter normally about one of their own, ``(n,)``.

    Parameters
    ----------
    change, precision
        What each image says by itself, and the inverse of its variance; 0 says nothing.
    group
        Which share a change, ``(n,)`` from 0.
    bound
        Standard deviation of changes before anything is known. How far members of a group scatter is measured over all groups.
    """
    weight = np.bincount(group, precision)
    mean = np.bincount(group, precision * change) / np.maximum(weight, 1e-30)
    members = np.bincount(group)[group]
    # Method of moments: what squares about the groups' means exceed those that errors alone make.
    excess = precision * (change - mean[group]) ** 2 - (1.0 - precision / np.maximum(weight[group], 1e-30))
    scale = np.sum(precision * (1.0 - precision / np.maximum(weight[group], 1e-30)))
    scatter = float(np.clip(np.sum(excess[members > 1]) / max(scale, 1e-30), 0.0, bound**2))
    information = precision / (1.0 + scatter * precision)
    # The groups' changes themselves are held to zero by the bound.
    common = np.bincount(group, information * change) / (np.bincount(group, information) + 1.0 / bound**2)
    return common[group] + scatter * precision / (1.0 + scatter * precision) * (change - common[group])


def new_defocus(u: Array, v: Array, angle: Array, mean: Array, along: Array, across: Array) -> tuple[Array, Array, Array]:
    """Return defoci (Å) and the angle of the first (degrees) after changes of the mean and of the astigmatism's components, ``(n,)`` each."""
    half, twice = 0.5 * (u - v), 2.0 * np.deg2rad(angle)
    x, y = half * np.cos(twice) + along, half * np.sin(twice) + across
    middle, half = 0.5 * (u + v) + mean, np.hypot(x, y)
    return middle + half, middle - half, np.rad2deg(0.5 * np.arctan2(y, x))
