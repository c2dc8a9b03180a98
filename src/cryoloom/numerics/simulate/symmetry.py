"""Point groups as lists of rotations, closed from the axes that RELION and Xmipp use."""

import re

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.poses import rotation_about

Array = NDArray[np.float64]

# Generating axes (x, y, z) with their folds.
_AXES: dict[str, tuple[tuple[tuple[float, float, float], int], ...]] = {
    "T": (((0.0, 0.0, 1.0), 3), ((0.0, 0.816496580927726, 0.577350269189626), 2)),
    "O": (((0.0, 0.0, 1.0), 4), ((1.0, 1.0, 1.0), 3)),
    "I1": (((0.0, 0.0, 1.0), 2), ((0.850650808352040, 0.0, -0.525731112119134), 5)),
    "I2": (((0.0, 0.0, 1.0), 2), ((0.525731112119134, 0.0, 0.850650808352040), 5)),
    "I3": (((0.0, 0.0, 1.0), 5), ((-0.894427190999916, 0.0, 0.447213595499958), 5)),
    "I4": (((0.0, 0.0, 1.0), 5), ((0.894427190999916, 0.0, 0.447213595499958), 5)),
}


def point_group(name: str) -> Array:
    """Return the rotations ``(order, 3, 3)`` of ``Cn``, ``Dn``, ``T``, ``O`` or ``I1`` to ``I4`` (``I`` is ``I2``); the first is 1.

    Raises
    ------
    ValueError
        If `name` is no chiral point group.
    """
    key = name.strip().upper()
    match = re.fullmatch(r"([CD])([1-9]\d*)", key)
    if match:
        axes = [((0.0, 0.0, 1.0), int(match[2]))] + ([((1.0, 0.0, 0.0), 2)] if match[1] == "D" else [])
    else:
        key = "I2" if key == "I" else key
        if key not in _AXES:
            raise ValueError(f"point group {name!r}: expected Cn, Dn, T, O or I1 to I4")
        axes = list(_AXES[key])
    generators = [rotation_about(np.array(axis), 360.0 / fold) for axis, fold in axes]
    group = [np.eye(3)]
    for element in group:  # grows while it is walked: every element meets every generator
        for generator in generators:
            product = element @ generator
            if not any(np.abs(product - known).max() < 1e-6 for known in group):
                group.append(product)
    return np.stack(group)
