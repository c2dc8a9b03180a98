"""Bring a map into the frame and hand of another one: all orientations on a grid about the centre of mass, then a local search over all six."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from cryoloom.numerics.align.axes import sampled
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.sphere import rotation_grid
from cryoloom.numerics.reconstruct.grids import working_box
from cryoloom.numerics.reconstruct.symmetry import turned_map

Map = NDArray[np.float32]
Array = NDArray[np.float64]

SEARCH, FINE = 35.0, 15.0
"""Å of the low-pass of both maps in the search and in the local one."""
POINTS = 4000
"""At which maps are compared, drawn where the target has its mass."""
KEPT = 12
VOXELS_A_RADIAN = 10.0
"""Scale of the translation beside the rotation."""


def superposed(volume: Map, target: Map, pixel_size: float) -> Map:
    """Return `volume` turned, moved and, if that fits better, mirrored onto `target`; both ``(d, d, d)`` of `pixel_size` Å."""
    hands = [volume, np.ascontiguousarray(volume[::-1])]
    if len(volume) % 2 == 0:
        hands[1] = np.roll(hands[1], 1, axis=0)
    best = min((_fitted(hand, target, pixel_size) for hand in hands), key=lambda found: found[0])
    return best[1]


def _fitted(volume: Map, target: Map, pixel_size: float) -> tuple[float, Map]:
    box = working_box(2.0 * len(volume) * pixel_size / FINE, len(volume))
    scale = box / len(volume)
    coarse, wanted = (_reduced(one, pixel_size, SEARCH, box) for one in (volume, target))
    fine, sharp = (_reduced(one, pixel_size, FINE, box) for one in (volume, target))
    points = _points(wanted, pixel_size / scale)
    rotations = rotation_grid(2, 24).reshape(-1, 3, 3)
    from_mass, to_mass = _centre(coarse), _centre(wanted)
    there = sampled(wanted, points, np.eye(3)[None])[0]
    scores = _correlations(there, sampled(coarse, points - to_mass, rotations, from_mass))
    there = sampled(sharp, points, np.eye(3)[None])[0]

    def placed(six: Array, start: Array) -> tuple[Array, Array]:
        rotation = rotation_from_vector(six[:3]) @ start
        return rotation, from_mass - rotation @ to_mass + VOXELS_A_RADIAN * six[3:]

    def cost(six: Array, start: Array) -> float:
        rotation, centre = placed(six, start)
        return -float(_correlations(there, sampled(fine, points, rotation[None], centre))[0])

    best = (np.inf, np.eye(3), np.zeros(3))
    for start in rotations[np.argsort(-scores, kind="stable")[:KEPT]]:
        result = minimize(
            cost, np.zeros(6), (start,), method="Nelder-Mead",
            options={"initial_simplex": np.vstack([np.zeros(6), 0.15 * np.eye(6)]), "xatol": 1e-3, "fatol": 1e-5, "maxfev": 400},
        )  # fmt: skip
        if result.fun < best[0]:
            best = (result.fun, *placed(result.x, start))
    least, rotation, centre = best
    return least, turned_map(volume, rotation, centre / scale).astype(np.float32)


def _points(wanted: Map, pixel_size: float) -> Array:
    """Return places in the target's ball, voxels from the centre: all that a sphere about its mass holds, thinned."""
    rng = np.random.default_rng(0)
    mass = np.argwhere(wanted > 0.2 * wanted.max())[:, ::-1] - len(wanted) // 2
    centre = mass.mean(axis=0)
    reach = np.percentile(np.linalg.norm(mass - centre, axis=1), 99) + 10.0 / pixel_size
    points = rng.normal(size=(POINTS, 3))
    return centre + points * reach * np.cbrt(rng.random(POINTS) / (points**2).sum(axis=1) ** 1.5)[:, None]


def _centre(volume: Map) -> Array:
    """Return the centre (x, y, z from the box's) of what stands out."""
    mass = np.maximum(volume - 0.2 * volume.max(), 0.0).astype(np.float64)
    axis = np.arange(len(volume)) - len(volume) // 2
    return np.array([(mass.sum(axis=others) * axis).sum() / mass.sum() for others in ((0, 1), (0, 2), (1, 2))])


def _correlations(one: NDArray[np.float32], many: NDArray[np.float32]) -> Array:
    one, many = one - one.mean(), many - many.mean(axis=-1, keepdims=True)
    return (many @ one) / np.maximum(np.linalg.norm(one) * np.linalg.norm(many, axis=-1), 1e-30)


def _reduced(volume: Map, pixel_size: float, resolution: float, box: int) -> Map:
    filtered = lowpass(volume, pixel_size, max(resolution, 2.2 * pixel_size))
    return resample_volume(torch.from_numpy(np.ascontiguousarray(filtered)), box).numpy()
