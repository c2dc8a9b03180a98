"""Maps made small enough for the browser to draw their surface."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.raster import grey_between
from cryoloom.server.render.asset import RAW, Asset, Rendered, demand_size
from cryoloom.server.render.blocks import block_mean
from cryoloom.server.render.volumes import Map
from cryoloom.spec import WrongUse

LARGEST = 320
"""Voxels a side of a brick: half precision then fits an answer."""
FOURIER = 300
"""Voxels a side up to which maps are cropped in Fourier space; the transform of a larger one takes too long and too much memory."""
TYPES = {"u1": 1, "f2": 2}


def brick(chosen: Map, size: int, kind: str) -> Asset:
    """Return a map of `size` voxels an axis at most: ``[z, y, x]``, little-endian.

    A cubic map of up to `FOURIER` voxels is cropped in Fourier space to `size`, any other averaged over whole blocks.

    Parameters
    ----------
    kind
        ``u1``: 0 to 255 from ``X-Min`` to ``X-Max``. ``f2``: half precision, values beyond its range at its ends.

    Returns
    -------
    Asset
        Headers: ``X-Shape`` (z,y,x), ``X-Min``, ``X-Max`` (of the brick), ``X-Voxel-Size`` (Å; the factor to the map's own voxels where they are not
        known) and ``X-Origin`` (x,y,z: centre of the brick's first voxel, in the same unit, from that of the map's first one).

    Raises
    ------
    WrongUse
        ``bad-brick``, ``too-large``.
    """
    if kind not in TYPES or not 16 <= size <= LARGEST:
        raise WrongUse("bad-brick", f"There is no brick of {size} voxels of type {kind}.", f"16 to {LARGEST} voxels; u1 or f2.")
    demand_size(size**3 * TYPES[kind], "Ask for a smaller brick.")

    def make() -> Rendered:
        small, factor, origin = smaller(chosen.voxels(), size)
        unit = chosen.pixel_size or 1.0
        finite = small[np.isfinite(small)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        told = {
            "X-Shape": ",".join(map(str, small.shape)),
            "X-Min": repr(low),
            "X-Max": repr(high),
            "X-Voxel-Size": f"{factor * unit:.6g}",
            "X-Origin": ",".join(f"{place * unit:.6g}" for place in origin),
        }
        ends = np.finfo(np.float16)
        halves = small if kind == "u1" else np.clip(np.nan_to_num(small, nan=low), ends.min, ends.max).astype("<f2")
        return Rendered((grey_between(small, low, high) if kind == "u1" else halves).tobytes(), RAW, told)

    return Asset((*chosen.stamp, "brick", size, kind), make, kept=True)


def smaller(voxels: NDArray[Any], size: int) -> tuple[NDArray[np.float32], float, tuple[float, float, float]]:
    """Return a map of `size` voxels an axis at most, voxels of the map in one of its, and where its first voxel lies (x, y, z; voxels of the map)."""
    import torch

    from cryoloom.numerics.fourier.transforms import resample_volume

    largest = max(voxels.shape)
    if largest <= size:
        return np.asarray(voxels, dtype=np.float32), 1.0, (0.0, 0.0, 0.0)
    if len(set(voxels.shape)) == 1 and largest <= FOURIER:
        whole = np.nan_to_num(np.ascontiguousarray(voxels, dtype=np.float32))
        factor = largest / size
        first = largest // 2 - factor * (size // 2)  # the centres, side // 2, lie on one another
        return resample_volume(torch.from_numpy(whole), size).numpy(), factor, (first, first, first)
    factor = math.ceil(largest / size)
    first = (factor - 1) / 2
    return block_mean(voxels, factor), float(factor), (first, first, first)
