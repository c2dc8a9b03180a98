"""Factors of size as exact ratios: both axes of an image change by the same."""

from fractions import Fraction

TOLERANCE = 1e-4
"""Relative difference between the factor asked for and the one that is used, and recorded."""


def exact_ratio(factor: float) -> Fraction:
    """Return a simple fraction within `TOLERANCE` of `factor`: binning by it is exact on both axes.

    Raises
    ------
    ValueError
        For a factor below 1.
    """
    if factor < 1:
        raise ValueError(f"micrographs cannot be enlarged: the factor is {factor}")
    return close_ratio(factor, tolerance=TOLERANCE)


def close_ratio(factor: float, *, tolerance: float) -> Fraction:
    """Return a simple fraction within `tolerance`, relative, of any factor above 0."""
    exact = Fraction(factor)
    return next(near for near in (exact.limit_denominator(1 << power) for power in range(40)) if abs(near / exact - 1) <= tolerance)
