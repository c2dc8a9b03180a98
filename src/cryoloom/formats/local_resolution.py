"""Maps whose resolution is measured place by place, as they are stored: whole, halves and masks of one grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.data import Mask, Volume
from cryoloom.formats.map_sets import rows_of, stored_map
from cryoloom.spec import Failure

Map = NDArray[np.float32]
HALVES = ("half_map1_path", "half_map2_path")
ALIKE = 0.005
"""Relative difference of pixel sizes that is none."""


@dataclass(frozen=True)
class Measured:
    """A map and its half maps ``(d, d, d)``, None where there are none or they are not asked for.

    Attributes
    ----------
    whole
        Mean of the half maps, or the map.
    pixel_size, origin
        Å.
    warnings
        What the user should know.
    """

    whole: Map
    halves: tuple[Map, Map] | None
    pixel_size: float
    origin: tuple[float, float, float]
    warnings: list[str]


def measured_maps(volume: Volume, *, halves: bool) -> Measured:
    """Read the first map of a set, or its half maps.

    Raises
    ------
    Failure
        ``half-map-missing`` for one of two, ``half-maps-differ``, ``half-maps-same``, and what `stored_map` raises.
    """
    row = rows_of(volume)[0]
    there = [name for name in HALVES if row.get(name)]
    if len(there) == 1:
        raise Failure("half-map-missing", f"{row['volume_path']} has only one half map, {row[there[0]]}.", "Import it with both.")
    if not there or not halves:
        shown = stored_map(volume, row)
        warning = (
            "The noise is that of the solvent alone: what half maps would tell is not known, and the resolutions are no gold standard."
        )
        return Measured(shown.data, None, shown.pixel_size, shown.origin, [warning])
    first, second = (stored_map(volume, row, name) for name in HALVES)
    if first.data.shape != second.data.shape:
        text = f"The half maps of {row['volume_path']} have {len(first.data)} and {len(second.data)} voxels a side."
        raise Failure("half-maps-differ", text, "Give two half maps of one refinement.")
    if np.corrcoef(first.data[::2, ::2, ::2].ravel(), second.data[::2, ::2, ::2].ravel())[0, 1] > 0.999999:
        raise Failure(
            "half-maps-same",
            "The two half maps are the same map: there is no noise in their difference.",
            "Give two independent half maps.",
        )
    return Measured((first.data + second.data) / np.float32(2), (first.data, second.data), first.pixel_size, first.origin, [])


def region_of(mask: Mask | None, measured: Measured, threshold: float) -> NDArray[np.bool_] | None:
    """Return where a mask reaches a threshold, None for no mask.

    Raises
    ------
    Failure
        ``mask-box``, ``mask-pixel-size``, ``mask-range``, ``mask-empty``.
    """
    if mask is None:
        return None
    stored, box = stored_map(mask, rows_of(mask)[0]), len(measured.whole)
    path = stored.row["mask_path"]
    if len(stored.data) != box:
        raise Failure("mask-box", f"{path} has {len(stored.data)} voxels a side, the map {box}.", "Make the mask from this map.")
    if abs(stored.pixel_size / measured.pixel_size - 1) > ALIKE:
        text = f"{path} has voxels of {stored.pixel_size:.4g} Å, the map of {measured.pixel_size:.4g} Å."
        raise Failure("mask-pixel-size", text, "Make the mask from this map.")
    low, high = float(stored.data.min()), float(stored.data.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise Failure("mask-range", f"{path} goes from {low:.3g} to {high:.3g}; a mask lies in [0, 1].", "Make it with postprocess.mask.")
    inside = stored.data >= threshold
    if not inside.any():
        raise Failure("mask-empty", f"{path} nowhere reaches {threshold:g}.", "Lower the mask threshold.")
    return inside
