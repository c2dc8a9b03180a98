"""Whether transfer functions fitted twice are one: to which resolution their phases agree.

After Marabini et al., J. Struct. Biol. 190:348 (2015).
"""

import math
from collections.abc import Sequence

import numpy as np

from cryoloom.numerics.ctf.rings import Astigmatic


def agreement_resolution(one: Astigmatic, two: Astigmatic, wavelength: float) -> float:
    """Return in Å where two CTFs are 90° apart, at the azimuth where they are first: ``√(2λ|Δf₁ - Δf₂|)`` without a phase plate.

    Infinite where the plates alone are that far apart; 0 for equal ones.
    """
    mean, apart = one.mean - two.mean, math.hypot(one.a - two.a, one.b - two.b)
    plate = (one.plate - two.plate + math.pi / 2) % math.pi - math.pi / 2
    found = [_resolution(defocus, plate, wavelength) for defocus in (mean + apart, mean - apart)]
    return max(found)


def _resolution(defocus: float, plate: float, wavelength: float) -> float:
    """Return 1/s at the first s with ``|π λ s² defocus + plate|`` a quarter turn."""
    signed = plate if defocus >= 0 else -plate
    room = math.pi / 2 - signed
    return math.sqrt(math.pi * wavelength * abs(defocus) / room) if room > 1e-9 else math.inf


def mean_ctf(fits: Sequence[Astigmatic]) -> Astigmatic:
    """Return the mean: of the defocus along every azimuth, and of the plates as phases modulo half a turn."""
    mean, a, b = (float(np.mean([getattr(fit, name) for fit in fits])) for name in ("mean", "a", "b"))
    first = fits[0].plate
    turned = [(fit.plate - first + math.pi / 2) % math.pi - math.pi / 2 for fit in fits]
    return Astigmatic(mean, a, b, first + float(np.mean(turned)))
