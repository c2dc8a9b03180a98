"""What `cryoloom simulate` can make: particle stacks s0 to s8, one local-resolution map, and movies."""

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryoloom.app.suggest import did_you_mean
from cryoloom.spec.errors import WrongUse


@dataclass(frozen=True)
class Sample:
    """What is on the grid.

    Parameters
    ----------
    phantom_seed, phantom_diameter, phantom_atoms, phantom_shape
        Without a diameter: P80 of that seed (80 is the reference P80). With one (Å): a random assembly of that size, a ``cluster``, ``rod`` or
        ``ring``.
    conformations
        1: the particle; 2: also without its last domain; 3: also with its second domain swung by 20°.
    symmetry
        Point group to make the particle symmetric under.
    b_factor
        Å² for all atoms; None: 60 to 80 drawn at random.
    """

    phantom_seed: int = 80
    phantom_diameter: float | None = None
    phantom_atoms: int | None = None
    phantom_shape: str = "cluster"
    conformations: int = 1
    symmetry: str = "C1"
    b_factor: float | None = None
    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.1
    defocus_min: float = 8000.0
    defocus_max: float = 25000.0
    astigmatism: float = 300.0


@dataclass(frozen=True)
class ParticlePreset(Sample):
    """A stack of particles; see `cryoloom.app.simulation.particle_set`.

    Parameters
    ----------
    box, pixel_size, particles
        Even px, Å, count.
    snr, snr_max
        Variance of the clean images over the whole box, averaged over the set, to that of the noise, 1. With `snr_max` each image has an
        SNR of its own between the two, by less noise.
    clean_copy
        Also write the images without noise.
    ctf
        Whether images went through the microscope.
    shift_sigma
        Standard deviation of the origins, Å on each axis.
    preferred
        Share of particles seen within 25° of one of two directions.
    noise_fraction, other_fraction
        Shares of images of noise alone, and of another particle.
    pair_fraction, off_centre_fraction, aggregate_fraction
        Shares of images of two particles that touch in the middle of the box, of one that was picked at its rim, and of a heap of four to seven.
    per_micrograph, height_sigma
        Particles that share one defocus, each off it by a normal deviate of that many Å.
    tilt, field
        Degrees by which the specimen is tilted about an axis through the middle of its micrographs, 30° from x towards y; and Å of a side of
        these, over which particles lie at random.
    mean_defocus
        ``particles.star`` tells the defocus of a particle's micrograph, not its own.
    beam_tilt_x, beam_tilt_y
        mrad; no file but the truth tells it.
    contrast_spread
        Micrographs have a contrast of their own, up to this much below or above one: all their images are that much fainter or stronger.
    """

    box: int = 64
    pixel_size: float = 4.0
    particles: int = 5000
    snr: float = 0.1
    snr_max: float | None = None
    clean_copy: bool = False
    ctf: bool = True
    shift_sigma: float = 6.0
    preferred: float = 0.0
    noise_fraction: float = 0.0
    other_fraction: float = 0.0
    pair_fraction: float = 0.0
    off_centre_fraction: float = 0.0
    aggregate_fraction: float = 0.0
    per_micrograph: int = 50
    height_sigma: float = 0.0
    tilt: float = 0.0
    field: float = 4000.0
    mean_defocus: bool = False
    beam_tilt_x: float = 0.0
    beam_tilt_y: float = 0.0
    contrast_spread: float = 0.0


@dataclass(frozen=True)
class LocalMapPreset:
    """Half maps of a ball that is well resolved on one side; see `cryoloom.app.simulation.local_map`."""

    box: int = 80
    pixel_size: float = 1.5
    radius: float = 25.0
    fine: float = 4.0
    coarse: float = 8.0
    signal_to_noise: float = 30.0


@dataclass(frozen=True)
class MoviePreset(Sample):
    """Movies; see `cryoloom.app.simulation.movie_set`, and `cryoloom.numerics.simulate.field.Recipe` for what lies in them.

    Parameters
    ----------
    movies, frames, width, height, pixel_size, dose_per_frame
        Sizes in px, Å and e/Å² a frame.
    drift_global, drift_local
        Largest displacements, px: of the whole frame, and on top of it at the worst place.
    drift_own, drift_reach
        Root mean square of what each particle moves by beyond that until the last frame, px, and Å within which particles move much alike.
    gain
        How far the gain reference goes from 1; with 0 and no `dead_pixels` there is none.
    dead_pixels, hot_pixels, bad_column
        Pixels that read 0 (gain 0), that read 12 times the mean, and a piece of a column that only ``defects.txt`` names.
    format
        ``mrc0`` (8 bit), ``mrc1``, ``mrc2``, ``mrc6``, ``mrc12``, ``tiff-lzw`` or ``tiff-deflate``.
    """

    cs: float = 2.0
    astigmatism: float = 600.0
    movies: int = 8
    frames: int = 8
    width: int = 512
    height: int = 512
    pixel_size: float = 2.68
    dose_per_frame: float = 3.0
    drift_global: float = 8.0
    drift_local: float = 1.5
    drift_own: float = 0.0
    drift_reach: float = 600.0
    gain: float = 0.10
    dead_pixels: int = 4
    hot_pixels: int = 4
    bad_column: bool = False
    format: str = "mrc0"
    particles_per_movie: int = 20
    separation: float = 1.1
    contaminants: float = 2.0
    carbon_fraction: float = 0.0
    border_fraction: float = 0.0
    sheets: float = 0.0
    beads: float = 0.0
    junk_fraction: float = 0.0
    ice: float = 0.025
    gradient: float = 0.04
    tilt: float = 0.0
    height_sigma: float = 0.0


