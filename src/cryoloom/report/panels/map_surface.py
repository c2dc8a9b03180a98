"""A three-dimensional picture of a map: its surface seen from three sides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.report.colours import coloured, legend
from cryoloom.report.raster import png_address
from cryoloom.spec import Panel

_COLOUR = np.array([0.36, 0.62, 0.74])
_FINEST = 160
_LIGHT = np.array([-0.45, -0.55, 0.70]) / np.linalg.norm([-0.45, -0.55, 0.70])


class MapSurface(Panel):
    """The surface of a cubic map ``[z, y, x]`` at grey value `level`.

    `painter`, a map of the same grid, colours it between the two `limits`; `label` names its values in the legend.
    """

    title: str
    volume: Any
    level: float
    caption: str = ""
    size: int = 280
    painter: Any = None
    limits: tuple[float, float] = (0.0, 1.0)
    label: str = ""

    def html(self) -> str:
        """Draw the surface seen along z, x and y; each picture shows the true hand (x right, y down, z away, and so on in turn)."""
        painter = None if self.painter is None else np.asarray(self.painter, dtype=np.float32)
        turns = {"along z": (0, 1, 2), "along x": (2, 0, 1), "along y": (1, 2, 0)}
        cells = []
        for name, turn in turns.items():
            view = np.ascontiguousarray(np.asarray(self.volume, dtype=np.float32).transpose(turn))
            shades = None if painter is None else (painter.transpose(turn), self.limits)
            picture = png_address(shaded_surface(view, self.level, 2 * self.size, shades))
            cells.append(
                f'<figure class="cell" style="width:{self.size}px"><img src="{picture}" width="{self.size}" alt="surface {name}">'
                f"<figcaption>{name}</figcaption></figure>"
            )
        below = "" if painter is None else legend(*self.limits, self.label)
        return f'<div class="grid">{"".join(cells)}</div>{below}'


def shaded_surface(
    volume: NDArray[np.float32], level: float, size: int, painter: tuple[NDArray[np.float32], tuple[float, float]] | None = None
) -> NDArray[np.uint8]:
    """Look along axis 0 of ``(depth, rows, columns)``: the first crossing of `level` by each ray, shaded; white where there is none.

    One ray a column of the map, resampled to about 160 voxels an axis; the crossing is placed linearly between the two samples
    around it and the normal is the gradient there. The picture is scaled to `size`. `painter` is a map whose values where the rays end are
    shown as colours, and the limits of these. Returns ``(size, size, 3)``.
    """
    from scipy import ndimage  # a second that only those who draw a surface pay

    window = _window(volume, level)
    volume = volume[window, window, window]
    box = volume.shape[0]
    fine = np.asarray(ndimage.zoom(volume, _FINEST / box, order=1)) if abs(box - _FINEST) > 0.2 * _FINEST else volume
    fine = np.asarray(ndimage.gaussian_filter(fine, 0.6 * max(1.0, fine.shape[0] / box)))
    above = fine > level
    hit: Any = above.any(axis=0)
    first: Any = above.argmax(axis=0)
    rows, columns = np.indices(hit.shape)
    before = np.maximum(first - 1, 0)
    low, high = fine[before, rows, columns], fine[first, rows, columns]
    depth: Any = first - np.clip((high - level) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    where = np.stack([depth[hit], rows[hit], columns[hit]])
    steps = np.eye(3)[:, :, None]
    normal = np.stack([_sample(fine, where - step) - _sample(fine, where + step) for step in steps])
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-12)
    # Image axes: x to the right, y down, and towards the viewer, which is minus the depth.
    facing = np.stack([normal[2], normal[1], -normal[0]])
    diffuse = np.clip(_LIGHT @ facing, 0.0, 1.0)
    gleam = np.clip(2 * diffuse * facing[2] - _LIGHT[2], 0.0, 1.0) ** 20
    fog = 1.0 - 0.45 * (depth[hit] - depth[hit].min(initial=0)) / fine.shape[0]
    shade = (0.30 + 0.70 * diffuse) * fog
    picture = np.ones((*hit.shape, 3))
    colour = _COLOUR
    if painter is not None:
        values, limits = painter
        colour = coloured(_sample(values[window, window, window], where * ((box - 1) / max(fine.shape[0] - 1, 1))), *limits)
    picture[hit] = np.clip(colour * shade[:, None] + 0.25 * gleam[:, None], 0.0, 1.0)
    factor = size / hit.shape[0]
    smooth = np.asarray(ndimage.zoom(picture, (factor, factor, 1), order=1))
    return (np.clip(smooth, 0, 1) * 255).astype(np.uint8)


def _sample(volume: NDArray[np.floating], where: NDArray[np.floating]) -> NDArray[np.floating]:
    from scipy import ndimage

    return np.asarray(ndimage.map_coordinates(volume, where, order=1))


def _window(volume: NDArray[np.float32], level: float) -> slice:
    """Return the part of each axis, about the centre, that holds the surface, so that the particle fills the picture."""
    middle = volume.shape[0] // 2
    reach = np.abs(np.argwhere(volume > level) - middle).max(initial=8) + 3
    return slice(max(middle - reach, 0), middle + reach)
