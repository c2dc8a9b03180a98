"""The map that an atomic model would give: electron scattering factors of five Gaussians, times B-factors.

Atoms are summed in real space as Gaussians that are blurred until the grid holds them (as Ten Eyck 1977, doi:10.1107/S0567739477001211, did for
structure factors), and the blur is taken out of the transform. That is exact but for what folds back beyond Nyquist: 4 % of a coefficient at 0.9
of it, a ten-thousandth at 0.7.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.atoms.model import Atoms
from cryoloom.numerics.filters.maps import lowpass_curve, multiply_shells

Map = NDArray[np.float32]

HELD = 1.3
"""Standard deviation, in voxels, of a Gaussian that a grid holds."""
NEGLIGIBLE = 16.0
"""Exponent beyond which a Gaussian is left out: 1e-7 of its height."""


def model_density(atoms: Atoms, box: int, pixel_size: float, resolution: float | None = None) -> Map:
    """Return the electrostatic potential ``(box, box, box)`` of a model, up to a constant factor.

    Parameters
    ----------
    atoms
        Placed from the centre of the box; what lies outside it is left out.
    box, pixel_size
        Voxels, and Å.
    resolution
        Å, of a low-pass two shells wide; None: up to Nyquist.
    """
    thinnest = float((atoms.widths.min(axis=1) + atoms.b_factors).min())
    blur = max(0.0, 8 * np.pi**2 * (HELD * pixel_size) ** 2 - thinnest)
    out = np.zeros((box, box, box))
    places = atoms.positions / pixel_size + box // 2
    widths = (atoms.widths + atoms.b_factors[:, None] + blur) / pixel_size**2
    _add_gaussians(out, places, atoms.amplitudes * atoms.occupancies[:, None], widths)
    frequency = np.arange(box) / (box * pixel_size)
    curve = np.exp(blur * frequency**2 / 4)
    shells = box // 2 + 1
    kept = lowpass_curve(box, pixel_size, resolution) if resolution else np.ones(shells)
    return multiply_shells((out / pixel_size**3).astype(np.float32), curve[:shells] * kept)


@njit(nogil=True, cache=True)
def _add_gaussians(out, places, amplitudes, widths):
    """Add ``a (4π/b)^1.5 exp(-4π² r²/b)`` of every atom and term to `out` ``(z, y, x)``; lengths in voxels."""
    box = out.shape[0]
    wave = np.empty((3, box))
    for n in range(places.shape[0]):
        for term in range(amplitudes.shape[1]):
            b = widths[n, term]
            reach = np.sqrt(NEGLIGIBLE * b) / (2 * np.pi)
            low = np.empty(3, np.int64)
            high = np.empty(3, np.int64)
            for axis in range(3):
                low[axis] = max(0, int(np.ceil(places[n, axis] - reach)))
                high[axis] = min(box, int(np.floor(places[n, axis] + reach)) + 1)
                for i in range(low[axis], high[axis]):
                    wave[axis, i] = np.exp(-4 * np.pi**2 * (i - places[n, axis]) ** 2 / b)
            height = amplitudes[n, term] * (4 * np.pi / b) ** 1.5
            for k in range(low[2], high[2]):
                along = height * wave[2, k]
                for j in range(low[1], high[1]):
                    across = along * wave[1, j]
                    row = out[k, j]
                    for i in range(low[0], high[0]):
                        row[i] += across * wave[0, i]
