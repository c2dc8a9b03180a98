"""Background to a plane of mean 0 and standard deviation 1, dust out."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.micrographs.pixels import bad_pixels, middle_and_spread, replace_pixels

Image = NDArray[np.float32]

AT_ONCE = 1 << 16
"""Dusty pixels whose surroundings are looked at together: 25 times as many numbers are held."""
FEWEST = 8
"""Clean pixels that a deviation is taken from."""
LEAST_BACKGROUND = 500
"""Pixels that tell mean, slope and deviation of a background."""


def remove_dust(image: Image, threshold: float, rng: np.random.Generator) -> tuple[Image, int]:
    """Replace pixels further than `threshold` robust standard deviations from the median; return the image and how many there were.

    They become the median of the clean pixels in the 5 × 5 around them, plus noise of these pixels' standard deviation, so that neither a bright
    spot nor a flat one is left. Median and deviation of the image are robust, or one hot pixel would hide the others.
    """
    dust = bad_pixels(image, threshold)
    count = int(np.count_nonzero(dust))
    if count in (0, image.size):
        return image, count
    cleaned = replace_pixels(image, dust)
    cleaned[dust] += (_local_deviation(image, dust) * rng.standard_normal(count)).astype(np.float32)
    return cleaned, count


def _local_deviation(image: Image, dust: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the standard deviation of the clean pixels in the 5 × 5 around each dusty one; where they are too few, that of the image."""
    everywhere = middle_and_spread(image)[1]
    rows, columns = np.nonzero(dust)
    reach, found = np.arange(-2, 3), np.empty(rows.size)
    for start in range(0, rows.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        down = np.clip(rows[part, None, None] + reach[:, None], 0, image.shape[0] - 1)
        across = np.clip(columns[part, None, None] + reach, 0, image.shape[1] - 1)
        clean = ~dust[down, across]
        values = np.where(clean, image[down, across].astype(np.float64), 0.0)
        many = clean.sum(axis=(1, 2))
        mean = values.sum(axis=(1, 2)) / np.maximum(many, 1)
        squares = np.where(clean, values - mean[:, None, None], 0.0) ** 2
        found[part] = np.where(many >= FEWEST, np.sqrt(squares.sum(axis=(1, 2)) / np.maximum(many - 1, 1)), everywhere)
    return found


def background(box: int, radius: float) -> NDArray[np.bool_]:
    """Return the pixels of a box outside a circle of `radius` px about ``box // 2``."""
    axis = np.arange(box) - box // 2
    return axis[:, None] ** 2 + axis[None, :] ** 2 > radius**2


def normalise(boxes: Image, radius: float, *, ramp: bool = True) -> Image:
    """Bring the background of ``(n, box, box)`` images, outside `radius` px, to mean 0 and standard deviation 1.

    With `ramp` the plane fitted to the background is taken off first. A box with a constant background is only shifted.
    """
    box = boxes.shape[-1]
    outside = background(box, radius)
    axis = (np.arange(box) - box // 2) / box
    design = np.stack([np.ones((box, box)), *(np.broadcast_to(part, (box, box)) for part in (axis[:, None], axis[None, :]))], axis=-1)
    design = design if ramp else design[..., :1]
    fit = np.linalg.pinv(design[outside]) @ boxes[:, outside].astype(np.float64).T
    flat = boxes - np.einsum("ijk,kn->nij", design, fit)
    spread = flat[:, outside].std(axis=1)
    return (flat / np.where(spread > 1e-12, spread, 1.0)[:, None, None]).astype(np.float32)


def background_level(boxes: Image, radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the pixels outside `radius` px, each ``(n,)``."""
    outside = boxes[:, background(boxes.shape[-1], radius)]
    return outside.mean(axis=1, dtype=np.float64), outside.std(axis=1, dtype=np.float64)


def whole_normalised(boxes: Image) -> Image:
    """Bring all of each image to mean 0 and standard deviation 1; one that is constant is only shifted."""
    flat = boxes - boxes.mean(axis=(1, 2), dtype=np.float64, keepdims=True)
    spread = flat.std(axis=(1, 2), keepdims=True)
    return (flat / np.where(spread > 1e-12, spread, 1.0)).astype(np.float32)


def background_radius(box: int, radius: float | None) -> float:
    """Return the radius to use: `radius`, or half the box unless that leaves fewer than 500 background pixels, then 0.45 of it."""
    if radius is not None:
        return radius
    return box / 2 if np.count_nonzero(background(box, box / 2)) >= LEAST_BACKGROUND else 0.45 * box
