"""How the images of an optics group were made, and the transfer function that follows from it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.ctf.model import ctf


@dataclass(frozen=True)
class Optics:
    """What the images of an optics group share.

    Attributes
    ----------
    voltage, cs, amplitude_contrast
        kV, mm, fraction.
    phase_flipped
        The images were multiplied by the sign of their CTF: it counts as |CTF|.
    premultiplied
        The images were multiplied by their CTF.
    from_first_peak
        Take the CTF as 1 up to its first peak.
    phases_only
        Take it as +1 and -1 only.
    finest
        Å to which an `ImageSet` takes the images to hold anything: more than twice the pixel size where they were recorded with larger pixels.
    """

    voltage: float
    cs: float
    amplitude_contrast: float
    phase_flipped: bool = False
    premultiplied: bool = False
    from_first_peak: bool = False
    phases_only: bool = False
    finest: float = 0.0

    def transfer(self, frequency_x: Tensor, frequency_y: Tensor, *defocus: Tensor) -> Tensor:
        """Return the CTF that the images show, float64, broadcast over all arguments.

        Parameters
        ----------
        frequency_x, frequency_y
            1/Å.
        defocus
            ``defocus_u``, ``defocus_v`` (Å), ``defocus_angle``, ``phase_shift`` (degrees).
        """
        values = ctf(
            frequency_x, frequency_y, *defocus, voltage=self.voltage, cs=self.cs, amplitude_contrast=self.amplitude_contrast,
            from_first_peak=self.from_first_peak,
        )  # fmt: skip
        if self.phases_only:
            values = torch.sign(values)
        return values.abs() if self.phase_flipped else values
