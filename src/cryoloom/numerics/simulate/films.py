"""What covers a part of a field up to a line: carbon, the foil around a hole, a tear in the ice."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.contaminants import CARBON_POTENTIAL, ICE_POTENTIAL
from cryoloom.numerics.simulate.optics import Microscope

Image = NDArray[np.float32]

BORDERS = ("foil", "tear")
"""The foil around a hole, of carbon or gold; ice that is torn, with vacuum beyond."""
HOLES = (5000.0, 12000.0)
"""Radii of holes, Å."""
GOLD_FOIL = 2500.0
"""Projected potential of a gold foil, V·Å: what passes is about half; the rest is scattered beyond the aperture, not shifted in phase."""


def border(
    kind: str, shape: tuple[int, int], pixel_size: float, microscope: Microscope, rng: np.random.Generator, *, grain: float = 0.05
) -> tuple[Image, NDArray[np.bool_]]:
    """Return the phase in rad of what lies beyond the border of a hole or of the ice, and where it lies: 8 to 40 % of the field.

    Beyond a tear there is no ice, whose phase is to be 0 there.

    Parameters
    ----------
    kind
        One of `BORDERS`.
    grain
        Standard deviation in a pixel of the phase of an amorphous foil, rad.
    """
    radius = rng.uniform(*HOLES) / pixel_size
    bearing, centre = rng.uniform(0.0, 2.0 * np.pi), np.array(shape) / 2.0
    y, x = np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None, :] - centre[1]
    x, y = x + radius * np.cos(bearing), y + radius * np.sin(bearing)
    beyond = np.hypot(x, y) - radius * _outline(np.arctan2(y, x), rng, roughness=0.02 if kind == "tear" else 0.003)
    beyond -= np.quantile(beyond, 1.0 - rng.uniform(0.08, 0.4))
    if kind == "tear":
        # The ice ends in a thicker rim.
        rim = np.exp(-0.5 * (beyond * pixel_size / 60.0) ** 2) * rng.uniform(0.0, 200.0)
        potential = ICE_POTENTIAL * (rim - rng.uniform(300.0, 700.0) * _slope(beyond, 40.0 / pixel_size))
    elif rng.random() < 0.3:
        potential = GOLD_FOIL * _slope(beyond, 15.0 / pixel_size)
    else:
        potential = rng.uniform(120.0, 350.0) * CARBON_POTENTIAL * _slope(beyond, rng.uniform(10.0, 80.0) / pixel_size)
    covered = beyond > 0.0
    texture = grain * rng.standard_normal(shape, dtype=np.float32) * covered * (kind != "tear")
    return (potential * microscope.phase_per_volt + texture).astype(np.float32), covered


def _outline(bearing: NDArray[np.float64], rng: np.random.Generator, *, roughness: float) -> NDArray[np.float64]:
    """Return the radius of an uneven circle, mean 1, at each `bearing`: waves that get shorter and smaller."""
    outline = np.ones_like(bearing)
    for wave in (2, 3, 5, 9, 17, 33, 65):
        outline += rng.normal(0.0, roughness / np.sqrt(wave)) * np.cos(wave * bearing + rng.uniform(0.0, 2.0 * np.pi))
    return outline


def _slope(beyond: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return a step from 0 to 1, `width` px wide."""
    return 0.5 * (1.0 + np.tanh(beyond / max(width, 0.5)))
