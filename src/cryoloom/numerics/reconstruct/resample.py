"""Bring a map to another box and pixel size."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from cryoloom.numerics.fourier.transforms import resample_volume

Map = NDArray[np.float32]

TOLERANCE = 1e-4
"""Relative error of scale that is accepted: a tenth of a voxel over a box of a thousand."""


def rim_mean(volume: Map) -> float:
    """Return the mean of the outermost voxels of a map ``(d, d, d)``: what lies around it."""
    inner = volume[1:-1, 1:-1, 1:-1]
    return float((volume.sum(dtype=np.float64) - inner.sum(dtype=np.float64)) / (volume.size - inner.size))


def centred_box(volume: Map, box: int, *, fill: float = 0.0) -> Map:
    """Cut or pad (with `fill`) a cubic map ``(d, d, d)`` to `box` voxels, its centre ``d // 2`` going to ``box // 2``."""
    old = volume.shape[0]
    out = np.full((box, box, box), fill, np.float32)
    low = min(old // 2, box // 2)
    high = min(old - old // 2, box - box // 2)
    source, target = slice(old // 2 - low, old // 2 + high), slice(box // 2 - low, box // 2 + high)
    out[target, target, target] = volume[source, source, source]
    return out


def matched(volume: Map, pixel_size: float, box: int, new_pixel_size: float, *, fill: float = 0.0) -> Map:
    """Return `volume` at the box and pixel size of another map, centres and grey values kept.

    The map is first padded to an extent that both pixel sizes divide to within `TOLERANCE`, then cropped or padded in Fourier space.

    Parameters
    ----------
    volume
        ``(d, d, d)``.
    pixel_size, new_pixel_size
        Å.
    box
        Wanted, voxels.
    fill
        What lies around the map.
    """
    ratio = pixel_size / new_pixel_size
    if abs(ratio - 1) <= TOLERANCE:
        return centred_box(volume, box, fill=fill)
    sizes = np.arange(volume.shape[0], volume.shape[0] + 129)
    errors = np.abs(np.round(sizes * ratio) / (sizes * ratio) - 1)
    good = np.flatnonzero(errors <= TOLERANCE)
    size = int(sizes[good[0] if good.size else np.argmin(errors)])
    padded = torch.from_numpy(centred_box(volume, size, fill=fill))
    return centred_box(resample_volume(padded, round(size * ratio)).numpy(), box, fill=fill)


def interpolated(volume: Map, pixel_size: float, box: int, new_pixel_size: float, *, fill: float = 0.0) -> Map:
    """Return what `matched` does by straight lines between voxels: in little memory, without a filter against aliasing; a mask stays within [0, 1]."""
    ratio = new_pixel_size / pixel_size
    offset = len(volume) // 2 - ratio * (box // 2)
    return affine_transform(volume, np.full(3, ratio), offset, output_shape=(box,) * 3, order=1, cval=fill).astype(np.float32)
