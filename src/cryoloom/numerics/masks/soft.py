"""Soft masks: low-pass, binarise, keep the particle, extend, raised-cosine edge."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryoloom.numerics.filters.maps import lowpass

Map = NDArray[np.float32]

ANGSTROM3_PER_DALTON = 1.21
"""Volume of protein: 0.81 Da/Å³, the inverse of which this is in round numbers (Matthews density 1.35 g/cm³)."""

OPERATIONS: dict[str, Callable[[Map, Map], Map]] = {
    "and": np.minimum,
    "or": np.maximum,
    "and-not": lambda first, second: np.minimum(first, 1 - second),
    "or-not": lambda first, second: np.maximum(first, 1 - second),
}
"""What two soft masks can be joined by."""


def radius_from_centre(box: int) -> Map:
    """Return the distance in voxels from index ``box // 2``, shape ``(d, d, d)``."""
    axis = np.arange(box, dtype=np.float32) - box // 2
    return np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)


def spherical_mask(box: int, radius: float, edge: float) -> Map:
    """Return a sphere of `radius` voxels about the centre with a raised-cosine edge `edge` voxels wide outside it."""
    return cosine_edge(radius_from_centre(box) - radius, edge)


def cosine_edge(distance: NDArray[np.floating], edge: float) -> Map:
    """Return 1 where `distance` ≤ 0, a raised cosine over `edge` voxels, 0 beyond."""
    if edge <= 0:
        return (distance <= 0).astype(np.float32)
    phase = np.clip(distance / edge, 0.0, 1.0)
    return (0.5 * (1.0 + np.cos(np.pi * phase))).astype(np.float32)


def otsu_threshold(values: NDArray[np.floating], *, bins: int = 512) -> float:
    """Return the threshold that best separates `values` in two (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, bins=bins)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    moment = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moment / below - (moment[-1] - moment) / above) ** 2
    return float(centres[int(np.nanargmax(between))])


def automatic_threshold(filtered: Map, radius: float, *, mass: float | None = None, voxel_volume: float = 1.0) -> float:
    """Return the grey value that encloses the particle in a low-passed map.

    Parameters
    ----------
    filtered
        The low-passed map ``(d, d, d)``.
    radius
        Where to look: a sphere of so many voxels about the centre.
    mass
        Da; when known, the threshold encloses its volume. Otherwise Otsu's threshold inside the sphere.
    voxel_volume
        Å³, used with `mass`.
    """
    inside = filtered[radius_from_centre(filtered.shape[0]) <= radius]
    if mass is None:
        return otsu_threshold(inside)
    voxels = int(np.clip(mass * ANGSTROM3_PER_DALTON / voxel_volume, 1, inside.size))
    return float(np.partition(inside, inside.size - voxels)[inside.size - voxels])


def soft_mask(
    volume: Map,
    pixel_size: float,
    *,
    resolution: float = 15.0,
    threshold: float | None = None,
    extend: float = 3.0,
    edge: float = 6.0,
    radius: float | None = None,
    mass: float | None = None,
    least_piece: float = 0.1,
    closing: float = 0.0,
    opening: float = 0.0,
) -> tuple[Map, float]:
    """Return a soft mask around the particle of `volume`, and the threshold used.

    Parameters
    ----------
    volume
        Map ``(d, d, d)``, protein positive.
    pixel_size
        Å per voxel.
    resolution
        Å, low-pass before binarising.
    threshold
        Grey value of the low-passed map; None chooses it (`automatic_threshold`).
    extend, edge
        Voxels: how far 1 reaches beyond the surface (within it where negative), and the width of the raised cosine outside that.
    radius
        Voxels; nothing outside this sphere is particle. None: the box's inscribed sphere.
    mass
        Da, see `automatic_threshold`.
    least_piece
        Pieces smaller than this part of the largest are left out. Flexible parts may hang by a thread that the low-pass broke, so that one
        piece alone would lose them.
    closing, opening
        Voxels: clefts up to twice as wide are filled, then what is thinner than twice as much is taken off.

    Raises
    ------
    ValueError
        When nothing is above the threshold.
    """
    box = volume.shape[0]
    radius = box / 2 - 1 if radius is None else min(radius, box / 2 - 1)
    filtered = lowpass(volume, pixel_size, max(resolution, 2 * pixel_size))
    if threshold is None:
        threshold = automatic_threshold(filtered, radius, mass=mass, voxel_volume=pixel_size**3)
    solid = (filtered > threshold) & (radius_from_centre(box) <= radius)
    labels, count = ndimage.label(solid)
    if count == 0:
        raise ValueError(
            f"no voxel inside radius {radius:.1f} is above the threshold {threshold:.4g}; the map's maximum is {filtered.max():.4g}"
        )
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    solid = ndimage.binary_fill_holes(np.isin(labels, np.flatnonzero(sizes >= max(least_piece * sizes.max(), 1))))
    for width, first in ((closing, 1), (opening, -1)):
        if width > 0:
            solid = grown(grown(solid, first * width), -first * width)
    return cosine_edge(distance_outside(solid) - extend, edge), threshold


def distance_outside(solid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many voxels each voxel lies outside a body; its outermost voxels are at 0, those within below."""
    return np.where(solid, 1.0 - ndimage.distance_transform_edt(solid), ndimage.distance_transform_edt(~solid))


def grown(solid: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
    """Return a body grown by `width` voxels, or shrunk where that is negative; beyond the box there is nothing."""
    room = int(np.ceil(abs(width))) + 1
    inner = (slice(room, -room),) * 3
    return distance_outside(np.pad(solid, room))[inner] <= width


def border_distance(mask: Map) -> int:
    """Return how many voxels lie between the mask and the nearest face of the box."""
    axes = [np.flatnonzero(mask.max(axis=others) > 1e-3) for others in ((1, 2), (0, 2), (0, 1))]
    return int(min(min(indices[0], mask.shape[0] - 1 - indices[-1]) for indices in axes)) if axes[0].size else 0
