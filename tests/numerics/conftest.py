"""A generator of projections that shares nothing with the product: Gaussian blobs, transformed and projected by formula."""

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Blobs:
    """Point masses of unit weight with one Gaussian width, in px about the centre of a box."""

    centres: np.ndarray
    width: float
    box: int

    @classmethod
    def random(cls, box, *, count=60, width=1.4, seed=0):
        rng = np.random.default_rng(seed)
        lobes = np.array([[0, 0, 0], [0.17, 0.08, -0.04], [-0.1, 0.15, 0.1]]) * box
        radii = np.array([0.15, 0.1, 0.08]) * box
        which = rng.choice(3, size=count, p=[0.6, 0.25, 0.15])
        offsets = rng.normal(size=(count, 3))
        offsets *= (rng.uniform(size=count) ** (1 / 3) / np.linalg.norm(offsets, axis=1))[:, None]
        centres = lobes[which] + offsets * radii[which, None]
        return cls(centres - centres.mean(axis=0), width, box)

    def volume(self):
        """The map [z, y, x]: a sum of separable Gaussians of unit sum."""
        gx, gy, gz = (self._profile(self.centres[:, axis]) for axis in range(3))
        return np.einsum("az,ay,ax->zyx", gz, gy, gx).astype(np.float32)

    def projections(self, matrices, content_shifts=None):
        """Images (n, box, box): the map turned by A, summed along z, its content then moved by (x, y) px."""
        out = np.empty((len(matrices), self.box, self.box), np.float32)
        for n, a in enumerate(matrices):
            at = self.centres @ a[:2].T + (0 if content_shifts is None else content_shifts[n])
            out[n] = self._profile(at[:, 1]).T @ self._profile(at[:, 0])
        return out

    def _profile(self, positions):
        axis = np.arange(self.box) - self.box // 2
        return np.exp(-((axis - positions[:, None]) ** 2) / (2 * self.width**2)) / np.sqrt(2 * np.pi * self.width**2)


def transfer(box, pixel_size, defocus, *, voltage=300.0, cs=2.7, amplitude=0.1):
    """The contrast transfer over the full FFT grid (n, box, box), straight from the textbook formula, no astigmatism."""
    volts = voltage * 1e3
    wavelength = 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))
    k = np.fft.fftfreq(box, pixel_size)
    squared = k[:, None] ** 2 + k[None, :] ** 2
    chi = np.pi * wavelength * np.asarray(defocus)[:, None, None] * squared - 0.5 * np.pi * cs * 1e7 * wavelength**3 * squared**2
    return np.sqrt(1 - amplitude**2) * np.sin(chi) + amplitude * np.cos(chi)


@dataclass(frozen=True)
class Stack:
    images: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray
    defocus: np.ndarray
    noise: float


def simulate(blobs, count, *, pixel_size=4.0, snr=None, shift=1.5, seed=1, rotations=None, contrast=True):
    """Projections with random poses; `shifts` are to be added to the images to centre them, so the content lies at minus these."""
    rng = np.random.default_rng(seed)
    if rotations is None:
        q = rng.normal(size=(count, 4))
        w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        rotations = np.moveaxis(np.array(rows), -1, 0)
    shifts = rng.normal(size=(count, 2)) * shift
    images = blobs.projections(rotations, -shifts)
    defocus = rng.uniform(8000, 25000, count)
    if contrast:
        for start in range(0, count, 256):
            part = slice(start, start + 256)
            moved = np.fft.fft2(images[part]) * transfer(blobs.box, pixel_size, defocus[part])
            images[part] = np.fft.ifft2(moved).real
    noise = 0.0
    if snr is not None:
        noise = float(np.sqrt(images.var(axis=(1, 2)).mean() / snr))
        images += rng.normal(size=images.shape).astype(np.float32) * noise
    return Stack(images, rotations, shifts, defocus, noise)


@pytest.fixture(scope="session")
def blobs():
    return Blobs.random


@pytest.fixture(scope="session")
def project():
    return simulate


@pytest.fixture(scope="session")
def textbook_transfer():
    return transfer
