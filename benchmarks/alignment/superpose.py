"""Bring a map into the frame and hand of another one: a search over rotations with translations by FFT, then a local one over all six."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.sphere import rotation_grid

Map = NDArray[np.float32]

SEARCH_BOX = 24
SEARCH, FINE = 35.0, 15.0
"""Å of the low-pass of both maps in the search and in the local one."""
KEPT = 12


def superposed(volume: Map, target: Map, pixel_size: float) -> Map:
    """Return `volume` turned, moved and, if that fits better, mirrored onto `target`; both ``(d, d, d)`` of `pixel_size` Å."""
    hands = [volume, np.ascontiguousarray(volume[::-1])]
    if len(volume) % 2 == 0:
        hands[1] = np.roll(hands[1], 1, axis=0)
    best = min((_fitted(hand, target, pixel_size) for hand in hands), key=lambda found: found[0])
    return best[1]


def _fitted(volume: Map, target: Map, pixel_size: float) -> tuple[float, Map]:
    small, wanted = (_reduced(one, pixel_size) for one in (volume, target))
    scale = len(volume) / SEARCH_BOX
    transform = np.conj(np.fft.rfftn(wanted))
    found = []
    for rotation in rotation_grid(2, 24).reshape(-1, 3, 3):
        product = np.fft.irfftn(np.fft.rfftn(_turned(small, rotation, np.zeros(3))) * transform, s=small.shape, axes=(0, 1, 2))
        place = int(product.argmax())
        shift = np.array(np.unravel_index(place, small.shape))
        found.append((float(product.flat[place]), rotation, -((shift + SEARCH_BOX // 2) % SEARCH_BOX - SEARCH_BOX // 2)))
    found.sort(key=lambda one: -one[0])
    fine, sharp = (lowpass(one, pixel_size, FINE) for one in (volume, target))
    norm = np.linalg.norm(sharp)

    def cost(six: NDArray[np.float64]) -> float:
        moved = _turned(fine, Rotation.from_rotvec(six[:3]).as_matrix() @ start, six[3:])
        return -float((moved * sharp).sum() / (np.linalg.norm(moved) * norm + 1e-30))

    best = (np.inf, volume)
    for _, start, shift in found[:KEPT]:
        first = np.concatenate([np.zeros(3), scale * shift])
        steps = np.vstack([first, first + np.diag([0.15, 0.15, 0.15, 1.0, 1.0, 1.0])])
        result = minimize(
            cost, first, method="Nelder-Mead", options={"initial_simplex": steps, "xatol": 2e-3, "fatol": 1e-5, "maxiter": 250}
        )
        if result.fun < best[0]:
            best = (result.fun, _turned(volume, Rotation.from_rotvec(result.x[:3]).as_matrix() @ start, result.x[3:], order=3))
    return best


def _reduced(volume: Map, pixel_size: float) -> Map:
    filtered = lowpass(volume, pixel_size, SEARCH)
    return resample_volume(torch.from_numpy(np.ascontiguousarray(filtered)), SEARCH_BOX).numpy()


def _turned(volume: Map, rotation: NDArray[np.float64], shift: NDArray[np.float64], order: int = 1) -> Map:
    """Return the map whose value at ``x`` (z, y, x about the centre) is that of `volume` at ``R (x - shift)``."""
    centre = np.full(3, len(volume) // 2)
    return affine_transform(volume, rotation, centre - rotation @ (centre + shift), order=order)
