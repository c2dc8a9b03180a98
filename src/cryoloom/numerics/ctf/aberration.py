"""Beam tilt: phases of images taken with a beam that does not run along the axis of the lens (axial coma).

``φ = 2π Cs λ² |k|² (k · b)``, b the tilt: content of frequency k lies ``Cs λ² |k|² b`` aside. The sign is RELION's: an image of a specimen
``X`` has the transform ``X exp(-iφ)`` where ``rlnBeamTiltX``, ``rlnBeamTiltY`` are b in mrad, and is corrected by ``exp(+iφ)``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryoloom.numerics.ctf.electron import electron_wavelength

Array = NDArray[np.float64]

SCAN, STEP, STEPS = 16, 0.5, 12
"""Nodes of the lattice of tilts on either side of none, radians (weighted mean) by which phases differ from node to node, and steps of the improvement."""


def coma(frequency_x: ArrayLike, frequency_y: ArrayLike, *, voltage: float, cs: float) -> NDArray[np.float64]:
    """Return φ in radians for a tilt of 1 mrad along x, and along y, ``(2, …)``; frequencies in 1/Å, kV and mm."""
    x, y = np.asarray(frequency_x, np.float64), np.asarray(frequency_y, np.float64)
    radial = 2e-3 * np.pi * (cs * 1e7) * electron_wavelength(voltage) ** 2 * (x * x + y * y)
    return np.stack([radial * x, radial * y])


@dataclass(frozen=True)
class TiltFit:
    """A beam tilt that was measured.

    Attributes
    ----------
    tilt, error
        x, y in mrad, and the standard error of each.
    shift
        x, y in Å that images are to be moved by beside (as ``origin_x``, ``origin_y`` are): poses were found on images of another tilt.
    gain
        Log-likelihood gained over no tilt and no shift.
    """

    tilt: Array
    error: Array
    shift: Array
    gain: float


def fit_tilt(cross: NDArray[np.complex128], weight: Array, x: Array, y: Array, *, voltage: float, cs: float) -> TiltFit:
    """Return the beam tilt of a group of images.

    Parameters
    ----------
    cross, weight
        ``Σ M* X / E|N|²`` and ``Σ |M|² / E|N|²`` over the images, M their model without tilt, ``(K,)``.
    x, y
        Frequencies of the half plane, 1/Å, ``(K,)``.

    A tilt moves images as well, by what poses found without it hold already: every tilt is tried with the shift that goes best with it, on a
    lattice first, and the best one is improved by Newton's steps.
    """
    bend = coma(x, y, voltage=voltage, cs=cs)
    lead = -2 * np.pi * np.stack([x, y])
    # The shift that undoes what is linear in a tilt's phase.
    share = np.linalg.solve((lead * weight) @ lead.T, (lead * weight) @ bend.T)
    free = bend - share.T @ lead
    scale = max(float(np.sqrt((weight * free**2).sum(axis=1) / weight.sum()).max()), 1e-12)
    nodes = np.arange(-SCAN, SCAN + 1) * (STEP / scale)
    tried = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    sums = [float((cross * np.exp(1j * (tilt @ free))).real.sum()) for tilt in tried]
    tilt = tried[int(np.argmax(sums))]
    terms = np.concatenate([bend, lead])
    found = np.concatenate([tilt, -share @ tilt])
    curvature = 2.0 * (terms * weight) @ terms.T
    for _ in range(STEPS):
        turned = cross * np.exp(1j * (found @ terms))
        found = found + np.linalg.solve(curvature, -2.0 * (terms * turned.imag).sum(axis=1))
    gain = 2.0 * float((cross * np.exp(1j * (found @ terms))).real.sum() - cross.real.sum())
    return TiltFit(found[:2], np.sqrt(np.diag(np.linalg.inv(curvature)))[:2], found[2:], gain)
