"""One local iteration's look at the images of a part: the best pose near the last one, then what else may be fitted."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery
from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.continuous import FROZEN, fit_images
from cryoloom.numerics.align.expectation import Effort, Pass
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.ctf.electron import electron_wavelength
from cryoloom.numerics.ctf.model import ctf_phase
from cryoloom.numerics.geometry.rotations import rotation_from_vector, vector_from_rotation

Array = NDArray[np.float64]

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3.0)
"""Directions of the eight turns by which starts lie beside the last pose."""


@dataclass(frozen=True)
class Near(Effort):
    """An effort whose starts are the last pose and eight poses `step` radians about it; the best of each peak goes on."""

    step: float = 0.0

    def starts(self, rotations: Array, shifts: Array) -> tuple[Array, Array]:
        """See `Effort`; the last pose comes first."""
        turned, moved = super().starts(rotations, shifts)
        turns = rotation_from_vector(np.concatenate([np.zeros((1, 3)), self.step * CORNERS]))
        around = (turns[None, :, None] @ turned[:, None]).reshape(len(turned), -1, 3, 3)
        return around, np.tile(moved, (1, len(turns), 1))

    def stages(self, band: int, *, wide: bool, kept: int) -> list[tuple[int, int, int]]:
        """See `Effort`; there are always many starts."""
        return super().stages(band, wide=True, kept=kept)


@dataclass(frozen=True)
class Freedom:
    """What may change in an iteration.

    Attributes
    ----------
    turn, move
        Largest change of a pose, radians and px; infinite for none, 0 where the last pose stays.
    grey, magnification, defocus
        Largest change of the grey scale and magnification (parts of one) and of the defocus (Å); 0 for none.
    """

    turn: float = np.inf
    move: float = np.inf
    grey: float = 0.0
    magnification: float = 0.0
    defocus: float = 0.0

    @property
    def bounds(self) -> Array:
        """Return the bounds of what `continuous` fits, ``(5,)``; astigmatism may change by a quarter of what the defocus may."""
        return np.array([self.grey, self.magnification, self.defocus, self.defocus / 4, self.defocus / 4])

    @property
    def precisions(self) -> Array:
        """Return the precisions of priors whose standard deviations are the bounds, ``(5,)``."""
        return np.where(self.bounds > 0, 1.0 / np.maximum(self.bounds, 1e-12) ** 2, FROZEN)


@dataclass(frozen=True)
class Found:
    """What was found of some images.

    Attributes
    ----------
    rotations, shifts, covariances
        Best pose ``(n, 3, 3)`` and ``(n, 2)`` px, and its covariance ``(n, 5, 5)``, see `Posterior`.
    certainty, log_likelihood
        Weight of the best pose, and how much more likely the image is with the reference than as noise, ``(n,)``.
    values, curvatures
        See `continuous`, ``(n, 5)`` and ``(n, 5, 5)``.
    told
        What `fit_images` tells of the fit, ``(n, 3)``.
    bounded
        Whether the pose came to a bound, ``(n,)``.
    """

    rotations: Array
    shifts: Array
    covariances: Array
    certainty: Array
    log_likelihood: Array
    values: Array
    curvatures: Array
    told: Array
    bounded: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: list["Found"]) -> "Found":
        """Put what was found of consecutive images one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def taken(self, rows: NDArray[np.int64]) -> "Found":
        """Return what was found of some of the images, in the order of `rows`."""
        return Found(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class LocalPass:
    """A pass over some images, block by block; attributes as those of `Pass`, and what may change."""

    images: ImageSet
    rows: NDArray[np.int64]
    grid: NDArray[np.float32]
    gallery: Gallery | None
    noise: Array
    effort: Effort
    rotations: Array
    shifts: Array
    freedom: Freedom
    pixel_size: float
    known: bool = True

    def block(self, part: slice) -> Found:
        """Fit the images of a block of the rows."""
        chosen = self.rows[part]
        every = Pass(
            self.images, self.rows, self.grid, self.gallery, self.noise, self.effort, self.rotations, self.shifts, known=self.known
        )  # fmt: skip
        posterior = every.block(part).posterior
        turned, moved, bounded = self._bounded(
            self.rotations[chosen], self.shifts[chosen], posterior.rotations[:, 0], posterior.shifts[:, 0]
        )
        values, curvatures, told = self._fitted(chosen, turned, moved)
        return Found(
            turned, moved, posterior.covariances[:, 0], posterior.weights[:, 0], posterior.log_likelihood, values, curvatures, told, bounded
        )  # fmt: skip

    def _bounded(self, rotations: Array, shifts: Array, turned: Array, moved: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Return poses no farther from the last ones than they may be, and which were."""
        mates = self.effort.group.mates(turned)
        nearest = np.argmax(np.einsum("nmij,nij->nm", mates, rotations), axis=1)
        turned = mates[np.arange(len(mates)), nearest]
        vectors, steps = vector_from_rotation(turned @ np.swapaxes(rotations, -1, -2)), moved - shifts
        angles, lengths = np.linalg.norm(vectors, axis=1), np.linalg.norm(steps, axis=1)
        far, away = angles > self.freedom.turn, lengths > self.freedom.move
        turned[far] = rotation_from_vector(vectors[far] * (self.freedom.turn / angles[far])[:, None]) @ rotations[far]
        moved = np.where(away[:, None], shifts + steps * (self.freedom.move / np.maximum(lengths, 1e-12))[:, None], moved)
        return turned, moved, (far & (self.freedom.turn > 0)) | (away & (self.freedom.move > 0))

    def _fitted(self, chosen: NDArray[np.int64], rotations: Array, shifts: Array) -> tuple[Array, Array, Array]:
        """Return values, curvatures and what the fit tells; see `Found`."""
        images, plane, freedom = self.images, self.images.plane.within(self.effort.band), self.freedom
        count, group = len(plane.kx), images.group[chosen]
        shown = images.transfers.take(chosen, count)
        shown = np.where(images.premultiplied[group][:, None], shown * shown, shown)
        # An image that was multiplied by something of its CTF cannot tell another defocus.
        able = np.array([not (one.phase_flipped or one.premultiplied or one.from_first_peak) for one in images.transfers.optics])
        follows = able[group] & (freedom.defocus > 0) & (images.transfers.distinct is not None)
        phase, path, double = self._phases(plane, chosen) if follows.any() else (np.zeros((len(chosen), 1)),) * 2 + (np.zeros((1, 2)),)
        values, curvatures, told = np.zeros((len(chosen), 5)), np.zeros((len(chosen), 5, 5)), np.zeros((len(chosen), 3))
        inverse = (1.0 / self.noise[group][:, plane.shell]).astype(np.float32)
        # A tiny precision keeps what the data say nothing of.
        precisions = freedom.precisions
        fit_images(
            self.grid, plane.kx, plane.ky, plane.box, rotations, shifts, images.storage.take(chosen, count), images.scale[chosen], inverse,
            shown, follows, phase, path, double, precisions, freedom.bounds, values, curvatures, told,
        )  # fmt: skip
        return values, curvatures, told

    def _phases(self, plane: HalfPlane, chosen: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Return the phase of the CTF and its growth with the defocus (1/Å), ``(B, K)``, and cosine and sine of twice the azimuth, ``(K, 2)``."""
        transfers = self.images.transfers
        assert transfers.distinct is not None
        x, y = (torch.from_numpy(k.astype(np.float64) / (plane.box * self.pixel_size)) for k in (plane.kx, plane.ky))
        table = transfers.distinct[transfers.member[chosen]]
        phase, path = np.empty((len(chosen), len(plane.kx))), np.empty((len(chosen), len(plane.kx)))
        for index in np.unique(table[:, 0].astype(int)):
            here, optics = table[:, 0] == index, transfers.optics[index]
            columns = (torch.from_numpy(np.ascontiguousarray(table[here, c]))[:, None] for c in range(1, 5))
            phase[here] = ctf_phase(
                x[None], y[None], *columns, voltage=optics.voltage, cs=optics.cs, amplitude_contrast=optics.amplitude_contrast
            ).numpy()
            path[here] = np.pi * electron_wavelength(optics.voltage) * (x * x + y * y).numpy()
        azimuth = 2.0 * np.arctan2(plane.ky, plane.kx).astype(np.float64)
        return phase, path, np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
