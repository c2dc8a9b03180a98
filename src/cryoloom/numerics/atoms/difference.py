"""What a map shows beyond its model, and what it lacks."""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.filters.maps import lowpass_curve
from cryoloom.numerics.fourier.grids import shells_3d
from cryoloom.numerics.fourier.transforms import centred_irfft3, centred_rfft3
from cryoloom.numerics.fsc.shells import shell_sums

Map = NDArray[np.float32]
Curve = NDArray[np.float64]
Coefficients = NDArray[np.complex64]


def difference_map(volume: Map, density: Map, mask: Map, pixel_size: float, *, resolution: float, halves: Curve | None = None) -> Map:
    """Return ``F_map - D · F_model``, every shell weighted by how much of it is signal, in standard deviations within `mask`.

    Parameters
    ----------
    volume, density
        The map and the model's density, ``(d, d, d)``. D puts them on one scale: ``Re Σ F_map F_model* / Σ |F_model|²`` of each shell.
    mask
        In [0, 1].
    pixel_size, resolution
        Å; finer shells are left out.
    halves
        Fourier shell correlation of the half maps; a shell is divided by its deviation and multiplied by ``2 f / (1 + f)``. None: 1.
    """
    box = len(volume)
    shells, count = shells_3d(box).numpy(), box // 2 + 1
    one, left = _left_over(volume, density)
    deviation = np.sqrt(shell_sums(one.real**2 + one.imag**2, shells, count) / np.maximum(_members(shells, count), 1))
    signal = np.ones(count) if halves is None else np.clip(2 * halves / (1 + np.maximum(halves, 0.0)), 0.0, 1.0)
    weight = np.divide(signal * lowpass_curve(box, pixel_size, resolution), deviation, out=np.zeros(count), where=deviation > 0)
    weight[0] = 0.0
    out = centred_irfft3(torch.from_numpy((left * _spread(weight, shells)).astype(np.complex64)), box).numpy()
    inside = mask > 0.5
    return (out / max(float(out[inside].std()) if inside.any() else float(out.std()), 1e-30)).astype(np.float32)


def remainder(volume: Map, density: Map) -> Map:
    """Return what a map ``(d, d, d)`` shows beyond a model's density, up to Nyquist, unweighted."""
    return centred_irfft3(torch.from_numpy(_left_over(volume, density)[1].astype(np.complex64)), len(volume)).numpy()


def _left_over(volume: Map, density: Map) -> tuple[Coefficients, Coefficients]:
    """Return the transform of a map, and that less the model's on the same scale."""
    box = len(volume)
    shells, count = shells_3d(box).numpy(), box // 2 + 1
    one, two = (centred_rfft3(torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32))).numpy() for each in (volume, density))
    own, cross = (shell_sums(each, shells, count) for each in (two.real**2 + two.imag**2, one.real * two.real + one.imag * two.imag))
    scale = np.divide(cross, own, out=np.zeros(count), where=own > 1e-12 * own.max())
    return one, one - _spread(scale, shells) * two


def _members(shells: NDArray[np.int64], count: int) -> Curve:
    return shell_sums(np.ones(shells.shape, np.float32), shells, count)


def _spread(curve: Curve, shells: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a curve over shells at every coefficient, 0 beyond its end."""
    return np.append(curve, 0.0).astype(np.float32)[np.minimum(shells, len(curve))]
