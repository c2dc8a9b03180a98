"""Movies of a random specimen, moved by formula and counted: a generator that shares nothing with the product."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cryoloom.numerics.motion.correct import Exposure, estimate_motion
from cryoloom.numerics.motion.frames import Frames


@dataclass(frozen=True)
class Specimen:
    """Relative contrast of a specimen of red spectrum on a canvas that is `margin` px larger on every side."""

    image: np.ndarray
    margin: int

    @classmethod
    def random(cls, shape, *, contrast, seed=0, margin=64, falloff=0.12):
        height, width = (side + 2 * margin for side in shape)
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        transform = np.fft.rfft2(np.random.default_rng(seed).normal(size=(height, width))) * np.exp(-radius / falloff)
        image = np.fft.irfft2(transform, s=(height, width))
        return cls(contrast * image / image.std(), margin)

    def moved(self, x, y):
        """The frame whose content has moved by (x, y) px, numbers, by Fourier phase."""
        ky, kx = np.fft.fftfreq(self.image.shape[0])[:, None], np.fft.rfftfreq(self.image.shape[1])[None, :]
        image = np.fft.irfft2(np.fft.rfft2(self.image) * np.exp(-2j * np.pi * (kx * x + ky * y)), s=self.image.shape)
        return image[self.margin : -self.margin, self.margin : -self.margin]

    def warped(self, x, y):
        """The same for displacements that vary, images of the frame's shape, by spline interpolation."""
        down, across = np.indices(x.shape) + self.margin
        return map_coordinates(self.image, [down - y, across - x], order=5)


def drift(frames, length, seed=0):
    """A smooth path (n, 2) of `length` px from end to end, fast at first."""
    time = 1 - np.exp(-2.0 * np.arange(frames) / max(1, frames - 1))
    bend = np.sin(np.pi * np.arange(frames) / max(1, frames - 1))
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    return length * (time[:, None] / time[-1] * along + 0.15 * bend[:, None] * across)


def counted(images, electrons, seed=0, pattern=1.0):
    """Poisson counts (n, h, w) of relative intensities ``1 + image`` seen through a static `pattern`."""
    rng = np.random.default_rng([seed, 7])
    return np.stack([rng.poisson(np.maximum(0.02, 1 + image) * electrons * pattern) for image in images]).astype(np.float32)


def prepared(counts, gain=None):
    return Frames(lambda number: counts[number], len(counts), gain=gain, defects=None, seed=3)


def aligned(counts, *, pixel_size=1.5, dose=1.0, grid=(1, 1), reach=60.0, gain=None):
    return estimate_motion(prepared(counts, gain), Exposure(pixel_size, 300.0, dose), reach=reach, grid=grid)


def off(found, true):
    """The RMSE per axis, px, means removed."""
    error = np.asarray(found) - true
    return np.sqrt(np.mean((error - error.mean(axis=0)) ** 2, axis=0))


@dataclass(frozen=True)
class Kit:
    specimen = staticmethod(Specimen.random)
    drift = staticmethod(drift)
    counted = staticmethod(counted)
    prepared = staticmethod(prepared)
    aligned = staticmethod(aligned)
    off = staticmethod(off)


@pytest.fixture(scope="session")
def kit():
    return Kit()
