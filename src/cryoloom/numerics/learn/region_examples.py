"""What the networks of refine.deep_align learn from: aligned particles, moved anew, and projections of the map made to look like them.

Projections have the transfer functions, the grey scale and the noise of the particles; some are of nothing, and belong to all regions alike.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.coarse import shift_factors
from cryoloom.numerics.align.coefficients import Coefficients
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.regions import Regions
from cryoloom.numerics.geometry.sphere import healpix_directions
from cryoloom.numerics.learn.rings import Rings
from cryoloom.numerics.reconstruct.kernels import gather

Array = NDArray[np.float64]

CONCENTRATION = 20.0
"""Of the von Mises-Fisher density by which labels are smoothed."""
NOTHING = 0.08
"""Part of the projections that show no particle."""
ORDER, SAMPLE = 2, 256
"""HEALPix order of the directions that kernels begin with, 15 degrees, and how many particles tell the mean transfer function."""
RAREST = 5.0
"""How many times more often than the mean a particle of a rare region may be shown."""


@dataclass(frozen=True)
class Sight:
    """How images come before a network.

    Attributes
    ----------
    rings
        Where they are read.
    noise
        ``E|N|²`` of the whole image, ``(groups, shells)``.
    signal
        Mean ``|P|²`` of the map's projections, ``(shells,)``: with it images are Wiener-corrected for their CTF; None leaves them as they are.
    """

    rings: Rings
    noise: Array
    signal: Array | None = None

    def images(self, images: ImageSet, rows: NDArray[np.int64], shifts: Array | None = None) -> Tensor:
        """Return looks at particles ``(n, T · rings, places)``, moved by `shifts` ``(n, 2)`` px."""
        plane = self.rings.plane
        values = images.storage.take(rows, len(plane.kx), whole=True)
        if shifts is not None:
            values = values * shift_factors(plane, shifts)
        return self.rings.seen(self.corrected(values, images, rows))

    def corrected(self, values: Coefficients, images: ImageSet, rows: NDArray[np.int64]) -> Coefficients:
        """Return coefficients ``(n, K)`` of images with the optics of `rows`, Wiener-corrected if asked for."""
        if self.signal is None:
            return values
        plane = self.rings.plane
        ctf, group = images.transfers.take(rows, len(plane.kx)), images.group[rows]
        ratio = (self.noise[:, plane.shell] / np.maximum(self.signal[plane.shell], 1e-30))[group]
        once = np.where(images.premultiplied[group][:, None], 1.0, ctf)
        return (values * once / (ctf**2 + ratio)).astype(np.complex64)


@dataclass(frozen=True)
class Examples:
    """Aligned particles and a map, as a source of batches.

    Attributes
    ----------
    sight
        How a network sees.
    images, rows
        The particles, and which of them are learned from.
    directions
        Of all particles of `images`, unit vectors ``(n, 3)``.
    shifts
        That centre all particles of `images`, ``(n, 2)`` px.
    grid
        Map to slice, in the particles' grey values.
    regions
        What is to be told.
    spread
        Standard deviation of shifts, px.
    """

    sight: Sight
    images: ImageSet
    rows: NDArray[np.int64]
    directions: Array
    shifts: Array
    grid: NDArray[np.float32]
    regions: Regions
    spread: float

    def batch(self, real: int, made: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return looks at `real` particles and `made` projections, and how much they belong to every region ``(n, regions)``."""
        chosen = self.rows[rng.choice(len(self.rows), size=real + made, p=self._often)]
        moves = rng.normal(size=(real + made, 2)) * self.spread
        some, like = chosen[:real], chosen[real:]
        labels = self.regions.soft(self.directions[some], CONCENTRATION)
        seen = self.sight.images(self.images, some, self.shifts[some] + moves[:real])
        if made:
            values, directions, shown = self._made(like, moves[real:], rng)
            seen = torch.cat([seen, self.sight.rings.seen(self.sight.corrected(values, self.images, like))])
            soft = self.regions.soft(directions, CONCENTRATION)
            labels = np.concatenate([labels, np.where(shown[:, None], soft, np.float32(1 / len(self.regions)))])
        return seen, torch.from_numpy(labels)

    def views(self) -> tuple[Tensor, Array]:
        """Return the map as particles show it in the mean, from even directions: ``(m, rings, places)`` and unit vectors ``(m, 3)``."""
        plane = self.sight.rings.plane
        rot, tilt = healpix_directions(ORDER)
        rotations = euler_to_matrix(rot, tilt, np.zeros(len(rot)))
        rotations = rotations[self.regions.group.in_unit(rotations[:, 2])]
        some = np.unique(np.linspace(0, len(self.rows) - 1, SAMPLE).astype(np.int64))
        ctf = self.images.transfers.take(self.rows[some], len(plane.kx))
        once = np.where(self.images.premultiplied[self.images.group[self.rows[some]]][:, None], ctf, np.float32(1.0))
        mean = self.sight.corrected((ctf * once).astype(np.complex64), self.images, self.rows[some]).real.mean(axis=0)
        mean = (np.bincount(plane.shell, mean) / np.bincount(plane.shell))[plane.shell]
        return self.sight.rings.read((self._slices(rotations) * mean).astype(np.complex64)), rotations[:, 2]

    def _slices(self, rotations: Array) -> Coefficients:
        plane = self.sight.rings.plane
        found = np.empty((len(rotations), len(plane.kx), 2), np.float32)
        gather(self.grid, plane.kx, plane.ky, rotations.astype(np.float32), found)
        return found.view(np.complex64)[..., 0]

    @cached_property
    def _often(self) -> Array:
        """Return the probability of being drawn, of each of `rows`: regions are shown alike."""
        region = self.regions.nearest(self.directions[self.rows])
        often = 1.0 / np.bincount(region)[region]
        often = np.minimum(often / often.mean(), RAREST)
        return often / often.sum()

    def _made(self, like: NDArray[np.int64], moves: Array, rng: np.random.Generator) -> tuple[Coefficients, Array, NDArray[np.bool_]]:
        """Return projections ``(n, K)`` from even directions ``(n, 3)``, with the optics and noise of some particles, and which show one."""
        plane, count = self.sight.rings.plane, len(like)
        rot, psi = rng.uniform(-180, 180, (2, count))
        rotations = euler_to_matrix(rot, np.rad2deg(np.arccos(rng.uniform(-1, 1, count))), psi)
        shown = rng.random(count) >= NOTHING
        ctf, group = self.images.transfers.take(like, len(plane.kx)), self.images.group[like]
        once = np.where(self.images.premultiplied[group][:, None], ctf, np.float32(1.0))
        model = self._slices(rotations) * shift_factors(plane, moves) * (shown * self.images.scale[like])[:, None]
        drawn = rng.standard_normal((count, len(plane.kx), 2), np.float32).view(np.complex64)[..., 0]
        level = np.sqrt(0.5 * np.where(np.isfinite(self.sight.noise), self.sight.noise, 0.0)).astype(np.float32)
        return (model * ctf * once + drawn * once * level[:, plane.shell][group]).astype(np.complex64), rotations[:, 2], shown
