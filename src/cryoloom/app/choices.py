"""The defaults that `cryoloom process` chooses from the data: pure functions, each with its reason."""

from dataclasses import dataclass

from cryoloom.numerics.particles.boxes import fast_box

LEAST_PARTICLES = 50
"""Fewer cannot carry a first map."""


@dataclass(frozen=True)
class Extraction:
    """A box in output pixels and the factor by which micrographs are binned before cutting."""

    box_size: int
    bin: float


def box_extent(diameter: float) -> float:
    """Return the extent of the box in Å: the particle, and room for what the CTF spreads around it."""
    return 1.6 * diameter


def full_extraction(diameter: float, pixel_size: float) -> Extraction:
    """Return the box at the micrographs' own pixel size."""
    return Extraction(fast_box(box_extent(diameter) / pixel_size), 1.0)


def binned_extraction(diameter: float, pixel_size: float) -> Extraction:
    """Return the box for classification and the first volume.

    About 36 pixels across the particle tell views apart and need no finer sampling; coarser than 5 Å/px would lose the shape
    of helices, which is what a reader judges class averages by.
    """
    coarse = max(pixel_size, min(diameter / 36, 5.0))
    return Extraction(fast_box(box_extent(diameter) / coarse), coarse / pixel_size)


def class_count(particles: int) -> int:
    """Return K of the 2D classification: about one class for 80 particles, between 8 and 64, but 20 particles a class at the least."""
    return max(2, min(64, max(8, round(particles / 80)), particles // 20))


def mask_diameter(diameter: float, box_size: int, pixel_size: float) -> float:
    """Return the diameter of the circular mask in Å: a fifth wider than the particle, within the box."""
    return min(1.2 * diameter, 0.96 * box_size * pixel_size)


def initial_lowpass(diameter: float) -> float:
    """Return the low-pass of the first reference in Å: it keeps the shape (a fifth of the diameter) and no detail to be biased by."""
    return min(60.0, max(20.0, diameter / 5))
