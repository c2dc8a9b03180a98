"""Sizes of boxes: fast ones, even ones, and what a box is in pixels before and after binning."""

import math
from dataclasses import dataclass
from fractions import Fraction

FAST_BOXES = tuple(sorted(2**a * 3**b * 5**c for a in range(1, 11) for b in range(5) for c in range(4) if 32 <= 2**a * 3**b * 5**c <= 1024))
"""Even sizes whose transforms are fast."""

TOLERANCE = 1e-6
"""Relative difference between a pixel size asked for and the one that boxes have."""
ROOM = 1.5
"""Diameters of the particle in a box that leaves its background, and what the CTF spreads, room."""


def fast_box(pixels: float) -> int:
    """Return the smallest fast even box that is not below `pixels`."""
    return next((box for box in FAST_BOXES if box >= pixels - 1e-6), 2 * math.ceil(pixels / 2))


def even_box(pixels: float) -> int:
    """Return the nearest even number, the larger of two."""
    return 2 * math.floor(pixels / 2 + 0.5 + 1e-6)


@dataclass(frozen=True)
class BoxSampling:
    """A box and how it is sampled.

    Attributes
    ----------
    size
        Output px, even.
    ratio
        By which micrographs are binned.
    pixel_size
        Å/px of the micrographs.
    """

    size: int
    ratio: Fraction
    pixel_size: float

    @property
    def output_pixel_size(self) -> float:
        """Return Å/px of the boxes."""
        return self.pixel_size * float(self.ratio)

    @property
    def extent(self) -> float:
        """Return its side in Å."""
        return self.size * self.output_pixel_size

    @property
    def input_pixels(self) -> float:
        """Return its side in px of the micrographs."""
        return float(self.size * self.ratio)

    def __str__(self) -> str:
        """Return it in all units: which of them a number means has been a trap in many forms."""
        told = f"{self.size} px of {self.output_pixel_size:.4g} Å"
        if self.ratio != 1:
            told += f" = {self.input_pixels:.4g} px of {self.pixel_size:.4g} Å"
        return f"{told} = {self.extent:.1f} Å"
