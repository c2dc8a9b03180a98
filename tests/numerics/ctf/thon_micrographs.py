"""Micrographs with known Thon rings, made independently of the code under test: numpy and scipy's transforms only, CTF written out by hand."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, rfft2

WAVELENGTHS = {100.0: 0.0370144, 200.0: 0.0250793, 300.0: 0.0196875}  # Å, tables of the relativistic de Broglie wavelength


@dataclass(frozen=True)
class Optics:
    pixel_size: float = 2.5
    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.1


@dataclass(frozen=True)
class Truth:
    """Defocus in Å, angle and plate in degrees."""

    u: float
    v: float
    angle: float = 0.0
    plate: float = 0.0

    @property
    def mean(self) -> float:
        return 0.5 * (self.u + self.v)


def transfer(fx, fy, truth: Truth, optics: Optics):
    """Return the dark-protein CTF written as Xmipp and RELION do, from Cartesian defocus terms."""
    wavelength = WAVELENGTHS[optics.voltage]
    s2 = fx**2 + fy**2
    angle = np.deg2rad(truth.angle)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    gamma = np.pi * wavelength * (truth.u * along**2 + truth.v * across**2) - 0.5 * np.pi * optics.cs * 1e7 * wavelength**3 * s2**2
    gamma = gamma + np.deg2rad(truth.plate)
    q = optics.amplitude_contrast
    return -(np.sqrt(1 - q * q) * np.sin(gamma) + q * np.cos(gamma))


def grid(shape, pixel_size):
    return np.fft.rfftfreq(shape[1], pixel_size)[None, :], np.fft.fftfreq(shape[0], pixel_size)[:, None]


def micrograph(
    shape: tuple[int, int],
    truth: Truth | None,
    optics: Optics,
    seed: int,
    *,
    dose: float = 30.0,
    particles: float = 9.0,
    b_factor: float = 80.0,
    ice: float = 350.0,
    radius: float = 110.0,
    last_ring: float | None = None,
    drift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Return counts: Poisson noise on the weak-phase image of globular particles in ice; no rings when `truth` is None.

    Physics in Å and radians: atoms of a protein or RNA (0.078 rad Å² each, 0.05 atoms/Å³, randomly placed, hence a flat spectrum)
    stand out of water of 0.034 molecules/Å³ whose own spectrum is suppressed below 4 Å. `particles` counts per 10⁶ Å²,
    `last_ring` (1/Å) ends the signal abruptly, `drift` (Å along x and y, even during the exposure) smears it.
    """
    rng = np.random.default_rng(seed)
    pixel = optics.pixel_size
    fx, fy = grid(shape, pixel)
    s2 = fx**2 + fy**2
    s = np.sqrt(s2)
    count = rng.poisson(particles * shape[0] * shape[1] * pixel**2 / 1e6)
    thickness = np.zeros(shape)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for cy, cx in rng.uniform(0, 1, (count, 2)) * shape:
        r = int(radius / pixel) + 2
        rows, cols = slice(max(0, int(cy) - r), int(cy) + r + 1), slice(max(0, int(cx) - r), int(cx) + r + 1)
        d2 = ((y[rows] - cy) ** 2 + (x[:, cols] - cx) ** 2) * pixel**2
        thickness[rows, cols] += 2 * np.sqrt(np.maximum(radius**2 - d2, 0))
    atom = 0.078
    lumps = 0.02 * atom * thickness + atom * np.sqrt(0.05 * thickness) / pixel * rng.standard_normal(shape)
    water = 0.06 * np.sqrt(0.034 * ice) / pixel * rng.standard_normal(shape)
    form = np.exp(-s2 * 8.0)  # atoms are about 1 Å wide
    suppressed = 0.35 + 0.9 * np.exp(-(((s - 0.28) / 0.05) ** 2))
    envelope = np.exp(-b_factor * s2 / 4)
    if last_ring is not None:
        envelope = envelope * (s < last_ring)
    if any(drift):
        envelope = envelope * np.sinc(drift[0] * fx + drift[1] * fy)
    phase = (rfft2(lumps) + rfft2(water) * suppressed) * form * envelope
    wave = transfer(fx, fy, truth, optics) if truth is not None else 0.0
    image = 1.0 + irfft2(2 * phase * wave, s=shape)
    counts = rng.poisson(np.maximum(image, 0.0) * dose * pixel**2).astype(np.float64)
    nyquist = s * pixel * 2
    return irfft2(rfft2(counts) * (1 - 0.45 * np.minimum(nyquist, 1.2)), s=shape).astype(np.float32)
