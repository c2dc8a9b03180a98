"""Local maxima of a score map, kept apart, placed between the pixels."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Map = NDArray[np.float32]
Index = NDArray[np.int64]
Array = NDArray[np.float64]


def find_peaks(score: Map, lowest: float, distance: float, *, border: float = 0.0) -> tuple[Index, Index]:
    """Return row and column of the local maxima above `lowest`, strongest first, none closer than `distance` px to a stronger one.

    Parameters
    ----------
    border
        Maxima closer than this to an edge (px) are left out, after they have kept others away.
    """
    top = ndimage.maximum_filter(score, size=3, mode="nearest")
    rows, columns = np.nonzero((score == top) & (score > lowest))
    order = np.argsort(-score[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    kept = keep_apart(columns.astype(np.float64), rows.astype(np.float64), distance)
    rows, columns = rows[kept], columns[kept]
    height, width = score.shape
    inside = (rows >= border) & (columns >= border) & (rows <= height - 1 - border) & (columns <= width - 1 - border)
    return rows[inside], columns[inside]


def keep_apart(x: Array, y: Array, distance: float | Array) -> NDArray[np.bool_]:
    """Return which points ``(n,)`` stay when each, in order, removes all later ones within `distance`, the mean of two where each has its own."""
    distance = np.broadcast_to(distance, x.shape)
    alive = np.ones(len(x), dtype=bool)
    for index in range(len(x)):
        if alive[index]:
            near = (x[index + 1 :] - x[index]) ** 2 + (y[index + 1 :] - y[index]) ** 2 < (
                0.5 * (distance[index] + distance[index + 1 :])
            ) ** 2
            alive[index + 1 :] &= ~near
    return alive


def overshadowed(x: Array, y: Array, score: Array, distance: float, ratio: float) -> NDArray[np.bool_]:
    """Return which points ``(n,)`` have another one of more than `ratio` times their score within `distance`."""
    if not len(x):
        return np.zeros(0, dtype=bool)
    points = np.stack([x, y], axis=1)
    near = cKDTree(points).query_ball_point(points, distance)
    return np.array([score[others].max() > ratio * score[index] for index, others in enumerate(near)])


def refine_peaks(score: Map, rows: Index, columns: Index) -> tuple[Array, Array]:
    """Return row and column of peaks to a fraction of a pixel, from parabolas through each and its two neighbours along either axis."""
    height, width = score.shape
    y, x = np.clip(rows, 1, height - 2), np.clip(columns, 1, width - 2)
    return y + vertex(score[y - 1, x], score[y, x], score[y + 1, x]), x + vertex(score[y, x - 1], score[y, x], score[y, x + 1])


def vertex(before: NDArray[np.floating], centre: NDArray[np.floating], after: NDArray[np.floating]) -> Array:
    """Return where the parabola through three samples ``(n,)`` has its top, between -0.5 and 0.5 from the middle one; 0 where it has none."""
    curvature = np.asarray(before, dtype=np.float64) - 2.0 * centre + after
    slope = 0.5 * (np.asarray(before, dtype=np.float64) - after)
    return np.clip(np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature < 0), -0.5, 0.5)


def far_places(taken: Array, size: tuple[int, int], distance: float, count: int, rng: np.random.Generator) -> Array:
    """Draw up to `count` places ``(n, 2)`` x, y on an image of `size` (width, height), at least `distance` px from all `taken` ``(m, 2)``.

    Where there is little room fewer are found: each place is tried a few times only.
    """
    drawn = rng.uniform(0.0, 1.0, (8 * count, 2)) * (np.asarray(size) - 1)
    if len(taken):
        drawn = drawn[cKDTree(taken).query(drawn)[0] >= distance]
    return drawn[:count]
