"""What the images have told about a map: weighted sums on the grid, and the ways to divide them.

`data` is ``Σ w · CTF · X · exp(-2πi k·d) / σ²`` and `weight` ``Σ w · CTF² / σ²``, both spread with the trilinear weights (Scheres 2012,
doi:10.1016/j.jsb.2012.09.006). A shell is ``round(|k|)`` in cycles per box.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.reconstruct.grids import Map, map_from_transform
from cryoloom.numerics.reconstruct.kernels import PAD

Sums = NDArray[np.float32]
Curve = NDArray[np.float64]

FLOOR = 0.1
"""Smallest divisor of an unfiltered map, as a fraction of the shell's mean weight: cells that hardly any image has seen stay small."""


@lru_cache(maxsize=4)
def grid_shells(size: int) -> NDArray[np.int16]:
    """Return the shell of every cell of a half-space grid of `size` rows, shape ``(size, size, size // 2 + 1)``."""
    c = size // 2
    axis = (np.arange(size, dtype=np.float32) - c) ** 2
    squared = axis[:, None, None] + axis[None, :, None] + axis[None, None, c:]
    return np.round(np.sqrt(squared) / PAD).astype(np.int16)


def shell_means(values: NDArray[np.float32], shells: NDArray[np.int16], last: int) -> Curve:
    """Return the mean of `values` over the cells of shells 0 … `last`."""
    flat = np.minimum(shells.ravel(), last + 1)
    total = np.bincount(flat, weights=values.ravel(), minlength=last + 2)
    return np.asarray(total[: last + 1] / np.maximum(np.bincount(flat, minlength=last + 2)[: last + 1], 1), dtype=np.float64)


def mean_weights(sums: Sums, last: int) -> Curve:
    """Return the mean weight a cell of shells 0 … `last` has received."""
    return shell_means(sums[..., 2], grid_shells(sums.shape[0]), last)


def divided(sums: Sums, last: int, box: int, full_box: int, *, ssnr: Curve | None = None) -> Map:
    """Return the map of `sums` out to shell `last`.

    Parameters
    ----------
    sums
        Grid ``(…, 4)``, mates added.
    last
        Shells beyond are left out.
    box, full_box
        Of the map to be made, and of the images.
    ssnr
        Signal to noise power of the map a shell, 0 … `last`: the division is then Wiener's, ``data / (weight + mean weight / ssnr)``, and
        a shell of no signal vanishes. None gives the unfiltered map, ``data / max(weight, floor)``.

    Returns
    -------
    ndarray
        ``(box, box, box)`` float32, in the grey values that make its projections match the images.
    """
    shells = grid_shells(sums.shape[0])
    weight, mean = sums[..., 2], mean_weights(sums, last)
    inside = np.minimum(shells, last)
    if ssnr is None:
        divisor = np.maximum(weight, (FLOOR * mean).astype(np.float32)[inside])
    else:
        prior = mean / np.maximum(ssnr[: last + 1], 1e-12)
        divisor = weight + prior.astype(np.float32)[inside]
    factor = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=(divisor > 0) & (shells <= last))
    transform = np.empty(weight.shape, np.complex64)
    transform.real = sums[..., 0] * factor
    transform.imag = sums[..., 1] * factor
    return map_from_transform(transform, box, full_box)


def join_low_shells(first: Sums, second: Sums, last: int) -> None:
    """Replace shells 0 … `last` of both halves by their mean, in place, so that their frames cannot drift apart."""
    low = grid_shells(first.shape[0]) <= last
    mean = 0.5 * (first[low] + second[low])
    first[low] = mean
    second[low] = mean


def joined_ssnr(fsc: Curve, *, combined: bool = False) -> Curve:
    """Return ``f / (1 - f)`` of a half-map curve clipped to [0.001, 0.999]; of both halves together (``2f / (1 + f)``) when `combined`."""
    f = np.clip(fsc, 0.001, 0.999)
    if combined:
        f = 2 * f / (1 + f)
    return f / (1 - f)
