"""A particle set ready for alignment: coefficients with and without the mask, transfer functions, and noise spectra.

Memory: that of the coefficients (see `storage`), and 4 bytes a coefficient for every distinct transfer function as long as they fit
`TRANSFERS_HELD`; more are computed whenever they are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.align.storage import Held, Images, Preparation, Source, Storage, Streamed

Array = NDArray[np.float64]

TRANSFERS_HELD = 1 << 29
"""Bytes of transfer functions up to which they are kept."""


@dataclass(frozen=True)
class Defocus:
    """Per image: defocus in Å (underfocus positive), astigmatism angle and phase shift in degrees, shape ``(n,)``."""

    u: Array
    v: Array
    angle: Array
    phase_shift: Array


@dataclass(frozen=True)
class Transfers:
    """The transfer functions of a set.

    Attributes
    ----------
    plane, pixel_size, optics
        The coefficients, Å/px, and the optics groups.
    distinct
        Group, defocus u and v (Å), angle and phase shift (degrees) of every distinct function, ``(U, 5)``; None where there is no CTF.
    member
        Which of them an image has, ``(n,)``.
    held
        All of them ``(U, K)``, or None where they are too many to keep.
    """

    plane: HalfPlane
    pixel_size: float
    optics: tuple[Optics, ...]
    distinct: Array | None
    member: NDArray[np.int64]
    held: NDArray[np.float32] | None

    @classmethod
    def of(
        cls, plane: HalfPlane, pixel_size: float, optics: tuple[Optics, ...], group: NDArray[np.int64], defocus: Defocus | None
    ) -> "Transfers":
        """Take those of images of optics groups `group` at `defocus`; None means that the transfer function is one."""
        if defocus is None:
            one = np.ones((1, len(plane.kx)), np.float32)
            return cls(plane, pixel_size, optics, None, np.zeros(len(group), np.int64), one)
        table = np.stack([group, defocus.u, defocus.v, defocus.angle, defocus.phase_shift], axis=1)
        distinct, member = np.unique(table, axis=0, return_inverse=True)
        made = cls(plane, pixel_size, optics, distinct, member.ravel().astype(np.int64), None)
        if 4 * len(distinct) * len(plane.kx) > TRANSFERS_HELD:
            return made
        held = np.empty((len(distinct), len(plane.kx)), np.float32)
        for start in range(0, len(distinct), 256):
            held[start : start + 256] = made._computed(distinct[start : start + 256], len(plane.kx))
        return replace(made, held=held)

    def take(self, rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        """Return the first `count` values of some images' functions, ``(b, count)``."""
        member = self.member[rows]
        if self.held is not None:
            return self.held[member, :count]
        assert self.distinct is not None
        return self._computed(self.distinct[member], count)

    def subset(self, rows: NDArray[np.int64]) -> "Transfers":
        """Return those of some of the images."""
        return replace(self, member=self.member[rows])

    def _computed(self, table: Array, count: int) -> NDArray[np.float32]:
        x, y = (
            torch.from_numpy(k[:count])[None, :].to(torch.float64) / (self.plane.box * self.pixel_size)
            for k in (self.plane.kx, self.plane.ky)
        )
        out = np.empty((len(table), count), np.float32)
        for index in np.unique(table[:, 0].astype(int)):
            here = table[:, 0] == index
            columns = (torch.from_numpy(np.ascontiguousarray(table[here, c]))[:, None] for c in range(1, 5))
            out[here] = self.optics[index].transfer(x, y, *columns).numpy()
        return out


