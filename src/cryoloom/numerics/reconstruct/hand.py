"""The other hand of a map."""

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def mirrored_map(volume: Map) -> Map:
    """Return ``V'(x, y, z) = V(x, y, -z)`` of a map ``(d, d, d)``, about index ``d // 2`` of an odd or even box; its own inverse.

    Its poses are those of `cryoloom.numerics.geometry.euler.flip_hand`. The first section of an even box has no mate and stays.
    """
    mirrored = volume[::-1]
    return np.ascontiguousarray(np.roll(mirrored, 1, axis=0) if len(volume) % 2 == 0 else mirrored)
