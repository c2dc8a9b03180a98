"""Expose a specimen: weak-phase images, moving and decaying from frame to frame, counted by a camera.

``I = 1 - 2 F⁻¹[ sin χ · √DQE · F(φ) ]`` with the phase φ of particles, ice and contaminants: protein is dark in underfocus. Each particle's own exact
projection is moved to its own place in each frame, so no interpolation enters the truth; ice and contaminants are warped. The global
displacement is a phase ramp. Dose damages particles only.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.detector import Camera
from cryoloom.numerics.simulate.field import add_patch
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.motion import Motion, warp
from cryoloom.numerics.simulate.optics import Microscope, damage, detector_amplitude
from cryoloom.numerics.simulate.poses import pose_matrix
from cryoloom.numerics.simulate.projection import box_for, project_transform
from cryoloom.numerics.simulate.specimen import Specimen

Image = NDArray[np.float32]


def intensities(
    specimen: Specimen, motion: Motion, microscope: Microscope, dose_per_frame: float, *, pre_exposure: float = 0.0
) -> Iterator[Image]:
    """Yield the relative intensity ``(height, width)`` of each frame: mean about 1, float32, never below 0.02.

    Particles in frame `f` carry the damage of all dose up to the end of that frame.
    """
    rows, columns = specimen.background.shape
    margin, pixel_size = specimen.margin, specimen.pixel_size
    kx, ky = frequencies(rows, columns, pixel_size)
    envelope = detector_amplitude(kx, ky, pixel_size)
    patches = _Patches(specimen, microscope)
    rise = np.array([specimen.rise(column - margin) for column in range(columns)])
    offsets = sorted(set(rise) | set(patches.offsets))
    filters = {
        offset: (-2.0 * envelope * microscope.transfer(specimen.defocus.raised(offset), kx, ky)).astype(np.float32) for offset in offsets
    }
    light = specimen.illumination().astype(np.float32)
    for frame, (shift_x, shift_y) in enumerate(motion.path):
        weights = motion.weights(frame)
        background = warp(specimen.background, weights, margin, specimen.width, specimen.height) if weights.any() else specimen.background
        dose = pre_exposure + (frame + 1) * dose_per_frame
        total = np.zeros((rows, columns // 2 + 1), dtype=np.complex64)
        for offset in offsets:
            phase = background * (rise == offset).astype(np.float32)
            patches.add(phase, offset, frame, motion, dose, microscope.voltage)
            total += forward(phase) * filters[offset]
        ramp_x = np.exp(-2j * np.pi * kx * pixel_size * shift_x).astype(np.complex64)
        ramp_y = np.exp(-2j * np.pi * ky * pixel_size * shift_y).astype(np.complex64)
        total *= ramp_y
        total *= ramp_x
        image = backward(total, (rows, columns))
        yield np.maximum(1.0 + image[margin : margin + specimen.height, margin : margin + specimen.width], np.float32(0.02)) * light


def expose(
    specimen: Specimen, motion: Motion, microscope: Microscope, camera: Camera, dose_per_frame: float, rng: np.random.Generator
) -> Iterator[NDArray[np.int32]]:
    """Yield the counts ``(height, width)`` of each frame; the mean is the dose in electrons a pixel, before gain."""
    mean = dose_per_frame * specimen.pixel_size**2
    for image in intensities(specimen, motion, microscope, dose_per_frame):
        yield camera.record(image * np.float32(mean), mean, rng)


def still(specimen: Specimen, microscope: Microscope, dose: float) -> Image:
    """Return the counts expected in one exposure of `dose` e/Å² at rest, by a perfect camera.

    Particles carry the mean damage, that of half the dose.
    """
    motion = Motion(np.zeros((1, 2)), np.zeros((2, 6, 3)))
    return next(intensities(specimen, motion, microscope, 0.0, pre_exposure=0.5 * dose)) * (dose * specimen.pixel_size**2)


def micrograph(specimen: Specimen, microscope: Microscope, dose: float, rng: np.random.Generator) -> Image:
    """Return the counts of `still` with their noise: a micrograph without the labour of a movie."""
    return rng.poisson(still(specimen, microscope, dose)).astype(np.float32)


class _Patches:
    """Transforms of the particles of one specimen, ready to be moved and added."""

    def __init__(self, specimen: Specimen, microscope: Microscope) -> None:
        self.specimen = specimen
        radius = max((phantom.radius for phantom in specimen.phantoms), default=0.0)
        self.box = box_for(radius, specimen.pixel_size)
        self.x = np.array([particle.x for particle in specimen.particles])
        self.y = np.array([particle.y for particle in specimen.particles])
        self.offsets = [specimen.rise(particle.x, particle.height) for particle in specimen.particles]
        scale = np.float32(microscope.phase_per_mass)
        self.transforms = [
            project_transform(specimen.phantoms[particle.phantom], pose_matrix(*particle.angles), self.box, specimen.pixel_size) * scale
            for particle in specimen.particles
        ]

    def add(self, canvas: Image, offset: float, frame: int, motion: Motion, dose: float, voltage: float) -> None:
        """Add the particles of one layer to `canvas`, each at its place in `frame`."""
        specimen, box = self.specimen, self.box
        chosen = [index for index, own in enumerate(self.offsets) if own == offset]
        if not chosen:
            return
        kx, ky = frequencies(box, box, specimen.pixel_size)
        decay = damage(kx, ky, dose, voltage).astype(np.float32)
        moved_x, moved_y = motion.local(frame, self.x[chosen], self.y[chosen], specimen.width, specimen.height)
        if motion.own is not None:
            moved_x, moved_y = moved_x + motion.own[frame, chosen, 0], moved_y + motion.own[frame, chosen, 1]
        for index, x, y in zip(chosen, self.x[chosen] + moved_x + specimen.margin, self.y[chosen] + moved_y + specimen.margin, strict=True):
            column, row = round(x), round(y)
            ramp_x = np.exp(-2j * np.pi * kx * specimen.pixel_size * (x - column)).astype(np.complex64)
            ramp_y = np.exp(-2j * np.pi * ky * specimen.pixel_size * (y - row)).astype(np.complex64)
            patch = backward(self.transforms[index] * (decay * ramp_x) * ramp_y, (box, box))
            add_patch(canvas, patch, row - box // 2, column - box // 2)