@dataclass(frozen=True)
class ImageSet:
    """Images of one box and pixel size.

    Attributes
    ----------
    plane
        The coefficients kept.
    storage
        Transforms ``(n, K)`` inside the circular mask, which are compared, and of the whole image, which are averaged: the transfer
        function spreads signal beyond the mask.
    transfers
        Their transfer functions.
    group
        Index of the optics group ``(n,)``.
    premultiplied, reach
        Per group: see `Optics`, and the last shell that holds anything.
    coverage
        Fraction of an image's noise power that the masked transforms hold: the mean of the squared mask, or 1 where noise fills the rest.
    scale
        Grey scale of every image: what the signal of a reference is multiplied by in it, ``(n,)``.
    """

    plane: HalfPlane
    storage: Storage
    transfers: Transfers
    group: NDArray[np.int64]
    premultiplied: NDArray[np.bool_]
    reach: NDArray[np.int64]
    coverage: float
    scale: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.group)

    @classmethod
    def of(
        cls,
        images: Iterator[Images] | Source,
        count: int,
        box: int,
        pixel_size: float,
        mask_diameter: float,
        *,
        last: int | None = None,
        optics: tuple[Optics, ...],
        group: NDArray[np.int64],
        defocus: Defocus | None,
        normalise: bool = False,
        noise: Array | None = None,
        seed: int = 0,
    ) -> "ImageSet":
        """Prepare images.

        Parameters
        ----------
        images
            Blocks of consecutive images ``(b, box, box)``, whose coefficients are held in memory; or a function that returns images by
            their row whenever it is called, for sets that would not fit.
        count, box, pixel_size
            Of the set; px and Å/px.
        mask_diameter
            Å; soft edge of 5 px outside it.
        last
            Last shell kept; None keeps all.
        optics, group
            The groups, and the index of each image's.
        defocus
            None: the transfer function is one.
        normalise
            Bring every image's background to mean 0 and standard deviation 1.
        noise, seed
            What takes the place of what the mask cuts off, see `Preparation`.

        Raises
        ------
        ValueError
            If an image to be held has values that are not finite, or nothing but one value.
        """
        plane = HalfPlane.of(box, box // 2 if last is None else last)
        tilted = any(any(entry.beam_tilt) for entry in optics)
        extent = np.float32(box * pixel_size)
        corrections = np.stack([entry.correction(plane.kx / extent, plane.ky / extent) for entry in optics]) if tilted else None
        preparation = Preparation(plane, mask_diameter / pixel_size, normalise, noise, seed, corrections, group)
        storage = Streamed(images, np.arange(count), preparation) if callable(images) else Held.of(images, count, preparation)
        transfers = Transfers.of(plane, pixel_size, optics, group, defocus)
        premultiplied = np.array([entry.premultiplied for entry in optics])
        reach = np.array([min(plane.last, int(box * pixel_size / max(entry.finest, 2 * pixel_size))) for entry in optics])
        coverage = float((preparation.mask.astype(np.float64) ** 2).mean()) if noise is None else 1.0
        return cls(plane, storage, transfers, group, premultiplied, reach, coverage, np.ones(count, np.float32))

    def subset(self, rows: NDArray[np.int64]) -> "ImageSet":
        """Return some of the images."""
        return replace(
            self, storage=self.storage.subset(rows), transfers=self.transfers.subset(rows), group=self.group[rows], scale=self.scale[rows]
        )

    def scaled(self, scale: Array) -> "ImageSet":
        """Return the set with other grey scales ``(n,)``."""
        return replace(self, scale=scale.astype(np.float32))

    def total_power(self) -> Array:
        """Return the mean ``E|X|²`` a shell and group of the masked images scaled to the whole image, ``(groups, last + 1)``.

        It is infinite where a group's images hold nothing: as noise it gives them no weight there.
        """
        total = np.zeros((len(self.premultiplied), self.plane.last + 1))
        for start in range(0, len(self), 512):
            rows = np.arange(start, min(start + 512, len(self)))
            np.add.at(total, self.group[rows], self.plane.shell_power(self.storage.take(rows, len(self.plane.kx))))
        members = np.bincount(self.group, minlength=len(total))[:, None]
        power = np.maximum(total / np.maximum(members, 1) / self.coverage, 1e-30)
        return np.where(np.arange(self.plane.last + 1) > self.reach[:, None], np.inf, power)

    def prepare(
        self, rows: NDArray[np.int64], plane: HalfPlane, noise: Array, *, whole: bool = False
    ) -> tuple[Coefficients, NDArray[np.float32]]:
        """Return ``s CTF · X / E|N|²`` and ``s² CTF² / E|N|²`` of some images of grey scale s over a prefix of the list, ``(B, K)`` each.

        The noise is that of the whole image for the masked one too: that makes the sum over all coefficients the likelihood of the
        pixels inside the mask, which neighbouring coefficients otherwise count more than once.
        """
        images = self.storage.take(rows, len(plane.kx), whole=whole)
        data, weight = np.empty_like(images), np.empty(images.shape, np.float32)
        inverse = (1.0 / noise[:, plane.shell]).astype(np.float32)
        transfers, group = self.transfers.take(rows, len(plane.kx)), self.group[rows]
        prepare_rows(images, transfers, group, self.premultiplied, self.scale[rows], inverse, data, weight)
        return data, weight


@njit(nogil=True, cache=True, error_model="numpy")
def prepare_rows(images, transfers, group, premultiplied, scale, inverse, data, weight):
    """Write ``s CTF · X / E|N|²`` and ``s² CTF² / E|N|²`` ``(B, K)``; images multiplied by the CTF already are not multiplied again."""
    for b in range(len(images)):
        g, s = group[b], scale[b]
        for p in range(data.shape[1]):
            c = transfers[b, p]
            w = s * inverse[g, p]
            data[b, p] = images[b, p] * (w if premultiplied[g] else c * w)
            weight[b, p] = c * c * w * s
