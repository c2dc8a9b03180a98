"""How well the views of a set fill Fourier space."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fibonacci_directions(count: int) -> Array:
    """Return `count` nearly equidistant unit vectors, shape ``(count, 3)``."""
    index = np.arange(count) + 0.5
    z = 1.0 - 2.0 * index / count
    azimuth = np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def fourier_coverage(directions: Array, *, half_width: float = 5.0, least: float = 0.1, samples: int = 500) -> float:
    """Return the fraction of Fourier directions that enough views measure.

    A view measures the directions at right angles to it. A direction counts when at least `least` times the number of views
    that a uniform distribution would give lie within `half_width` degrees of its great circle. 1 is complete; a single view gives about 0.09.

    Parameters
    ----------
    directions
        Projection directions, unit vectors ``(n, 3)``; at most 20 000, evenly chosen, are used.
    """
    if len(directions) == 0:
        return 0.0
    views = directions[:: max(1, len(directions) // 20_000)]
    width = np.sin(np.deg2rad(half_width))
    measured = (np.abs(fibonacci_directions(samples) @ views.T) < width).mean(axis=1)
    return float(np.mean(measured >= least * width))
