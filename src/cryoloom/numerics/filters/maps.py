"""Radial filters of cubic maps: low-pass with a raised-cosine edge, B-factor, any curve over shells."""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.fourier.grids import frequencies_3d, shells_3d
from cryoloom.numerics.fourier.transforms import centred_irfft3, centred_rfft3

Map = NDArray[np.float32]


def multiply_shells(volume: Map, curve: NDArray[np.float64]) -> Map:
    """Multiply the transform of `volume` ``(d, d, d)`` by `curve`, given at whole shells 0, 1, 2 …, linear in between, 0 beyond."""
    box = volume.shape[0]
    kz, ky, kx = frequencies_3d(box, dtype=torch.float64)
    radius = (torch.sqrt(kz * kz + ky * ky + kx * kx) * box).numpy()
    factor = np.interp(radius, np.arange(len(curve)), curve, right=0.0).astype(np.float32)
    transform = centred_rfft3(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)))
    return centred_irfft3(transform * torch.from_numpy(factor), box).numpy()


def shell_amplitude(volume: Map) -> NDArray[np.float64]:
    """Return the mean amplitude of a map's coefficients over shells 0 … ``box // 2``; a map's mean has shell 0."""
    transform = centred_rfft3(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))).abs().numpy()
    box = volume.shape[0]
    shells = shells_3d(box).numpy().ravel()
    return (np.bincount(shells, transform.ravel()) / np.maximum(np.bincount(shells), 1))[: box // 2 + 1]


def lowpass_curve(box: int, pixel_size: float, resolution: float, *, edge: float = 2.0) -> NDArray[np.float64]:
    """Return a low-pass over shells: 1, then a raised cosine `edge` shells wide centred on `resolution` (Å), then 0."""
    shells = np.arange(box // 2 + 1, dtype=np.float64)
    start = box * pixel_size / resolution - edge / 2
    phase = np.clip((shells - start) / edge, 0.0, 1.0)
    return 0.5 * (1.0 + np.cos(np.pi * phase))


def band_curve(
    box: int, pixel_size: float, *, low: float | None = None, high: float | None = None, b_factor: float = 0.0, edge: float = 2.0
) -> NDArray[np.float64]:
    """Return over shells what keeps detail between `low` and `high` (Å, None: no limit), edges as `lowpass_curve`, times ``exp(-B s² / 4)``.

    Shell 0, the mean, is kept unless there is a coarse limit `low`.
    """
    curve = np.ones(box // 2 + 1)
    if high is not None:
        curve = curve * lowpass_curve(box, pixel_size, high, edge=edge)
    if low is not None:
        curve = curve * (1.0 - lowpass_curve(box, pixel_size, low, edge=edge))
    frequency = np.arange(box // 2 + 1) / (box * pixel_size)
    return curve * np.exp(-b_factor * frequency**2 / 4)


def lowpass(volume: Map, pixel_size: float, resolution: float, *, edge: float = 2.0) -> Map:
    """Low-pass `volume` at `resolution` (Å) with a raised cosine `edge` shells wide."""
    return multiply_shells(volume, lowpass_curve(volume.shape[0], pixel_size, resolution, edge=edge))
