"""A particle set ready for alignment: coefficients with and without the mask, transfer functions, and noise spectra.

Memory: 16 bytes a coefficient and image (both transforms), about ``12.6 · box²`` bytes an image, and 4 bytes a coefficient for every
distinct transfer function.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane, background, circular_mask
from cryoloom.numerics.ctf.model import ctf

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Optics:
    """What the images of an optics group share: kV, mm, fraction; whether they were phase-flipped or multiplied by the transfer function."""

    voltage: float
    cs: float
    amplitude_contrast: float
    phase_flipped: bool = False
    premultiplied: bool = False


@dataclass(frozen=True)
class Defocus:
    """Per image: defocus in Å (underfocus positive), astigmatism angle and phase shift in degrees, shape ``(n,)``."""

    u: Array
    v: Array
    angle: Array
    phase_shift: Array


@dataclass(frozen=True)
class ImageSet:
    """Images of one box and pixel size.

    Attributes
    ----------
    plane
        The coefficients kept.
    masked, whole
        Transforms ``(n, K)`` inside the circular mask, which are compared, and of the whole image, which are averaged: the transfer
        function spreads signal beyond the mask.
    transfers, transfer
        Distinct transfer functions ``(U, K)`` and which one an image has ``(n,)``.
    group
        Index of the optics group ``(n,)``.
    premultiplied
        Per group.
    coverage
        Mean of the squared mask: the fraction of an image's noise power that the masked transforms hold.
    """

    plane: HalfPlane
    masked: Coefficients
    whole: Coefficients
    transfers: NDArray[np.float32]
    transfer: NDArray[np.int64]
    group: NDArray[np.int64]
    premultiplied: tuple[bool, ...]
    coverage: float

    def __len__(self) -> int:
        return len(self.group)

    @classmethod
    def of(
        cls,
        blocks: Iterator[NDArray[np.float32]],
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
    ) -> "ImageSet":
        """Transform images as they come.

        Parameters
        ----------
        blocks
            Consecutive images ``(b, box, box)``, `count` in all.
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

        Raises
        ------
        ValueError
            If an image holds values that are not finite, or nothing but one value.
        """
        plane = HalfPlane.of(box, box // 2 if last is None else last)
        mask = circular_mask(box, mask_diameter / pixel_size, 5.0)
        masked = np.empty((count, len(plane.kx)), np.complex64)
        whole = np.empty_like(masked)
        start = 0
        for images in blocks:
            part = slice(start, start + len(images))
            if not np.isfinite(images).all() or (images.std(axis=(1, 2)) == 0).any():
                bad = start + int(np.flatnonzero(~np.isfinite(images).all(axis=(1, 2)) | ~(images.std(axis=(1, 2)) > 0))[0])
                raise ValueError(f"image {bad} (from 0) is constant or holds values that are not finite")
            if normalise:
                mean, spread = (values[:, None, None] for values in background(images, mask_diameter / pixel_size))
                images = ((images - mean) / np.maximum(spread, 1e-12)).astype(np.float32)
            whole[part], masked[part] = plane.of_images(images), plane.of_images(images * mask)
            start += len(images)
        transfers, transfer = _transfers(plane, pixel_size, optics, group, defocus)
        premultiplied = tuple(entry.premultiplied for entry in optics)
        return cls(plane, masked, whole, transfers, transfer, group, premultiplied, float((mask.astype(np.float64) ** 2).mean()))

    def subset(self, rows: NDArray[np.int64]) -> "ImageSet":
        """Return some of the images; their coefficients are copied."""
        return replace(self, masked=self.masked[rows], whole=self.whole[rows], transfer=self.transfer[rows], group=self.group[rows])

    def total_power(self) -> Array:
        """Return the mean ``E|X|²`` a shell and group of the masked images scaled to the whole image, ``(groups, last + 1)``."""
        total = np.zeros((len(self.premultiplied), self.plane.last + 1))
        for start in range(0, len(self), 512):
            power = self.plane.shell_power(self.masked[start : start + 512])
            np.add.at(total, self.group[start : start + 512], power)
        members = np.bincount(self.group, minlength=len(total))[:, None]
        return np.maximum(total / np.maximum(members, 1) / self.coverage, 1e-30)

    def prepare(
        self, rows: NDArray[np.int64], plane: HalfPlane, noise: Array, *, whole: bool = False
    ) -> tuple[Coefficients, NDArray[np.float32]]:
        """Return ``CTF · X / E|N|²`` and ``CTF² / E|N|²`` of some images over a prefix of the list, ``(B, K)`` each.

        The noise is that of the whole image for the masked one too: that makes the sum over all coefficients the likelihood of the
        pixels inside the mask, which neighbouring coefficients otherwise count more than once.
        """
        count = len(plane.kx)
        data, weight = np.empty((len(rows), count), np.complex64), np.empty((len(rows), count), np.float32)
        inverse = (1.0 / noise[:, plane.shell]).astype(np.float32)
        prepare_rows(
            self.whole if whole else self.masked, self.transfers, self.transfer, self.group,
            np.array(self.premultiplied), inverse, rows, data, weight,
        )  # fmt: skip
        return data, weight


@njit(nogil=True, cache=True, error_model="numpy")
def prepare_rows(images, transfers, transfer, group, premultiplied, inverse, rows, data, weight):
    """Write ``CTF · X / E|N|²`` and ``CTF² / E|N|²`` of `rows`; images multiplied by the CTF already are not multiplied again."""
    for b in range(len(rows)):
        i = rows[b]
        g = group[i]
        for p in range(data.shape[1]):
            c = transfers[transfer[i], p]
            w = inverse[g, p]
            data[b, p] = images[i, p] * (w if premultiplied[g] else c * w)
            weight[b, p] = c * c * w


def _transfers(
    plane: HalfPlane, pixel_size: float, optics: tuple[Optics, ...], group: NDArray[np.int64], defocus: Defocus | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if defocus is None:
        return np.ones((1, len(plane.kx)), np.float32), np.zeros(len(group), np.int64)
    table = np.stack([group, defocus.u, defocus.v, defocus.angle, defocus.phase_shift], axis=1)
    distinct, member = np.unique(table, axis=0, return_inverse=True)
    x, y = (torch.from_numpy(k)[None, :].to(torch.float64) / (plane.box * pixel_size) for k in (plane.kx, plane.ky))
    out = np.empty((len(distinct), len(plane.kx)), np.float32)
    for start in range(0, len(distinct), 256):
        part = distinct[start : start + 256]
        for index in np.unique(part[:, 0].astype(int)):
            here = part[:, 0] == index
            entry = optics[index]
            columns = (torch.from_numpy(np.ascontiguousarray(part[here, c]))[:, None] for c in range(1, 5))
            values = ctf(x, y, *columns, voltage=entry.voltage, cs=entry.cs, amplitude_contrast=entry.amplitude_contrast).numpy()
            out[start : start + 256][here] = np.abs(values) if entry.phase_flipped else values
    return out, member.ravel().astype(np.int64)
