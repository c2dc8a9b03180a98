"""What lies in the beam of one movie: particles at known places, ice, contaminants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.contaminants import Contaminant
from cryoloom.numerics.simulate.optics import Defocus
from cryoloom.numerics.simulate.phantom import Phantom

Array = NDArray[np.float64]

LAYER = 50.0
"""Defocus differences within a micrograph are rounded to this many Å: one transform a layer and frame."""


@dataclass(frozen=True)
class Placed:
    """A particle in a movie.

    Parameters
    ----------
    phantom
        Index into the specimen's phantoms.
    x, y
        Centre in px of the frame, in the first frame.
    height
        Å further underfocus than the micrograph's mean.
    angles
        rot, tilt, psi, degrees.
    junk
        Whether it is a broken particle.
    """

    phantom: int
    x: float
    y: float
    height: float
    angles: tuple[float, float, float]
    junk: bool = False


@dataclass(frozen=True)
class Specimen:
    """A field of view with `margin` px around it, so that what drifts in is there.

    Parameters
    ----------
    background
        ``(height + 2 margin, width + 2 margin)`` phase shift in rad of ice and contaminants, float32, in the first frame's place.
    particles
        Their phase is added to the background's.
    tilt
        The defocus rises by this many Å from the left to the right edge.
    slope
        Relative rise of the illumination from the middle to the right and to the last row.
    contaminants, covers
        What they are, and ``(height, width)`` uint8 what covers the ice in the first frame: 0 or 1 + the place in `contaminants.COVERS`.
    """

    height: int
    width: int
    margin: int
    pixel_size: float
    background: NDArray[np.float32]
    particles: list[Placed]
    phantoms: list[Phantom]
    defocus: Defocus
    tilt: float
    slope: tuple[float, float]
    contaminants: list[Contaminant]
    covers: NDArray[np.uint8]

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """Return ``(height, width)`` where anything covers the ice."""
        return self.covers > 0

    def rise(self, x: float, height: float = 0.0) -> float:
        """Return by how much (Å, whole layers) the defocus at column `x` (px) and `height` (Å) differs from the mean: exactly what is used."""
        return LAYER * round((height + self.tilt * (x / self.width - 0.5)) / LAYER)

    def illumination(self) -> Array:
        """Return the relative illumination ``(height, width)``, mean 1."""
        down, across = np.linspace(-1.0, 1.0, self.height)[:, None], np.linspace(-1.0, 1.0, self.width)[None, :]
        return 1.0 + self.slope[0] * across + self.slope[1] * down
