"""How well a model and a map agree: as wholes, residue by residue, atom by atom."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter
from scipy.spatial import cKDTree

from cryoloom.numerics.atoms.model import Array, Atoms
from cryoloom.numerics.masks.soft import cosine_edge

Map = NDArray[np.float32]

Q_WIDTH = 0.6
"""Å, standard deviation of the profile that a well resolved atom has (Pintilie et al. 2020, doi:10.1038/s41592-020-0731-1)."""
Q_RADII = np.arange(0.0, 2.05, 0.1)
"""Å from the atom at which the map is read."""
Q_POINTS, Q_TRIED = 8, 32
"""Points that are read at each distance, and those of which they are the ones nearer to their atom than to any other."""


def model_mask(atoms: Atoms, box: int, pixel_size: float, radius: float, edge: float = 3.0) -> Map:
    """Return a mask ``(box, box, box)`` that is 1 within `radius` Å of an atom and falls over `edge` voxels outside."""
    distance = _nearest(atoms.positions / pixel_size + box // 2, box, radius / pixel_size + edge)
    return cosine_edge(distance - radius / pixel_size, edge)


def correlation(first: Map, second: Map, mask: Map | None = None) -> float:
    """Return the correlation of two maps about their means, each voxel weighted by `mask`."""
    weight = np.ones_like(first) if mask is None else mask
    total = float(weight.sum(dtype=np.float64)) or 1.0
    one, two = (each - float((weight * each).sum(dtype=np.float64)) / total for each in (first, second))
    cross, a, b = (float((weight * p * q).sum(dtype=np.float64)) for p, q in ((one, two), (one, one), (two, two)))
    return cross / max(np.sqrt(a * b), 1e-30)


def residue_correlations(atoms: Atoms, volume: Map, density: Map, pixel_size: float, radius: float) -> Array:
    """Return the correlation of map and model density within `radius` Å of each residue's atoms, in the order of the residues."""
    _, first, count = np.unique(atoms.residues, return_index=True, return_counts=True)
    out = np.empty(len(first))
    _residue_correlations(volume, density, atoms.positions / pixel_size + len(volume) // 2, first, first + count, radius / pixel_size, out)
    return out


def values_at(volume: Map, positions: Array, pixel_size: float) -> Array:
    """Return the map, by cubic splines, at ``(..., 3)`` x, y, z in Å from the centre of the box; 0 outside."""
    places = positions.reshape(-1, 3)[:, ::-1].T / pixel_size + len(volume) // 2
    found = map_coordinates(spline_filter(volume, output=np.float32), places, order=3, prefilter=False)
    return np.asarray(found, np.float64).reshape(positions.shape[:-1])


def q_scores(atoms: Atoms, volume: Map, pixel_size: float) -> Array:
    """Return for each atom how much the map around it looks like an atom well resolved: 1 as one does, 0 not at all.

    The map is read up to 2 Å from the atom, at points that are nearer to it than to any other atom, and correlated about the mean with a Gaussian
    of `Q_WIDTH`. An atom with too few such points gets NaN.
    """
    tree = cKDTree(atoms.positions)
    sphere = _even_directions(Q_TRIED)
    count = len(atoms.positions)
    places, kept = np.empty((count, len(Q_RADII), Q_POINTS, 3)), np.zeros((count, len(Q_RADII), Q_POINTS), bool)
    places[:, 0], kept[:, 0] = atoms.positions[:, None], True
    for number, radius in enumerate(Q_RADII[1:], 1):
        points = atoms.positions[:, None] + radius * sphere
        mine = np.isinf(tree.query(points, distance_upper_bound=radius - 1e-6)[0])
        order = np.argsort(~mine, axis=1, kind="stable")
        # Spread over the sphere: of the points that are its own every so manieth is taken.
        owned = mine.sum(axis=1)
        pick = (np.arange(Q_POINTS) * np.maximum(owned, 1)[:, None]) // Q_POINTS
        chosen = np.take_along_axis(order, pick, axis=1)
        places[:, number] = np.take_along_axis(points, chosen[..., None], axis=1)
        kept[:, number] = (owned > 0)[:, None]
    read = values_at(volume, places, pixel_size)
    profile = np.broadcast_to(np.exp(-0.5 * (Q_RADII / Q_WIDTH) ** 2)[None, :, None], read.shape)
    weight = kept.astype(np.float64)
    total = weight.sum(axis=(1, 2))
    one, two = (each - ((weight * each).sum(axis=(1, 2)) / total)[:, None, None] for each in (read, profile))
    cross, a, b = ((weight * p * q).sum(axis=(1, 2)) for p, q in ((one, two), (one, one), (two, two)))
    out = cross / np.maximum(np.sqrt(a * b), 1e-30)
    out[kept.any(axis=2).sum(axis=1) < len(Q_RADII) // 2] = np.nan
    return out


def residue_means(values: Array, atoms: Atoms) -> Array:
    """Return the mean over each residue of one value an atom, those that are no numbers left out, in the order of the residues."""
    _, number = np.unique(atoms.residues, return_inverse=True)
    known = np.isfinite(values)
    sums = np.bincount(number[known], values[known], minlength=number.max() + 1)
    counts = np.bincount(number[known], minlength=number.max() + 1)
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def _even_directions(count: int) -> Array:
    """Return unit vectors ``(count, 3)`` of a spiral on the sphere: every so manieth are spread too."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)


@njit(nogil=True, cache=True)
def _nearest(places, box, reach):
    """Return the distance in voxels of every voxel to the nearest atom, `reach` where there is none nearer."""
    out = np.full((box, box, box), np.float32(reach))
    for n in range(places.shape[0]):
        x, y, z = places[n, 0], places[n, 1], places[n, 2]
        for k in range(max(0, int(np.ceil(z - reach))), min(box, int(np.floor(z + reach)) + 1)):
            for j in range(max(0, int(np.ceil(y - reach))), min(box, int(np.floor(y + reach)) + 1)):
                for i in range(max(0, int(np.ceil(x - reach))), min(box, int(np.floor(x + reach)) + 1)):
                    distance = np.sqrt((i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2)
                    if distance < out[k, j, i]:
                        out[k, j, i] = distance
    return out


@njit(nogil=True, cache=True)
def _residue_correlations(volume, density, places, first, last, radius, out):
    box = volume.shape[0]
    limit = radius * radius
    for residue in range(first.size):
        low = np.full(3, box)
        high = np.zeros(3, np.int64)
        for n in range(first[residue], last[residue]):
            for axis in range(3):
                low[axis] = min(low[axis], max(0, int(np.ceil(places[n, axis] - radius))))
                high[axis] = max(high[axis], min(box, int(np.floor(places[n, axis] + radius)) + 1))
        count = one = two = square_one = square_two = cross = 0.0
        for k in range(low[2], high[2]):
            for j in range(low[1], high[1]):
                for i in range(low[0], high[0]):
                    for n in range(first[residue], last[residue]):
                        if (i - places[n, 0]) ** 2 + (j - places[n, 1]) ** 2 + (k - places[n, 2]) ** 2 <= limit:
                            a, b = float(volume[k, j, i]), float(density[k, j, i])
                            count += 1
                            one += a
                            two += b
                            square_one += a * a
                            square_two += b * b
                            cross += a * b
                            break
        spread = (square_one - one * one / max(count, 1.0)) * (square_two - two * two / max(count, 1.0))
        out[residue] = (cross - one * two / count) / np.sqrt(spread) if count > 3 and spread > 0 else np.nan
