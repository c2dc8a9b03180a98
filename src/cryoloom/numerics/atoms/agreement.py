"""All that is said of a model in its map, gathered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.atoms.density import model_density
from cryoloom.numerics.atoms.difference import difference_map
from cryoloom.numerics.atoms.model import Array, Atoms
from cryoloom.numerics.atoms.scores import correlation, model_mask, q_scores, residue_correlations, residue_means, values_at
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.masks.soft import automatic_threshold

Map = NDArray[np.float32]
Curve = NDArray[np.float64]

VOXELS = 2.0
"""Voxels about a residue's atoms without which too few are compared."""


@dataclass(frozen=True)
class Agreement:
    """Model and map.

    Attributes
    ----------
    masked, unmasked
        Shell correlation of map and model within the mask about the model, and of the whole box.
    halves
        That of each half map, masked; empty without half maps.
    resolution
        Å, where `masked` falls below 0.5.
    map_correlation, box_correlation
        Correlation up to the resolution of the map, within the mask and of the box.
    contour, inclusion
        Grey value, and the part of the atoms at which the map is above it.
    q_score
        Mean over the atoms.
    residue_correlation, residue_q, residue_inclusion
        Of each residue; the correlation is within the radius about its atoms, half the resolution at the least.
    difference
        See `difference_map`.
    """

    masked: Curve
    unmasked: Curve
    halves: list[Curve]
    resolution: float
    map_correlation: float
    box_correlation: float
    contour: float
    inclusion: float
    q_score: float
    residue_correlation: Array
    residue_q: Array
    residue_inclusion: Array
    difference: Map


def agreement(
    atoms: Atoms, volume: Map, pixel_size: float, *, resolution: float, radius: float, mass: float, contour: float | None = None,
    halves: tuple[Map, Map] | None = None,
) -> Agreement:  # fmt: skip
    """Compare a model, as it lies, with its map.

    Parameters
    ----------
    atoms, volume, pixel_size, resolution
        The model, from the centre of the box; the map ``(d, d, d)``; Å.
    radius
        Å about atoms that count as the model's.
    mass
        Da, of which the volume is found for the contour where that is None.
    halves
        Half maps in the same hand.
    """
    box = len(volume)
    full = model_density(atoms, box, pixel_size)
    limited = lowpass(full, pixel_size, resolution)
    mask = model_mask(atoms, box, pixel_size, radius)
    masked = fourier_shell_correlation(volume * mask, full * mask)
    each = [fourier_shell_correlation(half * mask, full * mask) for half in halves or ()]
    if contour is None:
        contour = automatic_threshold(volume, box / 2, mass=mass, voxel_volume=pixel_size**3)
    inside = (values_at(volume, atoms.positions, pixel_size) >= contour).astype(np.float64)
    quality = q_scores(atoms, volume, pixel_size)
    shared = fourier_shell_correlation(halves[0], halves[1]) if halves else None
    data = lowpass(volume, pixel_size, resolution)
    around = max(radius, resolution / 2, VOXELS * pixel_size)
    return Agreement(
        masked, fourier_shell_correlation(volume, full), each, resolution_at(masked, 0.5, box, pixel_size),
        correlation(data, limited, mask), correlation(data, limited), contour, float(inside.mean()), float(np.nanmean(quality)),
        residue_correlations(atoms, data, limited, pixel_size, around), residue_means(quality, atoms), residue_means(inside, atoms),
        difference_map(volume, full, mask, pixel_size, resolution=resolution, halves=shared),
    )  # fmt: skip