Preset = ParticlePreset | LocalMapPreset | MoviePreset

PRESETS: dict[str, Preset] = {
    "tiny": MoviePreset(),
    "demo": MoviePreset(
        movies=20, frames=12, width=1024, height=1024, pixel_size=2.4, dose_per_frame=2.5, particles_per_movie=82, contaminants=4.0,
        junk_fraction=0.03,
    ),
    "80s-like": MoviePreset(
        movies=50, frames=16, width=2048, height=2048, pixel_size=1.34, dose_per_frame=1.25, particles_per_movie=34, contaminants=3.0,
        defocus_min=10000.0, defocus_max=30000.0, phantom_seed=82, phantom_diameter=280.0, junk_fraction=0.05, separation=1.05,
    ),
    "full": MoviePreset(
        movies=600, frames=16, width=4096, height=4096, pixel_size=1.34, dose_per_frame=1.25, particles_per_movie=160, contaminants=8.0,
        defocus_min=10000.0, defocus_max=30000.0, phantom_seed=82, phantom_diameter=280.0, junk_fraction=0.05, separation=1.05,
    ),
    "s0": ParticlePreset(box=32, pixel_size=8.0, particles=500, snr=0.5, clean_copy=True, ctf=False, shift_sigma=0.0),
    "s1": ParticlePreset(),
    "s2": ParticlePreset(particles=10_000, snr=0.05),
    "s3": ParticlePreset(box=96, pixel_size=2.68, particles=20_000, snr=0.05, preferred=0.7),
    "s4": ParticlePreset(particles=12_000, conformations=3),
    "s5": ParticlePreset(noise_fraction=0.2, other_fraction=0.05),
    "s6": ParticlePreset(particles=100, snr=2.0, snr_max=10.0, ctf=False, shift_sigma=0.0),
    "s7": LocalMapPreset(),
    "s8": ParticlePreset(box=96, pixel_size=2.0, snr=0.02, b_factor=300.0),
}  # fmt: skip
"""Name to preset; every field of a preset can be overridden."""


def preset_named(name: str, overrides: Mapping[str, Any] | None = None) -> Preset:
    """Return the preset called `name` with `overrides` put in; texts are read as numbers where numbers are wanted.

    Raises
    ------
    WrongUse
        ``simulate-preset`` for an unknown name, ``simulate-override`` for a field it has not or a value that cannot be.
    """
    if name not in PRESETS:
        raise WrongUse("simulate-preset", f"simulate: there is no preset {name!r}.", f"Choose one of {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    hints = typing.get_type_hints(type(preset))
    values = {}
    for key, value in (overrides or {}).items():
        if key not in hints:
            raise WrongUse(
                "simulate-override",
                f"simulate: preset {name} has no setting {key!r}.",
                did_you_mean(key, hints) or f"It has {', '.join(hints)}.",
            )
        values[key] = _value(f"{name}.{key}", key, value, hints[key])
    preset = replace(preset, **values)
    for low, high in (("defocus_min", "defocus_max"), ("snr", "snr_max")):
        least, most = getattr(preset, low, None), getattr(preset, high, None)
        if least is not None and most is not None and least > most:
            raise WrongUse(
                "simulate-override", f"simulate: {name}.{low} is {least:g}, above {high}, {most:g}.", f"Give both {low} and {high}."
            )
    return preset


_POSITIVE = {
    "box", "coarse", "dose_per_frame", "drift_reach", "field", "fine", "frames", "height", "movies", "particles", "per_micrograph", "phantom_atoms",
    "phantom_diameter", "pixel_size", "radius", "separation", "signal_to_noise", "snr", "snr_max", "voltage", "width",
}  # fmt: skip
_SIGNED = {"beam_tilt_x", "beam_tilt_y", "defocus_max", "defocus_min", "tilt"}
_FRACTIONS = {"amplitude_contrast", "contrast_spread", "gain", "gradient"}
_BOOLEANS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def _value(where: str, key: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) or (hint,)
    if type(None) in options and (value is None or value == "none"):
        return None
    wanted = options[0]
    try:
        if isinstance(value, bool) != (wanted is bool) and not isinstance(value, str):
            raise ValueError
        number = _BOOLEANS[value.lower()] if wanted is bool and isinstance(value, str) else wanted(value)
        if wanted is int and float(value) != number:
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        raise WrongUse(
            "simulate-override", f"simulate: {where} must be {wanted.__name__}; got {value!r}.", "Give a value of that type."
        ) from error
    if wanted in (int, float) and not (math.isfinite(number) and (number > 0 or key in _SIGNED or (number == 0 and key not in _POSITIVE))):
        least = "positive" if key in _POSITIVE else "finite" if key in _SIGNED else "zero or more"
        raise WrongUse("simulate-override", f"simulate: {where} must be {least}; got {value!r}.", "Give another value.")
    if key in _FRACTIONS and number > 0.99:
        raise WrongUse("simulate-override", f"simulate: {where} is a fraction below 1; got {value!r}.", "Give a smaller value.")
    return number
