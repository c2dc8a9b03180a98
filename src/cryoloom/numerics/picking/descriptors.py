"""What a place of a micrograph looks like whichever way it is turned: harmonics on rings, grey values, and how much detail there is.

A patch is read on rings about its centre, once for each of six frequency bands and once for the whole image. The angular correlations of
two bands, which no rotation changes, are products of their harmonics (Abrishami et al. 2013, doi:10.1093/bioinformatics/btt429, takes them
over angles: the same numbers up to an orthogonal transform, but no more of them than the bands can carry).
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.fourier.grids import radius_2d
from cryoloom.numerics.fourier.transforms import shift_images
from cryoloom.numerics.picking.blob import FEATURES, BlobMap, Blobs
from cryoloom.numerics.picking.scene import FINEST, GRAIN, Scene, reduce_micrograph

Array = NDArray[np.float64]

BANDS, WIDTH, ROLL_OFF = 6, 0.025, 0.02
"""Number of frequency bands, and width and roll-off of each, cycles a grain."""
WHOLE = BANDS
"""The channel that holds the image itself."""
FIRST_RING = 3
REACH = 0.75
"""Radius of the patch in diameters: half a box of 1.5 diameters."""
FLAT = 0.01
"""What varies more slowly than this, cycles a grain, is illumination and ice, and left out of the whole image."""
DECILES = np.arange(0.1, 1.01, 0.1)
CHUNK = 256
"""Places described at once: memory, not results, depend on it."""


@dataclass(frozen=True)
class Grain:
    """The lengths in which patches are read, whatever the micrograph's pixels.

    Attributes
    ----------
    size
        Å; a fortieth of the particle where the micrographs the model was made on have pixels as small.
    diameter
        Of the particle, Å.
    """

    size: float
    diameter: float

    @classmethod
    def fitting(cls, diameter: float, pixel_size: float) -> "Grain":
        """Return the grain for a particle of `diameter` Å on micrographs of `pixel_size` Å."""
        return cls(max(diameter / GRAIN, FINEST, pixel_size), diameter)

    @property
    def rings(self) -> NDArray[np.float32]:
        """Return the radii of the rings, in grains."""
        return np.arange(FIRST_RING, math.floor(REACH * self.diameter / self.size) + 1, dtype=np.float32)

    @property
    def harmonics(self) -> int:
        """Return the number of harmonics, the mean included, that the bands can carry on the outermost ring."""
        return math.ceil(2.0 * math.pi * float(self.rings[-1]) * BANDS * WIDTH) + 1

    @property
    def angles(self) -> int:
        """Return the number of samples on a ring: a power of two that holds the harmonics."""
        return 1 << math.ceil(math.log2(max(2 * self.harmonics, 16)))


@dataclass(frozen=True)
class Descriptors:
    """Descriptions of n places.

    Attributes
    ----------
    harmonics
        ``(n, BANDS + 1, rings, harmonics)`` complex64; each channel of a place has mean square 1 over the disc.
    greys
        ``(n, 12)``: mean and standard deviation of the disc in units of the micrograph's, deciles 1 to 10 of its standardised values.
    detail
        ``(n, 2)``: see `blob.FEATURES`.
    """

    harmonics: NDArray[np.complex64]
    greys: NDArray[np.float32]
    detail: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.greys)

    def __getitem__(self, which: slice | NDArray[np.generic]) -> "Descriptors":
        return Descriptors(self.harmonics[which], self.greys[which], self.detail[which])

    @staticmethod
    def none(grain: Grain) -> "Descriptors":
        """Return the descriptions of no places."""
        shape = (0, BANDS + 1, len(grain.rings), grain.harmonics)
        greys, detail = np.zeros((0, 2 + len(DECILES)), np.float32), np.zeros((0, len(FEATURES)), np.float32)
        return Descriptors(np.zeros(shape, np.complex64), greys, detail)

    @staticmethod
    def joined(parts: "list[Descriptors]") -> "Descriptors":
        """Return the descriptions of several lists as one."""
        return Descriptors(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("harmonics", "greys", "detail")))


class View:
    """A micrograph made ready to be described anywhere.

    The scene's pixels are moved so that they lie evenly about the micrograph's middle: one turned by 90° gives the same pixels, turned.

    Parameters
    ----------
    scene
        The micrograph at the scale of its particles, particles bright.
    grain
        Of the model.
    border
        Least distance of candidates from an edge, diameters.
    """

    def __init__(self, scene: Scene, grain: Grain, *, border: float = 0.3) -> None:
        self.grain = grain
        self._first = tuple((scale - 1.0) / 2.0 for scale in scene.scale)
        away = torch.tensor([-first / scale for first, scale in zip(self._first[::-1], scene.scale[::-1], strict=True)])
        self.scene = replace(scene, pixels=shift_images(scene.pixels, away))
        self._map = BlobMap(self.scene)
        found = self._map.blobs(border)
        self.candidates: Blobs = replace(found, x=found.x + self._first[1], y=found.y + self._first[0])
        self._channels = _channels(self.scene.pixels, scene.pixel_size / grain.size)

    @classmethod
    def of(cls, image: NDArray[np.generic], pixel_size: float, grain: Grain, *, bright: bool = False, border: float = 0.3) -> "View":
        """Return the view of a micrograph ``(h, w)`` of `pixel_size` Å whose particles are dark, or `bright`.

        Raises
        ------
        ValueError
            If the particle's diameter is above half the short side.
        """
        return cls(reduce_micrograph(image, pixel_size, grain.diameter, dark=not bright), grain, border=border)

    def noise(self, seed: int) -> "View":
        """Return the view of noise that has the spectrum of this micrograph, and nothing in it."""
        pixels = self.scene.pixels
        random = torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(pixels.shape), dtype=np.float32))
        phases = torch.fft.rfft2(random)
        twin = torch.fft.irfft2(torch.fft.rfft2(pixels).abs() * phases / phases.abs().clamp(min=1e-6), s=tuple(pixels.shape))
        return View(replace(self.scene, pixels=twin), self.grain)

    def describe(self, x: Array, y: Array) -> Descriptors:
        """Describe places ``(n,)``, px of the micrograph."""
        x, y = np.asarray(x) - self._first[1], np.asarray(y) - self._first[0]
        scale_y, scale_x = self.scene.scale
        places = torch.from_numpy(np.stack([x / scale_x, y / scale_y], axis=-1).astype(np.float32).reshape(-1, 2))
        if not len(places):
            return Descriptors.none(self.grain)
        parts = [self._described(chunk) for chunk in places.split(CHUNK)]
        harmonics, greys = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Descriptors(harmonics, greys, self._map.features_at(x, y).astype(np.float32))

    def _described(self, places: Tensor) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Return harmonics and greys of `places` ``(n, 2)``, (x, y) in px of the scene."""
        grain, (height, width) = self.grain, self.scene.pixels.shape
        offsets, weights, disc = _rings(grain)
        step = grain.size / self.scene.pixel_size
        grid = places[:, None, None, :] + step * offsets  # (n, rings, angles, 2)
        grid = 2.0 * grid / torch.tensor([width - 1, height - 1]) - 1.0
        flat = grid.reshape(1, -1, grid.shape[2], 2)
        # `grid_sample` interpolates between four pixels; beyond the edge the image is mirrored.
        seen = torch.nn.functional.grid_sample(self._channels[None], flat, padding_mode="reflection", align_corners=True)[0]
        seen = seen.reshape(len(self._channels), len(places), *offsets.shape[:2]).transpose(0, 1)  # (n, channels, rings, angles)
        mean = (seen.mean(dim=-1) * weights).sum(dim=-1)
        centred = seen - mean[..., None, None]
        spread = ((centred**2).mean(dim=-1) * weights).sum(dim=-1).clamp(min=1e-12).sqrt()
        harmonics = torch.fft.rfft(centred / spread[..., None, None], norm="forward")[..., : grain.harmonics]
        patch = (centred[:, WHOLE] / spread[:, WHOLE, None, None]).flatten(1)[:, disc]
        deciles = np.quantile(patch.numpy(), DECILES, axis=1).T
        greys = np.column_stack([mean[:, WHOLE].numpy(), spread[:, WHOLE].numpy(), deciles])
        return harmonics.numpy(), greys.astype(np.float32)


