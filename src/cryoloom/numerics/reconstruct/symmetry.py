"""Symmetry imposed: on the sums of a reconstruction before they are divided, and on finished maps.

The sum over a group is done in two steps, first over one operator of each coset of the subgroup that carries the grid onto itself, then over
that subgroup, whose copies fall on the cells exactly: for I2 by 5 + 12 rotated copies instead of 60, for O by 24 exact ones. The other copies are
interpolated, which fades the map towards the box's edges; `fading` is what `divided` takes out again.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.symmetry import PointGroup

Sums = NDArray[np.float32]
Map = NDArray[np.float32]
Array = NDArray[np.float64]

LARGEST_FINE = 320
"""Voxels a side of a map up to which its spline may be made finer: it then takes some 3 GB."""


def symmetrise(sums: Sums, group: PointGroup) -> Sums:
    """Add to `sums` ``(…, 4)``, mates added, their copies turned by every operator; returns the same array, changed.

    The sums of all images become those of ``order`` times as many. Needs one more grid of memory while it works.
    """
    if group.order == 1:
        return sums
    # Images fill the grid as one over the radius; interpolated as it is, the crowded middle would leak outwards.
    weigh_by_radius(sums, 1)
    once = np.zeros_like(sums)
    add_rotated(sums, _coset_members(group).astype(np.float32), once)
    sums[:] = 0
    add_rotated(once, group.operators[group.on_grid].astype(np.float32), sums)
    weigh_by_radius(sums, -1)
    return sums


def fading(group: PointGroup, correction: Map) -> Map:
    """Return by what a map of sums that went through `symmetrise` has been multiplied, given that of one interpolation (`correction`)."""
    exact = np.count_nonzero(group.on_grid) / group.order
    return np.float32(exact) + np.float32(1 - exact) * correction


def symmetric_map(volume: Map, group: PointGroup, *, fine: bool = False) -> Map:
    """Return the mean of a map ``(d, d, d)`` and its copies turned about the centre ``d // 2``, by cubic interpolation.

    `fine` keeps detail up to Nyquist, see `spline_of`.
    """
    if group.order == 1:
        return volume
    smooth = spline_of(volume, fine=fine)
    total = np.zeros(volume.shape)
    for operator in group.operators:
        total += turned_map(smooth, operator, filtered=True, box=len(volume))
    return (total / group.order).astype(np.float32)


def spline_of(volume: NDArray[np.floating], *, fine: bool = False) -> NDArray[np.floating]:
    """Return the coefficients of the cubic spline through a map ``(d, d, d)``.

    A spline through voxels fades what is finer than about three of them. `fine` puts it through twice as many, made in Fourier space, for maps up
    to `LARGEST_FINE`: with eight times the memory, nothing is faded.
    """
    if not fine or len(volume) > LARGEST_FINE:
        return np.asarray(spline_filter(volume.astype(np.float64)))
    finer = resample_volume(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)), 2 * len(volume)).numpy()
    return np.asarray(spline_filter(finer, output=np.float32))


def turned_map(
    volume: NDArray[np.floating], rotation: Array, centre: Array | None = None, *, filtered: bool = False, box: int | None = None
) -> Array:
    """Return ``V'(x) = V(R x + centre)``, x from the box's centre in voxels (x, y, z); `filtered` when `volume` is the `spline_of` a map of `box`."""
    box = box or len(volume)
    scale = len(volume) / box
    matrix = scale * rotation[::-1, ::-1]
    offset = (
        len(volume) // 2 - matrix @ np.full(3, box // 2, dtype=np.float64) + (0.0 if centre is None else scale * np.asarray(centre)[::-1])
    )
    out = np.empty((box,) * 3)
    interpolate(np.ascontiguousarray(volume if filtered else spline_of(volume)), matrix, offset, out)
    return out


def _coset_members(group: PointGroup) -> Array:
    """Return one operator ``r`` of each coset ``r · H``, H being the subgroup that carries the grid onto itself, the identity first."""
    members: list[Array] = []
    for operator in group.operators:
        apart = [known.T @ operator for known in members]
        if not any(np.abs(one - np.rint(one)).max() < 1e-6 for one in apart):
            members.append(operator)
    return np.stack(members)


@njit(nogil=True, cache=True, error_model="numpy")
def interpolate(spline, matrix, offset, out):
    """Write to every voxel x of `out` the value of a cubic spline at ``matrix · x + offset``, both (z, y, x); 0 outside of it.

    The bits are those of `scipy.ndimage.affine_transform`, which takes three times as long.
    """
    size = len(spline)
    taps, weights = np.empty((3, 4), np.int64), np.empty((3, 4))
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                total, inside = 0.0, True
                for axis in range(3):
                    at = offset[axis] + k * matrix[axis, 0] + j * matrix[axis, 1] + i * matrix[axis, 2]
                    if at < 0 or at > size - 1:
                        inside = False
                        break
                    below = int(at)
                    for tap in range(4):
                        index = abs(below - 1 + tap)  # beyond its ends the spline is its mirror image
                        taps[axis, tap] = min(index, 2 * size - 2 - index)
                    y = at - below
                    z = 1.0 - y
                    first, second, third = z * z * z / 6.0, (y * y * (y - 2.0) * 3.0 + 4.0) / 6.0, (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0
                    weights[axis] = first, second, third, 1.0 - first - second - third
                if inside:
                    for c in range(4):
                        for b in range(4):
                            line = spline[taps[0, c], taps[1, b]]
                            for a in range(4):
                                total += line[taps[2, a]] * weights[0, c] * weights[1, b] * weights[2, a]
                out[k, j, i] = total


@njit(nogil=True, cache=True, error_model="numpy")
def weigh_by_radius(sums, power):
    """Multiply every cell by its distance from frequency 0 (half a cell at 0) to a power of 1 or -1."""
    c = sums.shape[0] // 2
    for k in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            for i in range(sums.shape[2]):
                radius = max(np.sqrt((k - c) ** 2 + (j - c) ** 2 + i * i), 0.5)
                factor = np.float32(radius if power > 0 else 1.0 / radius)
                for channel in range(3):
                    sums[k, j, i, channel] *= factor


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def add_rotated(source, rotations, target):
    """Add to every cell k of `target` the values of `source` at ``R k``, trilinear, for all `rotations` ``(n, 3, 3)`` float32."""
    c = source.shape[0] // 2
    reach = (c - 1) * (c - 1)
    centre, one = np.float32(c), np.float32(1)
    for k in range(-c, c + 1):
        for j in range(-c, c + 1):
            for i in range(c + 1):
                if k * k + j * j + i * i > reach:
                    continue
                u, v, w = np.float32(i), np.float32(j), np.float32(k)
                re = im = weight = np.float32(0)
                for n in range(rotations.shape[0]):
                    a = rotations[n]
                    x, y, z = (
                        a[0, 0] * u + a[0, 1] * v + a[0, 2] * w,
                        a[1, 0] * u + a[1, 1] * v + a[1, 2] * w,
                        a[2, 0] * u + a[2, 1] * v + a[2, 2] * w,
                    )
                    sign = one
                    if x < 0:
                        x, y, z, sign = -x, -y, -z, -one
                    y += centre
                    z += centre
                    p, q, r = int(x), int(y), int(z)
                    fx, fy, fz = x - np.float32(p), y - np.float32(q), z - np.float32(r)
                    gx, gy, gz = one - fx, one - fy, one - fz
                    for d, e, share in ((0, 0, gz * gy), (0, 1, gz * fy), (1, 0, fz * gy), (1, 1, fz * fy)):
                        low, high = share * gx, share * fx
                        re += low * source[r + d, q + e, p, 0] + high * source[r + d, q + e, p + 1, 0]
                        im += sign * (low * source[r + d, q + e, p, 1] + high * source[r + d, q + e, p + 1, 1])
                        weight += low * source[r + d, q + e, p, 2] + high * source[r + d, q + e, p + 1, 2]
                target[c + k, c + j, i, 0] += re
                target[c + k, c + j, i, 1] += im
                target[c + k, c + j, i, 2] += weight
