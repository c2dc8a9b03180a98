"""Two maps on one grid: how far they agree, and their difference once their grey scales are alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at, shell_frequencies
from cryoloom.spec import WrongUse

THRESHOLDS = (0.5, 0.143)
LARGEST = 400
"""Voxels a side up to which maps are correlated: larger ones take more memory than a server should give to one question."""
PIXEL_TOLERANCE = 0.01
"""Part by which pixel sizes may differ: calibrations do."""


@dataclass(frozen=True)
class MapAgreement:
    """How far two maps agree.

    Attributes
    ----------
    frequency, fsc
        The shell correlation, frequencies in 1/Å (1/voxel where the pixel size is not known).
    resolutions
        Å (voxels) at each of `THRESHOLDS`.
    correlation
        Of the voxels, -1 to 1.
    scale, offset
        ``scale · second + offset`` is nearest to the first map, by least squares.
    largest
        Largest absolute difference between the first map and that.
    """

    frequency: list[float]
    fsc: list[float]
    resolutions: dict[float, float]
    correlation: float
    scale: float
    offset: float
    largest: float


def demand_one_grid(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Raise ``shapes-differ`` for maps that do not have one grid, ``no-cube`` and ``too-large`` for those that cannot be correlated."""
    if first.shape != second.shape:
        message = f"The maps have {first.shape} and {second.shape} voxels (z, y, x)."
        raise WrongUse("shapes-differ", message, "Choose a map of the same box and pixel size.")
    if len(set(first.shape)) != 1:
        raise WrongUse("no-cube", f"The maps have {first.shape} voxels (z, y, x); shells are of cubes.", "Choose cubic maps.")
    if first.shape[0] > LARGEST:
        raise WrongUse(
            "too-large", f"Maps of {first.shape[0]} voxels a side are not compared here; {LARGEST} are the most.", "Bin them first."
        )


def map_agreement(first: NDArray[Any], second: NDArray[Any], pixel_size: float = 1.0) -> MapAgreement:
    """Return how far two maps ``[z, y, x]`` of one grid agree; voxels that are no numbers count as 0.

    Raises
    ------
    WrongUse
        As `demand_one_grid`.
    """
    demand_one_grid(first, second)
    one, two = (np.nan_to_num(np.ascontiguousarray(each, dtype=np.float32), posinf=0.0, neginf=0.0) for each in (first, second))
    box = len(one)
    fsc = fourier_shell_correlation(one, two)
    mean_one, mean_two = float(one.mean(dtype=np.float64)), float(two.mean(dtype=np.float64))
    spread_one, spread_two = float(one.std(dtype=np.float64)), float(two.std(dtype=np.float64))
    together = float(np.vdot(one.astype(np.float64), two)) / one.size - mean_one * mean_two
    correlation = together / (spread_one * spread_two) if spread_one and spread_two else 0.0
    scale = together / spread_two**2 if spread_two else 0.0
    offset = mean_one - scale * mean_two
    return MapAgreement(
        shell_frequencies(box, pixel_size).tolist(),
        fsc.tolist(),
        {each: resolution_at(fsc, each, box, pixel_size) for each in THRESHOLDS},
        correlation,
        scale,
        offset,
        float(np.abs(one - (scale * two + offset)).max()),
    )
