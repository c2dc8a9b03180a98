"""Particle images of several optics groups brought to one box and pixel size as they are read."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import Particles
from cryoloom.formats.stack import read_particles

Images = NDArray[np.float32]

ALIKE = 1e-3
"""Relative difference of pixel sizes that is none."""


@dataclass(frozen=True)
class CommonGrid:
    """Reads particles on one grid: that of the optics group with the most of them.

    Attributes
    ----------
    particles
        The set.
    rows
        Its enabled rows, with the columns of their optics group.
    pixel_size, box
        Å/px and px of what `read` returns.
    native
        Pixel size and box of the stored images of each optics group.
    """

    particles: Particles
    rows: pl.DataFrame
    pixel_size: float
    box: int
    native: dict[int, tuple[float, int]]

    @classmethod
    def of(cls, particles: Particles, rows: pl.DataFrame) -> "CommonGrid":
        """Choose the grid for the enabled `rows`, one at least, of a set."""
        numbers = rows["optics_group"].value_counts().sort("count", "optics_group", descending=[True, False])["optics_group"].to_list()
        sizes = {group["optics_group"]: float(group["pixel_size"]) for group in particles.optics}
        place = _places(particles, rows)
        of_row = rows["optics_group"].to_numpy()
        native = {number: (sizes[number], _box(particles, place[np.argmax(of_row == number)])) for number in numbers}
        return cls(particles, rows, *native[numbers[0]], native)

    @property
    def foreign(self) -> list[int]:
        """Return the optics groups whose images are resampled."""
        return sorted(number for number, (size, box) in self.native.items() if box != self.box or abs(size / self.pixel_size - 1) > ALIKE)

    @property
    def extent(self) -> float:
        """Return the side in Å of the smallest image."""
        return min(self.box * self.pixel_size, *(size * box for size, box in self.native.values()))

    def finest(self, number: int) -> float:
        """Return the resolution in Å to which the images of an optics group hold anything."""
        return 2.0 * max(self.native[number][0], self.pixel_size)

    def read(self, rows: NDArray[np.int64]) -> Images:
        """Return the images of some of `rows` (by position), ``(n, box, box)``.

        Those that are resampled are scaled so that white noise keeps the density of its spectrum.
        """
        place = _places(self.particles, self.rows)[rows]
        foreign = self.foreign
        if not foreign:
            return read_particles(self.particles, place)
        of_row = self.rows["optics_group"].to_numpy()[rows]
        out = np.empty((len(rows), self.box, self.box), np.float32)
        for number in np.unique(of_row):
            here = of_row == number
            images = read_particles(self.particles, place[here])
            if number in foreign:
                turn = interpolation(*self.native[number], self.pixel_size, self.box)
                images = turn @ images @ turn.T * np.float32(self.pixel_size / self.native[number][0])
            out[here] = images
        return out

    def notices(self) -> list[str]:
        """Return what the user should know about the groups that are resampled."""
        said = []
        for number in self.foreign:
            size, box = self.native[number]
            text = f"Optics group {number} ({box} px of {size:g} Å) is resampled to {self.box} px of {self.pixel_size:g} Å"
            lost = size < (1 - ALIKE) * self.pixel_size
            said.append(f"{text}; its detail beyond {2 * self.pixel_size:.3g} Å is not used." if lost else f"{text}.")
        return said


def interpolation(pixel_size: float, box: int, new_pixel_size: float, new_box: int) -> Images:
    """Return the matrix ``(new_box, box)`` that resamples a line of `box` pixels to others (sizes in Å), its centre ``box // 2`` staying the centre.

    The line is read as the periodic sum of its frequencies, those that the new pixels cannot hold left out: grey values stay, and beyond its ends
    a line goes on with its other end.
    """
    at = (np.arange(new_box) - new_box // 2) * (new_pixel_size / pixel_size) + box // 2
    away = at[:, None] - np.arange(box)
    last = min(box // 2, int(box * pixel_size / (2 * new_pixel_size)))
    waves = np.arange(1, last + 1)
    weights = np.where(2 * waves == box, 1.0, 2.0)
    lines = 1.0 + np.cos(2 * np.pi / box * away[..., None] * waves) @ weights
    return (lines / box).astype(np.float32)


def _places(particles: Particles, rows: pl.DataFrame) -> NDArray[np.int64]:
    position = particles.items.with_row_index("position").select("id", "position")
    return rows.select("id").join(position, on="id", how="left", maintain_order="left")["position"].to_numpy().astype(np.int64)


def _box(particles: Particles, place: int) -> int:
    return int(read_particles(particles, np.array([place])).shape[-1])
