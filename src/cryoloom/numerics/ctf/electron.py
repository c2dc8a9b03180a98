"""Electron optics that need no tensors: the wavelength, and amplitude contrast as a phase."""

import math


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic electron wavelength in Å for an acceleration `voltage` in kV (300 kV: 0.0196875 Å)."""
    volts = voltage * 1e3
    return 12.2643247 / math.sqrt(volts * (1.0 + 0.978466e-6 * volts))


def amplitude_phase(amplitude_contrast: float) -> float:
    """Return φ_ac in radians, the phase that stands for the fraction `amplitude_contrast`: ``atan(Q0 / √(1 - Q0²))``."""
    return math.atan2(amplitude_contrast, math.sqrt(1.0 - amplitude_contrast**2))
