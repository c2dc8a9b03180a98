"""Where the coefficients of images come from: held in memory, or made anew from the images whenever they are asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane, background, circular_mask
from cryoloom.numerics.fourier.transforms import centred_irfft2, centred_rfft2

Rows = NDArray[np.int64]
Images = NDArray[np.float32]
Source = Callable[[Rows], Images]
"""Returns images ``(b, box, box)`` by their row."""


def held_bytes(last: int) -> float:
    """Return the memory of one image whose coefficients out to shell `last` are held: two half discs of complex64."""
    return 8 * np.pi * last**2


class Storage(Protocol):
    """Coefficients of images, inside the circular mask (which are compared) and of the whole image (which are averaged)."""

    def take(self, rows: Rows, count: int, *, whole: bool = False) -> Coefficients:
        """Return the first `count` coefficients of some images, ``(b, count)``."""
        ...

    def subset(self, rows: Rows) -> "Storage":
        """Return the storage of some of the images."""
        ...


@dataclass(frozen=True)
class Preparation:
    """How an image becomes coefficients.

    Attributes
    ----------
    plane
        The coefficients listed.
    diameter
        Of the circular mask, px; soft edge of 5 px outside it.
    normalise
        Bring every image's background to mean 0 and standard deviation 1.
    noise
        ``E|N|²`` a shell of the noise that takes the place of what the mask cuts off, ``(last + 1,)``; None fills with zeros.
    seed
        Of that noise.
    corrections, group
        Factors that free the transforms of each optics group of its beam tilt, ``(groups, K)``, and the group of every row of the set; None where
        there is none.
    """

    plane: HalfPlane
    diameter: float
    normalise: bool = False
    noise: NDArray[np.float64] | None = None
    seed: int = 0
    corrections: Coefficients | None = None
    group: Rows | None = None

    @property
    def mask(self) -> Images:
        """Return the circular mask ``(box, box)``."""
        return circular_mask(self.plane.box, self.diameter, 5.0)

    def scaled(self, images: Images) -> Images:
        """Return images with the backgrounds that alignment expects."""
        if not self.normalise:
            return images
        mean, spread = (values[:, None, None] for values in background(images, self.diameter))
        return ((images - mean) / np.maximum(spread, 1e-12)).astype(np.float32)

    def masked(self, images: Images, rows: Rows) -> Images:
        """Return images of some rows of the set with nothing but zeros or noise outside the mask; the noise of a row is always the same."""
        mask = self.mask
        if self.noise is None:
            return images * mask
        drawn = np.stack([np.random.default_rng([self.seed, row]).standard_normal(mask.shape, np.float32) for row in rows.tolist()])
        # Squares of the two weights make one: the power is the same everywhere.
        return images * mask + self._coloured(drawn) * np.sqrt(1.0 - mask**2)

    def corrected(self, coefficients: Coefficients, rows: Rows) -> Coefficients:
        """Return transforms ``(b, count)`` of some rows of the set freed of beam tilt."""
        if self.corrections is None or self.group is None:
            return coefficients
        return coefficients * self.corrections[self.group[rows], : coefficients.shape[1]]

    def _coloured(self, white: Images) -> Images:
        """Return white noise of variance one with the spectrum `noise`, which goes on beyond the last shell as it ends."""
        assert self.noise is not None
        box = self.plane.box
        ky, kx = np.fft.fftfreq(box)[:, None] * box, np.arange(box // 2 + 1)
        shell = np.minimum(np.round(np.hypot(ky, kx)).astype(np.int64), self.plane.last)
        amplitude = torch.from_numpy(np.sqrt(self.noise[shell] / box**2).astype(np.float32))
        return centred_irfft2(centred_rfft2(torch.from_numpy(white)) * amplitude, (box, box)).numpy()


def background_power(plane: HalfPlane, images: Images, mask: Images) -> NDArray[np.float64]:
    """Return ``E|N|²`` a shell of the noise outside `mask` in images ``(n, box, box)``, as of whole images, ``(last + 1,)``."""
    outside = 1.0 - mask
    return plane.shell_power(plane.of_images(images * outside)).mean(axis=0) / float((outside.astype(np.float64) ** 2).mean())


@dataclass(frozen=True)
class Held:
    """All coefficients in memory; see `held_bytes`."""

    masked: Coefficients
    whole: Coefficients

    @classmethod
    def of(cls, blocks: Iterator[Images], count: int, preparation: Preparation) -> "Held":
        """Transform `count` images as they come, in blocks.

        Raises
        ------
        ValueError
            If an image holds values that are not finite, or nothing but one value.
        """
        plane = preparation.plane
        masked = np.empty((count, len(plane.kx)), np.complex64)
        whole = np.empty_like(masked)
        start = 0
        for images in blocks:
            part = slice(start, start + len(images))
            if not np.isfinite(images).all() or (images.std(axis=(1, 2)) == 0).any():
                bad = start + int(np.flatnonzero(~np.isfinite(images).all(axis=(1, 2)) | ~(images.std(axis=(1, 2)) > 0))[0])
                raise ValueError(f"image {bad} (from 0) is constant or holds values that are not finite")
            scaled, rows = preparation.scaled(images), np.arange(start, start + len(images))
            whole[part] = preparation.corrected(plane.of_images(scaled), rows)
            masked[part] = preparation.corrected(plane.of_images(preparation.masked(scaled, rows)), rows)
            start += len(images)
        return cls(masked, whole)

    def take(self, rows: Rows, count: int, *, whole: bool = False) -> Coefficients:
        """See `Storage`."""
        return (self.whole if whole else self.masked)[rows, :count]

    def subset(self, rows: Rows) -> "Held":
        """See `Storage`; the coefficients are copied."""
        return Held(self.masked[rows], self.whole[rows])


@dataclass(frozen=True)
class Streamed:
    """Nothing in memory: images are read and transformed whenever they are asked for, at a tenth of what their alignment costs.

    `rows` are the images' rows in `source`; what it returns must be usable, as `Held.of` demands.
    """

    source: Source
    rows: Rows
    preparation: Preparation

    def take(self, rows: Rows, count: int, *, whole: bool = False) -> Coefficients:
        """See `Storage`."""
        images = self.preparation.scaled(self.source(self.rows[rows]))
        plane = self.preparation.plane
        kept = HalfPlane(plane.box, int(plane.shell[count - 1]), plane.kx[:count], plane.ky[:count], plane.shell[:count])
        made = kept.of_images(images if whole else self.preparation.masked(images, self.rows[rows]))
        return self.preparation.corrected(made, self.rows[rows])

    def subset(self, rows: Rows) -> "Streamed":
        """See `Storage`."""
        return replace(self, rows=self.rows[rows])