def _channels(pixels: Tensor, step: float) -> Tensor:
    """Return ``(BANDS + 1, h, w)``: `pixels` in each band and as a whole, in standard deviations of the whole.

    Parameters
    ----------
    step
        Grains across a pixel.
    """
    shape = (int(pixels.shape[0]), int(pixels.shape[1]))
    transform = torch.fft.rfft2(pixels)
    radius = radius_2d(*shape) / step
    whole = _rise((radius - FLAT) / FLAT) * _rise((BANDS * WIDTH - radius) / ROLL_OFF)
    bands = [_rise((radius - WIDTH * i) / ROLL_OFF) * _rise((WIDTH * (i + 1) - radius) / ROLL_OFF) for i in range(BANDS)]
    # The lowest band takes what is slower too, but for the mean and the illumination.
    bands[0] = whole * _rise((WIDTH - radius) / ROLL_OFF)
    channels = torch.stack([torch.fft.irfft2(transform * factor, s=shape) for factor in (*bands, whole)])
    spread = _quiet_spread(channels[WHOLE])
    return channels / spread if spread > 0 else channels


def _quiet_spread(image: Tensor) -> Tensor:
    """Return the standard deviation of the quieter half of an image, as that of 16 px squares: contaminants do not count."""
    energy = torch.nn.functional.avg_pool2d(image[None, None] ** 2, 16, ceil_mode=True, count_include_pad=False)
    return energy.quantile(0.25).sqrt()


def _rise(steps: Tensor) -> Tensor:
    """Return 0 up to -1, 1 from 0, and half a cosine in between."""
    return 0.5 * (1.0 + torch.cos(math.pi * steps.clamp(-1.0, 0.0)))


@lru_cache(maxsize=4)
def _rings(grain: Grain) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Return the samples of a patch.

    Returns
    -------
    offsets
        ``(rings, angles, 2)`` (x, y) from the centre, grains.
    weights
        ``(rings,)`` share of each ring in the disc.
    disc
        Flat indices of samples that lie evenly in the disc.
    """
    radii, angles = torch.from_numpy(grain.rings), grain.angles
    turn = torch.arange(angles) * (2.0 * math.pi / angles)
    offsets = radii[:, None, None] * torch.stack([torch.cos(turn), torch.sin(turn)], dim=-1)
    last = float(radii[-1])
    disc = [
        ring * angles + np.arange(count) * angles // count
        for ring, count in enumerate(max(4, round(angles * float(radius) / last)) for radius in radii)
    ]
    return offsets, radii / radii.sum(), np.concatenate(disc)
