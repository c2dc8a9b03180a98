"""The camera: counts, a gain reference, dead and hot pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """One camera, the same for all movies of a set.

    Parameters
    ----------
    gain
        ``(height, width)``: multiply raw counts by it to level the pixels; mean 1, and 0 where a pixel is dead.
    dead
        ``(height, width)`` pixels that read 0: those with no gain, and those only a defect list knows.
    hot
        ``(n, 2)`` row, column of pixels that read `HOT` times the mean count.
    """

    gain: Array
    dead: NDArray[np.bool_]
    hot: NDArray[np.int64]

    def record(self, expected: Array, mean: float, rng: np.random.Generator) -> NDArray[np.int32]:
        """Return the counts of one frame; `expected` is the dose in electrons a pixel, `mean` its average.

        A pixel of gain `g` counts ``1 / g`` of its electrons: counts are Poisson and stay whole numbers.
        """
        rate = expected / np.where(self.gain > 0.0, self.gain, 1.0)
        rate[self.hot[:, 0], self.hot[:, 1]] = HOT * mean
        counts = np.empty(rate.shape, dtype=np.int32)
        for start in range(0, len(rate), 256):  # the generator gives 64-bit integers: keep them few
            counts[start : start + 256] = rng.poisson(rate[start : start + 256])
        counts[self.dead] = 0
        return counts


HOT = 12.0


def draw_camera(
    height: int, width: int, largest: float, dead_pixels: int, hot_pixels: int, rng: np.random.Generator, *, bad_column: bool = False
) -> Camera:
    """Draw a camera whose gain stays within ``1 ± largest``: read-out stripes, two half-sensor steps, a slow slope, single pixels.

    `bad_column` adds a quarter of a column that reads 0 and that the gain reference does not know.
    """
    y, x = np.linspace(-1.0, 1.0, height)[:, None], np.linspace(-1.0, 1.0, width)[None, :]
    slope = rng.normal(size=5)
    slow = slope[0] * x + slope[1] * y + slope[2] * x * y + slope[3] * x * x + slope[4] * y * y
    stripes = np.repeat(rng.normal(size=-(-width // 8)), 8)[:width][None, :]
    step = np.where(x < 0.0, *rng.normal(size=2)) + np.where(y < 0.0, *rng.normal(size=2))
    single = rng.standard_normal((height, width))
    structure = 0.15 * slow + 0.15 * step + 0.15 * stripes + 0.2 * single
    gain = 1.0 + largest * np.clip(structure - structure.mean(), -1.0, 1.0)
    gain /= gain.mean()
    spots = rng.choice(height * width, dead_pixels + hot_pixels, replace=False)
    rows, columns = spots // width, spots % width
    dead = np.zeros((height, width), dtype=bool)
    dead[rows[:dead_pixels], columns[:dead_pixels]] = True
    gain[dead] = 0.0
    if bad_column:
        dead[height // 2 : height // 2 + height // 4, width // 3] = True
    hot = np.stack([rows[dead_pixels:], columns[dead_pixels:]], axis=1)
    return Camera(gain.astype(np.float32), dead, hot)
