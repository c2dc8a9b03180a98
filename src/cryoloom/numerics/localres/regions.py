"""Where resolution is measured, and where noise: masks of the specimen and of what was reconstructed at all."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cryoloom.numerics.localres.monogenic import monogenic_power
from cryoloom.numerics.masks.soft import radius_from_centre

Map = NDArray[np.float32]
Region = NDArray[np.bool_]

BLUR = 0.02
"""Of the box: deviation of the Gaussian under which the automatic mask is found."""
ABOVE = 0.05
"""Of the blurred map's maximum, over the solvent: what is specimen."""
COLLAPSE = 0.01
"""Part of the variance of one shell of radius that the next has, where a map was cut off."""
STRONGER, SPREAD = 0.95, 4.0
"""Quantile of the amplitude outside that specimen exceeds, and deviation in px of the Gaussian under which both are compared."""
TAPER = 1.5
"""px, deviation of the Gaussian that softens the edge of the solvent."""
TYPICAL, FINE_ENOUGH = 0.25, 3.0
"""Part of the specimen's typical power from which a voxel counts as specimen; deviation in px, at least, of the Gaussians of `specimen`."""


def automatic_mask(volume: Map) -> Region:
    """Return where the blurred map exceeds a twentieth of its maximum; the solvent, its median, counts as 0."""
    blurred = np.asarray(ndimage.gaussian_filter(volume - np.median(volume), BLUR * len(volume)))
    return blurred > ABOVE * blurred.max()


def reconstructed(volume: Map) -> Region:
    """Return the inscribed sphere, less what lies beyond a radius at which the variance collapses: corners that were masked out."""
    box = len(volume)
    radius = radius_from_centre(box)
    variance = radial_variance(volume)[: box // 2 + 1]
    cut = np.flatnonzero(variance[1:] < COLLAPSE * variance[:-1])
    return radius < (box // 2 if not cut.size else min(box // 2, cut[0] + 0.5))


def radial_variance(volume: Map) -> NDArray[np.float64]:
    """Return the variance about the solvent (the median) of the voxels at each whole radius from the centre."""
    shells = np.rint(radius_from_centre(len(volume))).astype(np.int32).ravel()
    squares = np.square(volume - np.median(volume)).ravel()
    return np.bincount(shells, squares) / np.maximum(np.bincount(shells), 1)


def outside_variance(volume: Map, mask: Region) -> float:
    """Return the variance in the inscribed sphere outside of a mask, over that inside; a map that was masked has next to none."""
    outside = ~mask & (radius_from_centre(len(volume)) < len(volume) // 2)
    if not outside.any() or not mask.any():
        return 1.0
    inside = float(np.var(volume[mask], dtype=np.float64))
    return float(np.var(volume[outside], dtype=np.float64)) / inside if inside > 0 else 1.0


def solvent_alone(volume: Map, outside: Region) -> tuple[Map, float]:
    """Return a map of nothing but its solvent, about its median, cut out softly, and the mean square of the cut: filters see no specimen in it."""
    taper = np.asarray(ndimage.gaussian_filter(outside.astype(np.float32), TAPER))
    return (volume - np.median(volume[outside])) * taper, float(np.square(taper).mean(dtype=np.float64))


def trimmed_mask(transform: torch.Tensor, mask: Region, outside: Region) -> Region:
    """Return a mask less what is no stronger than what lies outside: all frequencies' amplitudes, blurred, are compared."""
    amplitude = np.asarray(ndimage.gaussian_filter(torch.sqrt(monogenic_power(transform, 0.0)).numpy(), SPREAD))
    return mask & (amplitude > np.quantile(amplitude[outside], STRONGER))


def specimen(volume: Map, noise: Map | None, mask: Region, outside: Region, wavelength: float) -> Region:
    """Return the voxels of a mask that hold specimen, and not the solvent that wide masks take along.

    The map, about its solvent (the median), is blurred to about the resolution; its power around each voxel, less that of noise, must reach a quarter of
    the typical one, which is its mean weighted by itself. All of the mask where nothing stands out.

    Parameters
    ----------
    volume, noise
        The map, and half the difference of its half maps; None takes the power of the solvent `outside`.
    wavelength
        px, of the resolution.
    """

    def power(data: Map) -> Map:
        blurred = np.asarray(ndimage.gaussian_filter(data, max(0.4 * wavelength, 1.0)))
        return np.asarray(ndimage.gaussian_filter(np.square(blurred), max(0.8 * wavelength, FINE_ENOUGH)))

    found = power(volume - np.median(volume))
    found -= power(noise) if noise is not None else np.median(found[outside]) if outside.any() else np.float32(0)
    values = np.maximum(found[mask], 0).astype(np.float64)
    if not values.any():
        return mask
    return mask & (found >= TYPICAL * np.square(values).sum() / values.sum())
