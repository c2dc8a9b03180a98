"""The contrast transfer function: one definition for the whole product.

``ctf = +sin χ`` for bright particles (RELION's and Xmipp's sign, positive at low frequency in underfocus),
``χ = π λ s² (Δf(θ) - ½ λ² s² Cs) + φ_plate + φ_ac``, Δf underfocus positive, ``φ_ac = atan(Q0 / √(1 - Q0²))``.
"""

import math

import torch
from torch import Tensor

from cryoloom.numerics.ctf.electron import amplitude_phase, electron_wavelength

__all__ = ["ctf", "ctf_phase", "electron_wavelength"]


def ctf_phase(
    frequency_x: Tensor,
    frequency_y: Tensor,
    defocus_u: Tensor | float,
    defocus_v: Tensor | float,
    defocus_angle: Tensor | float,
    phase_shift: Tensor | float,
    *,
    voltage: float,
    cs: float,
    amplitude_contrast: float,
) -> Tensor:
    """Return χ in radians, float64, broadcast over all arguments.

    Parameters
    ----------
    frequency_x, frequency_y
        Spatial frequency in 1/Å.
    defocus_u, defocus_v
        Largest and smallest defocus in Å, underfocus positive.
    defocus_angle
        Angle of the u axis from +x towards +y, degrees.
    phase_shift
        Phase plate shift, degrees.
    voltage, cs, amplitude_contrast
        kV, mm, and the fraction 0-1.
    """
    x, y = frequency_x.to(torch.float64), frequency_y.to(torch.float64)
    wavelength = electron_wavelength(voltage)
    squared = x * x + y * y
    u, v, angle, plate = (
        torch.as_tensor(value, dtype=torch.float64, device=x.device) for value in (defocus_u, defocus_v, defocus_angle, phase_shift)
    )
    azimuth = torch.atan2(y, x) - torch.deg2rad(angle)
    defocus = 0.5 * (u + v + (u - v) * torch.cos(2.0 * azimuth))
    chi = math.pi * wavelength * squared * (defocus - 0.5 * wavelength**2 * squared * (cs * 1e7))
    return chi + torch.deg2rad(plate) + amplitude_phase(amplitude_contrast)


def ctf(
    frequency_x: Tensor,
    frequency_y: Tensor,
    defocus_u: Tensor | float,
    defocus_v: Tensor | float,
    defocus_angle: Tensor | float,
    phase_shift: Tensor | float = 0.0,
    *,
    voltage: float,
    cs: float,
    amplitude_contrast: float,
    from_first_peak: bool = False,
) -> Tensor:
    """Return ``sin χ`` as float32, the transfer function of bright particles; arguments as in `ctf_phase`.

    With `from_first_peak` its size is 1 up to its first peak.
    """
    chi = ctf_phase(
        frequency_x, frequency_y, defocus_u, defocus_v, defocus_angle, phase_shift,
        voltage=voltage, cs=cs, amplitude_contrast=amplitude_contrast,
    )  # fmt: skip
    values = torch.sin(chi)
    if from_first_peak:
        # Where the spherical aberration outdoes the defocus χ comes back: small phases there are no beginning.
        least = torch.as_tensor(defocus_v, dtype=torch.float64).abs()
        rising = (frequency_x**2 + frequency_y**2) * electron_wavelength(voltage) ** 2 * (cs * 1e7) <= least
        begins = rising & (chi.abs() < 0.5 * math.pi)
        values = torch.where(begins, torch.sign(chi), values)
    return values.to(torch.float32)
