"""The microscope of the simulator: phase shifts, transfer function, radiation damage, detector, ice.

Written from the physics, on purpose without the product's own transfer function and dose filter.
"""

from dataclasses import dataclass
from math import asin, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PLANCK, CHARGE, LIGHT, REST_ENERGY = 6.62607015e-34, 1.602176634e-19, 299792458.0, 510998.95
PROTEIN_VOLUME = 1.21
"""Å³ a dalton."""
PROTEIN_OVER_ICE = 1.2
"""Mean inner potential of protein above that of vitreous ice, V: half of the physical value, because few heavy pseudo-atoms scatter more
than the many light ones they stand for. P80 then has an RMS contrast of 5 %, a particle of ribosome size 6 to 8 %."""


@dataclass(frozen=True)
class Defocus:
    """Defocus of one micrograph: `u` ≥ `v` in Å, underfocus positive; `angle` of the u axis from +x towards +y; `plate` shift in degrees."""

    u: float
    v: float
    angle: float
    plate: float = 0.0

    def raised(self, height: float) -> "Defocus":
        """Return the defocus of something `height` Å further underfocus."""
        return Defocus(self.u + height, self.v + height, self.angle, self.plate)


@dataclass(frozen=True)
class Microscope:
    """Acceleration `voltage` (kV), spherical aberration `cs` (mm), the fraction of amplitude contrast and the tilt of the beam (mrad along x, y)."""

    voltage: float
    cs: float
    amplitude_contrast: float
    beam_tilt: tuple[float, float] = (0.0, 0.0)

    @property
    def wavelength(self) -> float:
        """Relativistic electron wavelength, Å."""
        energy = self.voltage * 1e3
        return 1e10 * PLANCK * LIGHT / (CHARGE * sqrt(energy * (energy + 2.0 * REST_ENERGY)))

    @property
    def phase_per_volt(self) -> float:
        """Phase shift in rad of 1 V·Å of projected potential (the interaction constant)."""
        energy = self.voltage * 1e3
        return 2.0 * pi / (self.wavelength * energy) * (REST_ENERGY + energy) / (2.0 * REST_ENERGY + energy)

    @property
    def phase_per_mass(self) -> float:
        """Phase shift in rad of 1 Da/Å² of protein in ice."""
        return self.phase_per_volt * PROTEIN_VOLUME * PROTEIN_OVER_ICE

    def transfer(self, defocus: Defocus, kx: Array, ky: Array) -> Array:
        """Return ``sin χ`` for bright particles (dark images take ``-sin χ``) at frequencies in 1/Å, broadcast.

        ``χ = π λ Δf s² - (π/2) Cs λ³ s⁴ + φ_plate + asin(Q0)``, ``Δf(θ) = u cos²(θ-α) + v sin²(θ-α)``.
        """
        alpha = np.deg2rad(defocus.angle)
        along = kx * np.cos(alpha) + ky * np.sin(alpha)
        across = ky * np.cos(alpha) - kx * np.sin(alpha)
        squared = kx * kx + ky * ky
        chi = pi * self.wavelength * (defocus.u * along * along + defocus.v * across * across)
        chi = chi - 0.5 * pi * self.cs * 1e7 * self.wavelength**3 * squared * squared
        return np.sin(chi + np.deg2rad(defocus.plate) + asin(self.amplitude_contrast))

    def displaced(self, kx: Array, ky: Array) -> NDArray[np.complex128]:
        """Return what a tilted beam multiplies transforms by at frequencies in 1/Å, broadcast.

        The part of χ(k + b/λ) - χ(b/λ) - … that is odd in k, b/λ being where the tilt b puts the axis of the lens: with ``χ = -(π/2) Cs λ³ k⁴``
        of the spherical aberration, ``-2π Cs λ² k² (k · b)``. What is even in k, or linear, changes the defocus and moves the image.
        """
        along = kx * self.beam_tilt[0] + ky * self.beam_tilt[1]
        return np.exp(-2j * pi * self.cs * 1e7 * self.wavelength**2 * (kx * kx + ky * ky) * 1e-3 * along)


def damage(kx: Array, ky: Array, dose: float, voltage: float) -> Array:
    """Return the amplitude ``exp(-D / 2 N_e(s))`` left after `dose` (e/Å²); Grant & Grigorieff (2015), doi:10.7554/eLife.06980.

    ``N_e = 0.245 s^-1.665 + 2.81`` at 300 kV, 0.8 of it at 200 kV and below-linear between and beyond (0.64 at 100 kV).
    """
    s = np.hypot(kx, ky)
    critical = 0.245 * np.maximum(s, 1e-6) ** -1.665 + 2.81
    scale = np.interp(voltage, [100.0, 200.0, 300.0], [0.64, 0.8, 1.0])
    return np.exp(-dose / (2.0 * critical * scale))


def detector_amplitude(kx: Array, ky: Array, pixel_size: float) -> Array:
    """Return √DQE of a counting camera, ``1 - 0.6 (s / s_Nyquist)²``, kept at its Nyquist value of 0.4 in the corners.

    The noise of a counted frame is white, so the fall of signal over noise is put on the signal.
    """
    return 1.0 - 0.6 * np.minimum((kx * kx + ky * ky) * (2.0 * pixel_size) ** 2, 1.0)


def ice_amplitude(kx: Array, ky: Array) -> Array:
    """Return the shape of the scattering amplitude of vitreous ice: flat, with the broad ring at 3.7 Å."""
    s = np.hypot(kx, ky)
    return np.sqrt(1.0 + 3.0 * np.exp(-0.5 * ((s - 1.0 / 3.7) / 0.025) ** 2))
