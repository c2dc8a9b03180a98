"""Phases of a beam tilt as small pictures: measured on the images, and as the fit has them."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane

Picture = NDArray[np.float64]

CELLS = 16
"""Cells of a picture on either side of frequency 0."""


def phase_picture(plane: HalfPlane, cross: Coefficients) -> Picture:
    """Return the phase in radians ``(2 CELLS + 1, 2 CELLS + 1)`` of ``Σ M* X`` ``(K,)``, summed over cells of the plane; 0 where nothing is."""
    side = 2 * CELLS + 1
    scale = CELLS / max(plane.last, 1)
    sums = np.zeros((side, side), np.complex128)
    for sign, values in ((1, cross), (-1, cross.conj())):
        column, row = (np.rint(sign * axis * scale).astype(np.int64) + CELLS for axis in (plane.kx, plane.ky))
        inside = (np.abs(column - CELLS) <= CELLS) & (np.abs(row - CELLS) <= CELLS)
        np.add.at(sums, (row[inside], column[inside]), values[inside])
    return np.where(np.abs(sums) > 0, np.angle(sums), 0.0)
