"""Whether two half maps are what they should be: of one particle in one frame, and of nothing else in common."""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import irfftn, rfftn

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.grids import hermitian_weights, shells_3d
from cryoloom.numerics.fourier.transforms import centred_rfft3, resample_volume
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre

Map = NDArray[np.float32]
Curve = NDArray[np.float64]

NOTHING = 1e-6
"""Part of a map's power from which on there is something beyond Nyquist."""
WELL_WITHIN = 0.8
"""Part of Nyquist within which the resolution must lie, for what is beyond Nyquist to be noise alone."""
LEAST_SOLVENT = 0.05
"""Part of the box that the region around the particle must take."""
SMALL = 32
"""Voxels a side at which frames are compared."""
CLEARLY = 0.15
"""By how much another placing of the axes must correlate better."""


@dataclass(frozen=True)
class Beyond:
    """What half maps have in common where independent ones have nothing.

    Attributes
    ----------
    corners
        Correlation of coefficients beyond Nyquist, in the corners of the cube; None where there is nothing, or may be signal.
    solvent
        Mean shell correlation outside the particle over the finer half of the shells; None without solvent.
    error
        Its standard error.
    """

    corners: float | None
    solvent: float | None
    error: float


def correlation(first: Map, second: Map) -> float:
    """Return the correlation coefficient of two maps; 0 where one is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    return found if np.isfinite(found) else 0.0


def in_common_beyond(first: Map, second: Map, outside: Map, resolved: int) -> Beyond:
    """Return what two half maps that agree to the shell `resolved` share beyond Nyquist and in the region `outside` (0 to 1)."""
    box = len(first)
    one, two = (centred_rfft3(torch.from_numpy(np.ascontiguousarray(each))).numpy() for each in (first, second))
    weights = np.broadcast_to(hermitian_weights(box).numpy(), one.shape)
    corner = shells_3d(box).numpy() > box // 2 + 1
    power = [float((weights * np.abs(each) ** 2)[corner].sum()) for each in (one, two)]
    whole = [float((weights * np.abs(each) ** 2).sum()) for each in (one, two)]
    corners = None
    if resolved < WELL_WITHIN * box / 2 and all(part > NOTHING * total for part, total in zip(power, whole, strict=True)):
        corners = float((weights * (one * two.conj()).real)[corner].sum() / np.sqrt(power[0] * power[1]))
    low = box // 4
    if outside.mean() < LEAST_SOLVENT:
        return Beyond(corners, None, 0.0)
    shells = fourier_shell_correlation(first * outside, second * outside)[low : box // 2]
    # Neighbouring coefficients are not independent in a part of the box: there are fewer by that part.
    cells = 2.0 * np.pi * np.arange(low, box // 2) ** 2 * float(outside.mean())
    return Beyond(corners, float((shells * cells).sum() / cells.sum()), float(1.0 / np.sqrt(cells.sum())))


def relative_shift(first: Map, second: Map, pixel_size: float, resolution: float) -> NDArray[np.float64]:
    """Return by how many Å, (x, y, z), the content of `second` lies off that of `first`, at up to `resolution` Å."""
    one, two = (rfftn(lowpass(each, pixel_size, resolution)) for each in (first, second))
    score = np.asarray(irfftn(np.asarray(two) * np.asarray(one).conj(), s=first.shape))
    top = np.array(np.unravel_index(int(np.argmax(score)), score.shape))
    box, found = len(first), np.empty(3)
    for axis in range(3):
        step = np.zeros(3, int)
        step[axis] = 1
        before, here, after = (float(score[tuple((top + k * step) % box)]) for k in (-1, 0, 1))
        bend = before + after - 2.0 * here
        found[axis] = top[axis] + (0.5 * (before - after) / bend if bend < 0 else 0.0)
    return ((found + box / 2) % box - box / 2)[::-1] * pixel_size


def better_axes(first: Map, second: Map, pixel_size: float, resolution: float) -> tuple[str, float, float] | None:
    """Return a placing of the axes in which `second` is clearly more like `first` than as it is, and both correlations; None if there is none.

    Placings are the orders of the axes and their directions, ``-z y x`` for instance: the slowest first.
    """
    box = len(first)
    small = min(SMALL, box)
    coarse = max(resolution, 3.0 * pixel_size * box / small)
    one, two = (resample_volume(torch.from_numpy(lowpass(each, pixel_size, coarse)), small).numpy() for each in (first, second))
    as_it_is = correlation(one, two)
    best = ("z y x", as_it_is)
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            turned = two.transpose(order)
            for axis, sign in enumerate(signs):
                # A reversed axis of an even box has its centre a voxel off.
                turned = turned if sign > 0 else np.roll(np.flip(turned, axis), 1 - small % 2, axis)
            found = correlation(one, turned)
            if found > best[1]:
                names = " ".join(f"{'-' if sign < 0 else ''}{'zyx'[axis]}" for axis, sign in zip(order, signs, strict=True))
                best = (names, found)
    return (*best, as_it_is) if best[1] > as_it_is + CLEARLY else None


def solvent_region(box: int, inner: float, mask: Map | None) -> Map:
    """Return what lies around the particle, 0 to 1: outside the mask or, without one, a sphere of `inner` voxels, within the sphere of the box."""
    radius = radius_from_centre(box)
    within = cosine_edge(radius - (box / 2 - 6), 3.0)
    core = mask if mask is not None else cosine_edge(radius - inner, 5.0)
    return (within * np.clip(1.0 - core, 0.0, 1.0)).astype(np.float32)


def quiet_outside(first: Map, second: Map, region: Map, core: Map) -> float:
    """Return the variance of the noise of two halves well within a region around the particle over that well within the core."""
    noise = first - second
    around, inside = (float(noise[weight > 0.99].var(dtype=np.float64)) for weight in (region, core))
    return around / max(inside, 1e-30)


def brightness(volume: Map, region: Map, core: Map) -> float:
    """Return how much brighter the core is than the region around it, in standard deviations of the whole map: negative for dark particles."""
    inside, outside = (float((weight * volume).sum() / max(float(weight.sum()), 1e-30)) for weight in (core, region))
    return (inside - outside) / max(float(volume.std()), 1e-30)


def cut_away(first: Map, second: Map, mask: Map) -> float:
    """Return the part of what two halves have in common that lies outside a mask."""
    shared = first * second
    total = float(shared.sum())
    return float((shared * (1.0 - mask)).sum()) / total if total > 0 else 1.0
