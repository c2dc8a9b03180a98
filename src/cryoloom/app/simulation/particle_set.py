"""Write a stack of particles and its truth.

``particles.star`` and ``particles.mrcs`` are what a program is given: optics, defocus, no poses. ``truth/particles.star`` adds the poses,
origins and classes of the same images and what is wrong with them, ``truth/volume.mrc``, ``volume_class002.mrc`` ... the phantoms in the
stack's own scale: an image is the map's sum along its view, CTF applied, plus noise. Class 0 is pure noise; the class after the last
conformation is another particle.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.app.simulation.files import StackWriter, write_volume
from cryoloom.app.simulation.presets import ParticlePreset
from cryoloom.app.simulation.sample import class_suffix, phantoms_of, write_phantoms
from cryoloom.formats.star import write_star
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.particles import Particle, clean_image, signal_variance
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.poses import preferred_poses, uniform_poses
from cryoloom.numerics.simulate.projection import density
from cryoloom.spec.errors import WrongUse

BLOCK = 64

TILT_AXIS = np.deg2rad(30.0)
"""From x towards y."""
JUNK = ("noise", "other", "pair", "off-centre", "aggregate")
"""What an image may show in place of one particle in its middle, in the order in which they are drawn."""


def simulate_particles(
    directory: Path, preset: ParticlePreset, seed: int, *, threads: int, progress: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """Write the set into `directory`; return settings, counts and paths.

    Raises
    ------
    WrongUse
        ``simulate-box`` for an odd box, or one smaller than the particle.
    """
    phantoms = phantoms_of(preset)
    if preset.box % 2 or 2.0 * phantoms[0].radius > preset.box * preset.pixel_size:
        raise WrongUse(
            "simulate-box",
            f"simulate: the box must be even and hold the particle of {2.0 * phantoms[0].radius:.0f} Å; "
            f"got {preset.box} px of {preset.pixel_size:g} Å.",
            "Choose a larger even box, or larger pixels.",
        )
    conformations = len(phantoms)
    if preset.other_fraction:
        phantoms.append(random_phantom(preset.phantom_seed + 1, 0.75 * 2.0 * phantoms[0].radius))
    microscope = Microscope(preset.voltage, preset.cs, preset.amplitude_contrast, (preset.beam_tilt_x, preset.beam_tilt_y))
    particles, junk = draw_particles(preset, conformations, np.random.default_rng((seed, 0)))
    particles = with_bad_picks(particles, junk, 2.0 * phantoms[0].radius, np.random.default_rng((seed, 3)))
    places = np.random.default_rng((seed, 4)).uniform(-0.5, 0.5, (len(particles), 2)) * preset.field
    particles = tilted(particles, places, preset.tilt)
    # The scale is that of a set in which every image shows the particle, so it exists for noise alone.
    shown = [replace(each, phantom=each.phantom if 0 <= each.phantom < conformations else 0, beside=()) for each in particles]
    scale = float(np.sqrt(preset.snr / signal_variance(shown, phantoms, microscope, preset.box, preset.pixel_size)))
    contrast = draw_contrast(preset, seed)
    truth = directory / "truth"
    truth.mkdir(parents=True)

    shape = (len(particles), preset.box, preset.box)
    stacks = [StackWriter(directory / "particles.mrcs", shape, preset.pixel_size)]
    if preset.clean_copy:
        stacks.append(StackWriter(directory / "clean.mrcs", shape, preset.pixel_size))

    def images(part: slice) -> tuple[slice, NDArray[Any], NDArray[Any]]:
        rng = np.random.default_rng((seed, 1, part.start))
        clean = np.stack([clean_image(p, phantoms, microscope, preset.box, preset.pixel_size) for p in particles[part]])
        clean *= (scale * contrast[part, None, None]).astype(np.float32)
        snr = np.full(len(clean), preset.snr) if preset.snr_max is None else rng.uniform(preset.snr, preset.snr_max, len(clean))
        noise = rng.standard_normal(clean.shape, dtype=np.float32) * np.sqrt(preset.snr / snr).astype(np.float32)[:, None, None]
        return part, clean, clean + noise

    for part, clean, noisy in ordered(images, blocks(len(particles), BLOCK), threads):
        for stack, block in zip(stacks, (noisy, clean), strict=False):
            stack.write(part.start, block)
        progress(part.stop, len(particles), "particles")
    for stack in stacks:
        stack.close()

    # Voxels in the stack's scale: the sum over z, not the integral in Å, is the image.
    for index, phantom in enumerate(phantoms[:conformations], start=1):
        volume = density(phantom, preset.box, preset.pixel_size) * np.float32(scale * preset.pixel_size)
        write_volume(truth / f"volume{class_suffix(index)}.mrc", volume, preset.pixel_size)
    write_phantoms(truth, phantoms[:conformations])
    _write_tables(directory, preset, particles, junk, contrast, places)
    return {
        "settings": asdict(preset),
        "particles": len(particles),
        "conformations": conformations,
        "signal_scale": scale,
        "paths": {"particles": "particles.star", "truth": "truth/particles.star", "volume": "truth/volume.mrc"},
    }


def draw_particles(preset: ParticlePreset, conformations: int, rng: np.random.Generator) -> tuple[list[Particle], list[str]]:
    """Draw the truth of every image, and which of `JUNK` it is to be, if any; conformations come in equal parts, in random order."""
    count = preset.particles
    angles = preferred_poses(count, preset.preferred, 25.0, rng)
    origins = rng.normal(0.0, preset.shift_sigma, (count, 2)) if preset.shift_sigma else np.zeros((count, 2))
    kinds = rng.permutation(np.arange(count) % conformations)
    lot = rng.random(count)
    shares = (preset.noise_fraction, preset.other_fraction, preset.pair_fraction, preset.off_centre_fraction, preset.aggregate_fraction)
    bad = np.searchsorted(np.cumsum(shares), lot, side="right")
    kinds = np.where(bad == 1, conformations, kinds)
    kinds = np.where(bad == 0, -1, kinds)
    micrographs = -(-count // preset.per_micrograph)
    mean = rng.uniform(preset.defocus_min, preset.defocus_max, micrographs)
    azimuth = rng.uniform(-90.0, 90.0, micrographs)
    heights = rng.normal(0.0, preset.height_sigma, count) if preset.height_sigma else np.zeros(count)
    half = preset.astigmatism / 2.0
    defoci = [Defocus(middle + half, middle - half, angle) for middle, angle in zip(mean, azimuth, strict=True)]
    particles = [
        Particle(
            int(kinds[i]),
            (float(angles[i, 0]), float(angles[i, 1]), float(angles[i, 2])),
            (float(origins[i, 0]), float(origins[i, 1])),
            defoci[i // preset.per_micrograph].raised(float(heights[i])) if preset.ctf else None,
        )
        for i in range(count)
    ]
    return particles, [*map((*JUNK, "").__getitem__, bad)]


def tilted(particles: list[Particle], places: NDArray[np.float64], angle: float) -> list[Particle]:
    """Return the particles at the heights that they have at `places` ``(n, 2)`` (Å from the axis) of a specimen tilted by `angle` degrees."""
    if not angle:
        return particles
    rise = np.tan(np.deg2rad(angle)) * (places @ [-np.sin(TILT_AXIS), np.cos(TILT_AXIS)])
    return [
        replace(particle, defocus=particle.defocus and particle.defocus.raised(float(height)))
        for particle, height in zip(particles, rise, strict=True)
    ]


def with_bad_picks(particles: list[Particle], junk: list[str], diameter: float, rng: np.random.Generator) -> list[Particle]:
    """Return the particles with pairs, off-centre ones and aggregates made of those that are to be such; `diameter` in Å."""

    def away(low: float, high: float) -> tuple[float, float]:
        angle, far = rng.uniform(0.0, 2.0 * np.pi), diameter * rng.uniform(low, high)
        return float(far * np.cos(angle)), float(far * np.sin(angle))

    def another(like: Particle, origin: tuple[float, float]) -> Particle:
        rot, tilt, psi = uniform_poses(1, rng)[0]
        return replace(like, angles=(float(rot), float(tilt), float(psi)), origin=origin)

    made = []
    for particle, kind in zip(particles, junk, strict=True):
        if kind == "pair":
            x, y = away(0.4, 0.55)
            made.append(replace(particle, origin=(x, y), beside=(another(particle, (-x, -y)),)))
        elif kind == "off-centre":
            made.append(replace(particle, origin=away(0.35, 0.6)))
        elif kind == "aggregate":
            heap = tuple(another(particle, away(0.2, 0.7)) for _ in range(rng.integers(3, 7)))
            made.append(replace(particle, origin=away(0.2, 0.5), beside=heap))
        else:
            made.append(particle)
    return made


def draw_contrast(preset: ParticlePreset, seed: int) -> NDArray[np.float64]:
    """Return the contrast of every image, that of its micrograph."""
    micrographs = np.arange(preset.particles) // preset.per_micrograph
    spread = preset.contrast_spread
    return np.random.default_rng((seed, 2)).uniform(1.0 - spread, 1.0 + spread, micrographs[-1] + 1)[micrographs]


def _write_tables(
    directory: Path,
    preset: ParticlePreset,
    particles: list[Particle],
    junk: list[str],
    contrast: NDArray[np.float64],
    places: NDArray[np.float64],
) -> None:
    index = np.arange(len(particles))
    micrograph = index // preset.per_micrograph + 1
    names = [f"{number + 1:06d}@particles.mrcs" for number in index]
    optics = pl.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [preset.voltage],
            "rlnSphericalAberration": [preset.cs],
            "rlnAmplitudeContrast": [preset.amplitude_contrast],
            "rlnImagePixelSize": [preset.pixel_size],
            "rlnImageSize": [preset.box],
            "rlnImageDimensionality": [2],
        }
    )
    given = {
        "rlnImageName": names,
        "rlnMicrographName": [f"micrograph_{number:05d}.mrc" for number in micrograph],
        "rlnOpticsGroup": np.ones(len(index), dtype=np.int64),
        "cryoloomParticleId": (micrograph << 20) | (index % preset.per_micrograph),
    }
    if preset.tilt or preset.mean_defocus:
        given["rlnCoordinateX"], given["rlnCoordinateY"] = (places.T + 0.5 * preset.field) / preset.pixel_size
    if preset.ctf:
        defoci = [particle.defocus or Defocus(0.0, 0.0, 0.0) for particle in particles]
        given["rlnDefocusU"] = [defocus.u for defocus in defoci]
        given["rlnDefocusV"] = [defocus.v for defocus in defoci]
        given["rlnDefocusAngle"] = [defocus.angle for defocus in defoci]
        given["rlnPhaseShift"] = [defocus.plate for defocus in defoci]
    known = {
        "rlnAngleRot": [particle.angles[0] for particle in particles],
        "rlnAngleTilt": [particle.angles[1] for particle in particles],
        "rlnAnglePsi": [particle.angles[2] for particle in particles],
        "rlnOriginXAngst": [particle.origin[0] for particle in particles],
        "rlnOriginYAngst": [particle.origin[1] for particle in particles],
        "rlnClassNumber": [particle.phantom + 1 for particle in particles],
        "cryoloomContrast": contrast,
        "cryoloomJunk": [int(kind != "") for kind in junk],
        "cryoloomJunkKind": [kind or "none" for kind in junk],
    }
    told = pl.DataFrame(given)
    if preset.mean_defocus and preset.ctf:
        told = told.with_columns(pl.col("rlnDefocusU", "rlnDefocusV").mean().over("rlnMicrographName"))
    write_star(directory / "particles.star", {"optics": optics, "particles": told})
    if preset.beam_tilt_x or preset.beam_tilt_y:
        optics = optics.with_columns(rlnBeamTiltX=pl.lit(preset.beam_tilt_x), rlnBeamTiltY=pl.lit(preset.beam_tilt_y))
    # From truth/ the stack lies one folder up; RELION resolves names from where it is started, so it is started in `directory`.
    write_star(directory / "truth" / "particles.star", {"optics": optics, "particles": pl.DataFrame(given | known)})
    if preset.clean_copy:
        clean = given | {"rlnImageName": [name.replace("particles", "clean") for name in names]}
        write_star(directory / "clean.star", {"optics": optics, "particles": pl.DataFrame(clean)})
