"""Bring a map to another box and pixel size."""

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.fourier.transforms import resample_volume

Map = NDArray[np.float32]

TOLERANCE = 1e-4
"""Relative error of scale that is accepted: a tenth of a voxel over a box of a thousand."""


def centred_box(volume: Map, box: int) -> Map:
    """Cut or pad (with zeros) a cubic map ``(d, d, d)`` to `box` voxels, its centre ``d // 2`` going to ``box // 2``."""
    old = volume.shape[0]
    out = np.zeros((box, box, box), np.float32)
    low = min(old // 2, box // 2)
    high = min(old - old // 2, box - box // 2)
    source, target = slice(old // 2 - low, old // 2 + high), slice(box // 2 - low, box // 2 + high)
    out[target, target, target] = volume[source, source, source]
    return out


def matched(volume: Map, pixel_size: float, box: int, new_pixel_size: float) -> Map:
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
    """
    ratio = pixel_size / new_pixel_size
    if abs(ratio - 1) <= TOLERANCE:
        return centred_box(volume, box)
    sizes = np.arange(volume.shape[0], volume.shape[0] + 129)
    errors = np.abs(np.round(sizes * ratio) / (sizes * ratio) - 1)
    good = np.flatnonzero(errors <= TOLERANCE)
    size = int(sizes[good[0] if good.size else np.argmin(errors)])
    padded = torch.from_numpy(centred_box(volume, size))
    return centred_box(resample_volume(padded, round(size * ratio)).numpy(), box)
