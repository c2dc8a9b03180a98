"""How the images of an optics group were made, and the transfer function that follows from it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.ctf.aberration import coma
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
    beam_tilt
        x, y in mrad: images are freed of it as they are transformed.
    """

    voltage: float
    cs: float
    amplitude_contrast: float
    phase_flipped: bool = False
    premultiplied: bool = False
    from_first_peak: bool = False
    phases_only: bool = False
    finest: float = 0.0
    beam_tilt: tuple[float, float] = (0.0, 0.0)

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

    def correction(self, frequency_x: NDArray[np.float32], frequency_y: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Return the factors that free transforms of the beam tilt, at frequencies in 1/Å."""
        along_x, along_y = coma(frequency_x, frequency_y, voltage=self.voltage, cs=self.cs)
        return np.exp(1j * (self.beam_tilt[0] * along_x + self.beam_tilt[1] * along_y)).astype(np.complex64)
