"""Denoising by total variation, on a scale on which the noise of counting is the same everywhere.

The image is stabilised (generalised Anscombe transform; Starck, Murtagh & Bijaoui 1998, doi:10.1017/CBO9780511564352) to noise of deviation 1,
the closest image of small total variation is found (Rudin, Osher & Fatemi 1992, doi:10.1016/0167-2789(92)90242-F) by projected gradients on the
dual problem (Beck & Teboulle 2009, doi:10.1109/TIP.2009.2028250), and the scale is turned back.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.micrographs.pixels import middle_and_spread

Image = NDArray[np.float32]

SETTLED = 1e-4
"""Relative change of the image in one step below which it is done."""


@dataclass(frozen=True)
class Counting:
    """How noise depends on brightness: variance = ``gain · value``, or ``noise²`` everywhere where `gain` is 0.

    Values are those of the image; a gain of 1 is a camera that counts electrons one by one.
    """

    gain: float
    noise: float

    @classmethod
    def of(cls, image: Image) -> "Counting":
        """Estimate it: images without negative values are counts, others (after a high-pass, say) have even noise."""
        noise = _noise(image)
        mean = float(image.mean(dtype=np.float64))
        return cls(noise**2 / mean if mean > 0 and image.min() >= 0 else 0.0, noise)

    def stabilised(self, image: Image) -> Image:
        """Return the image on a scale on which its noise has deviation 1."""
        if self.gain == 0.0:
            return image / np.float32(self.noise)
        return np.float32(2.0 / self.gain) * np.sqrt(np.maximum(np.float32(self.gain) * image + np.float32(0.375 * self.gain**2), 0))

    def restored(self, stabilised: Image) -> Image:
        """Invert `stabilised`, for means of many counts: an eighth where the formula's own inverse has three, which would be too dark."""
        if self.gain == 0.0:
            return stabilised * np.float32(self.noise)
        return np.float32(0.25 * self.gain) * stabilised**2 - np.float32(0.125 * self.gain)


def _noise(image: Image) -> float:
    """Return the deviation of the finest detail: differences across 2 × 2 pixels, which structure hardly shows in."""
    corner = image[:-1, :-1] - image[1:, :-1] - image[:-1, 1:] + image[1:, 1:]
    return 0.5 * middle_and_spread(np.ascontiguousarray(corner))[1]


def denoise(image: Image, iterations: int, *, strength: float = 1.0) -> tuple[Image, int]:
    """Return the image denoised, and the number of iterations it took.

    Parameters
    ----------
    image
        ``(h, w)``.
    iterations
        The most.
    strength
        Weight of the total variation, in deviations of the noise: at 0.5 half of the noise's speckle stays, at 2 faint particles go.
    """
    model = Counting.of(image)
    if model.noise == 0.0 or strength == 0.0:
        return image, 0
    noisy = model.stabilised(image)
    dual, ahead, pace = np.zeros((2, *image.shape), np.float32), np.zeros((2, *image.shape), np.float32), 1.0
    found = noisy.copy()
    for number in range(1, iterations + 1):
        faster = 0.5 * (1.0 + (1.0 + 4.0 * pace**2) ** 0.5)
        changed = _closer(noisy, ahead, np.float32(strength), found)
        _step(found, dual, ahead, np.float32(1.0 / (8.0 * strength)), np.float32((pace - 1.0) / faster))
        if number > 1 and changed <= SETTLED:
            break
        pace = faster
    _closer(noisy, dual, np.float32(strength), found)
    return model.restored(found), number


@njit(nogil=True, cache=True, error_model="numpy")
def _closer(noisy: Image, field: Image, strength: np.float32, found: Image) -> float:
    """Put ``noisy - strength · ∇ᵀ field`` into `found`; return how much of it is change (root mean square, relative to `noisy`)."""
    height, width = noisy.shape
    change, power = 0.0, 0.0
    for y in range(height):
        for x in range(width):
            divergence = -field[0, y, x] - field[1, y, x]
            if y:
                divergence += field[0, y - 1, x]
            if x:
                divergence += field[1, y, x - 1]
            value = noisy[y, x] - strength * divergence
            change += (value - found[y, x]) ** 2
            power += noisy[y, x] ** 2
            found[y, x] = value
    return np.sqrt(change / power)


@njit(nogil=True, cache=True, error_model="numpy")
def _step(found: Image, dual: Image, ahead: Image, length: np.float32, momentum: np.float32) -> None:
    """Move the dual field, of differences to the next row and column, along the gradient of `found` and back into the unit discs."""
    height, width = found.shape
    for y in range(height):
        for x in range(width):
            down = ahead[0, y, x]
            across = ahead[1, y, x]
            if y + 1 < height:
                down += length * (found[y + 1, x] - found[y, x])
            if x + 1 < width:
                across += length * (found[y, x + 1] - found[y, x])
            size = max(np.sqrt(down * down + across * across), np.float32(1.0))
            down, across = down / size, across / size
            ahead[0, y, x] = down + momentum * (down - dual[0, y, x])
            ahead[1, y, x] = across + momentum * (across - dual[1, y, x])
            dual[0, y, x] = down
            dual[1, y, x] = across
