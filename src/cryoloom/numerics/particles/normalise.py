"""Dust out, background to a plane of mean 0 and standard deviation 1."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def remove_dust(image: Image, threshold: float, rng: np.random.Generator) -> tuple[Image, int]:
    """Replace pixels further than `threshold` robust standard deviations from the median; return the image and how many there were.

    They become the median of the clean pixels in the 5 × 5 around them, plus noise of the image's robust standard deviation, so that
    neither a bright spot nor a flat one is left. Median and deviation are robust, or one hot pixel would hide the others.
    """
    middle = np.median(image)
    spread = 1.4826 * np.median(np.abs(image - middle))
    dust = np.abs(image - middle) > threshold * max(float(spread), 1e-20)
    count = int(np.count_nonzero(dust))
    if count == 0 or count == image.size:
        return image, count
    clean = np.where(dust, np.nan, image)
    rows, columns = np.nonzero(dust)
    offsets = np.arange(-2, 3)
    around = clean[
        np.clip(rows[:, None, None] + offsets[:, None], 0, image.shape[0] - 1),
        np.clip(columns[:, None, None] + offsets[None, :], 0, image.shape[1] - 1),
    ].reshape(count, -1)
    empty = np.isnan(around).all(axis=1)
    around[empty, 0] = middle
    cleaned = image.copy()
    cleaned[rows, columns] = np.nanmedian(around, axis=1) + spread * rng.standard_normal(count)
    return cleaned, count


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


def background_radius(box: int, radius: float | None) -> float:
    """Return the radius to use: `radius`, or half the box unless that leaves fewer than 500 background pixels, then 0.45 of it."""
    if radius is not None:
        return radius
    return box / 2 if np.count_nonzero(background(box, box / 2)) >= 500 else 0.45 * box
