"""Stacks of single particles: projection, transfer function, off-centre shift, white noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.fourier import backward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.phantom import Phantom
from cryoloom.numerics.simulate.poses import pose_matrix
from cryoloom.numerics.simulate.projection import project_transform

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Particle:
    """The truth of one image.

    Parameters
    ----------
    phantom
        Index of the phantom, or -1 for pure noise.
    angles
        rot, tilt, psi, degrees.
    origin
        x, y in Å, RELION's sign: *added* to the image to centre the particle. The particle lies at ``-origin`` from the box centre.
    defocus
        Its defocus, or None for an image without transfer function.
    beside
        Other particles in the same image.
    """

    phantom: int
    angles: tuple[float, float, float]
    origin: tuple[float, float]
    defocus: Defocus | None
    beside: tuple["Particle", ...] = ()


def clean_image(particle: Particle, phantoms: list[Phantom], microscope: Microscope, box: int, pixel_size: float) -> NDArray[np.float32]:
    """Return the noise-free bright image ``(box, box)``: ``F = CTF · P · exp(+2πi k · origin)``, shifted by a beam tilt; zeros for pure noise."""
    if particle.phantom < 0:
        return np.zeros((box, box), dtype=np.float32)
    away = (-particle.origin[0], -particle.origin[1])
    transform = project_transform(phantoms[particle.phantom], pose_matrix(*particle.angles), box, pixel_size, away)
    if particle.defocus is not None:
        kx, ky = frequencies(box, box, pixel_size)
        transform *= microscope.transfer(particle.defocus, kx, ky)
        if any(microscope.beam_tilt):
            transform *= microscope.displaced(kx, ky)
    image = backward(transform, (box, box))
    for other in particle.beside:
        image += clean_image(other, phantoms, microscope, box, pixel_size)
    return image


def signal_variance(
    particles: list[Particle], phantoms: list[Phantom], microscope: Microscope, box: int, pixel_size: float, *, sample: int = 512
) -> float:
    """Return the variance of the clean images over the whole box, averaged over up to `sample` of those that show a particle."""
    shown = [particle for particle in particles if particle.phantom >= 0]
    chosen = shown[:: max(1, len(shown) // sample)][:sample]
    if not chosen:
        raise ValueError("no image shows a particle: there is no signal to scale")
    return float(np.mean([clean_image(particle, phantoms, microscope, box, pixel_size).var(dtype=np.float64) for particle in chosen]))
