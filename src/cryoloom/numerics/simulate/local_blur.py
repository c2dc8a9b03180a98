"""Maps of which every place has a resolution of its own, that is known: low-passed or blurred place by place."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Map = NDArray[np.float32]

EDGE = 1.0
"""Shells that the edge of a local low-pass takes."""
BANK = 24
"""Low-passes between which each place takes a mean of two."""


def locally_low_passed(volume: Map, pixel_size: float, resolution: Map) -> Map:
    """Return a map each place of which holds detail to its own resolution.

    Parameters
    ----------
    volume, resolution
        ``(d, d, d)``; Å. Frequencies in between those of the bank are interpolated.
    """
    box = len(volume)
    edges = np.linspace(box * pixel_size / resolution.max(), box * pixel_size / resolution.min(), BANK)
    place = np.interp(box * pixel_size / resolution, edges, np.arange(BANK))
    return _mixed(volume, place, [np.clip((edge - _radius(box)) / EDGE + 0.5, 0, 1) for edge in edges])


def locally_blurred(volume: Map, pixel_size: float, b_factor: Map) -> Map:
    """Return a map each place of which is blurred by its own B-factor (Å², of amplitudes ``exp(-B s² / 4)``)."""
    box = len(volume)
    levels = np.linspace(b_factor.min(), b_factor.max(), BANK)
    frequency = _radius(box) / (box * pixel_size)
    return _mixed(volume, np.interp(b_factor, levels, np.arange(BANK)), [np.exp(-level * frequency**2 / 4) for level in levels])


def _mixed(volume: Map, place: NDArray[np.floating], factors: list[NDArray[np.floating]]) -> Map:
    transform, out = fft.rfftn(volume), np.zeros_like(volume)
    for number, factor in enumerate(factors):
        weight = np.clip(1 - np.abs(place - number), 0, 1)
        if weight.any():
            out += weight * fft.irfftn(transform * factor, s=volume.shape)
    return out.astype(np.float32)


def _radius(box: int) -> Map:
    """Return the distance of coefficients from the origin in shells, ``(d, d, d // 2 + 1)``."""
    axis, half = fft.fftfreq(box, 1 / box), fft.rfftfreq(box, 1 / box)
    return np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half[None, None, :] ** 2).astype(np.float32)
