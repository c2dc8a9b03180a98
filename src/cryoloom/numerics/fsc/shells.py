"""Shell correlation of two maps and the resolution read from it.

A shell is ``round(|k| · box)``, from 0 to ``box // 2``; shell s stands for ``box · pixel_size / s`` Å. Corners of the cube beyond
Nyquist are left out. Crossings are looked for from low frequency and the first one counts (Rosenthal & Henderson 2003,
doi:10.1016/j.jmb.2003.07.013, for the thresholds).
"""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.fourier.grids import hermitian_weights, shells_3d
from cryoloom.numerics.fourier.transforms import centred_rfft3

Curve = NDArray[np.float64]


def shell_sums(values: NDArray[np.float32], shells: NDArray[np.int64], count: int) -> Curve:
    """Sum half-space `values` ``(d, d, d // 2 + 1)`` over shells 0 … `count` - 1, each conjugate pair counted twice, float64."""
    box = values.shape[0]
    weighted = values * hermitian_weights(box).numpy()
    return np.asarray(np.bincount(shells.ravel(), weights=weighted.ravel(), minlength=count)[:count], dtype=np.float64)


def fourier_shell_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> Curve:
    """Return ``Re Σ F₁F₂* / √(Σ|F₁|² Σ|F₂|²)`` of two maps per shell.

    Parameters
    ----------
    first, second
        Cubic maps ``(d, d, d)`` of one box.

    Returns
    -------
    ndarray
        ``d // 2 + 1`` values in [-1, 1]; shell 0 is 1; a shell in which either map is empty is 0.

    Raises
    ------
    ValueError
        If the maps are not cubes of one size.
    """
    if first.shape != second.shape or len(set(first.shape)) != 1 or first.ndim != 3:
        raise ValueError(f"maps must be cubes of one box; got {first.shape} and {second.shape}")
    one, two = (centred_rfft3(torch.from_numpy(np.ascontiguousarray(m, dtype=np.float32))).numpy() for m in (first, second))
    return transform_correlation(one, two)


def transform_correlation(one: NDArray[np.complex64], two: NDArray[np.complex64]) -> Curve:
    """Return the shell correlation of two half-space transforms ``(d, d, d // 2 + 1)``, as `fourier_shell_correlation`."""
    box = one.shape[0]
    shells = shells_3d(box).numpy()
    cross, power_one, power_two = (
        shell_sums(values, shells, box // 2 + 1)
        for values in (
            one.real * two.real + one.imag * two.imag,
            one.real**2 + one.imag**2,
            two.real**2 + two.imag**2,
        )
    )
    scale = np.sqrt(power_one * power_two)
    curve = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    curve[0] = 1.0
    return curve


def shell_frequencies(box: int, pixel_size: float) -> Curve:
    """Return the spatial frequency in 1/Å of shells 0 … ``box // 2``."""
    return np.arange(box // 2 + 1) / (box * pixel_size)


def crossing_shell(fsc: Curve, threshold: float) -> int:
    """Return the last shell before the curve first falls below `threshold`; the last shell of all when it never does."""
    below = np.flatnonzero(~(np.asarray(fsc)[1:] >= threshold))  # a NaN counts as below
    return int(below[0]) if below.size else len(fsc) - 1


def recovered_shell(fsc: Curve, threshold: float, shells: int = 3) -> int | None:
    """Return the last shell at or above `threshold` after a dip, when the curve recovers for more than `shells` shells in a row.

    Such a curve deserves a warning: a mask that is too tight, a zero of the transfer function common to all images, or particles
    present in both halves. None when the first crossing is the only one.
    """
    above = np.asarray(fsc) >= threshold
    last, run = None, 0
    for shell in range(crossing_shell(fsc, threshold) + 1, len(above)):
        run = run + 1 if above[shell] else 0
        if run > shells:
            last = shell
    return last


def resolution_at(fsc: Curve, threshold: float, box: int, pixel_size: float, *, interpolated: bool = False) -> float:
    """Return the resolution in Å at which a shell correlation falls below `threshold`.

    Parameters
    ----------
    fsc
        Curve over shells 0 … ``box // 2``.
    threshold
        0.143 for independent halves, 0.5 for a map against truth.
    box, pixel_size
        Of the maps, in px and Å/px.
    interpolated
        Read the crossing between shells instead of taking the last shell before it (the default, which never flatters).

    Returns
    -------
    float
        In Å. Nyquist when the curve never falls below; the box's extent when not even shell 1 holds.
    """
    curve = np.asarray(fsc, dtype=np.float64)
    shell = float(crossing_shell(curve, threshold))
    if interpolated and shell + 1 < len(curve):
        high, low = curve[int(shell)], curve[int(shell) + 1]
        shell += (high - threshold) / (high - low) if high > low else 0.0
    return box * pixel_size / max(shell, 1.0)
