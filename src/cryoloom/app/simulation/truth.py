"""The truth of movies as STAR tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cryoloom.app.simulation.files import movie_suffix
from cryoloom.app.simulation.presets import MoviePreset
from cryoloom.formats.star import write_star
from cryoloom.numerics.simulate.contaminants import COVERS
from cryoloom.numerics.simulate.motion import Motion
from cryoloom.numerics.simulate.specimen import Specimen

SIGN = -1.0
"""RELION's shifts are to be *added* to a frame to lay it on the first: minus the displacement of its content (seen with its own program)."""


@dataclass(frozen=True)
class MovieTruth:
    """All that is known of one movie."""

    name: str
    motion: Motion
    specimen: Specimen


def write_movie_truth(directory: Path, preset: MoviePreset, movies: list[MovieTruth]) -> None:
    """Write every table of a movie set."""
    acquisition = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnMicrographOriginalPixelSize": [preset.pixel_size],
        "rlnVoltage": [preset.voltage],
        "rlnSphericalAberration": [preset.cs],
        "rlnAmplitudeContrast": [preset.amplitude_contrast],
    }
    optics = pl.DataFrame(acquisition)
    paths = [f"movies/{movie.name}{movie_suffix(preset.format)}" for movie in movies]
    names = [f"movies/{movie.name}.mrc" for movie in movies]
    table = pl.DataFrame({"rlnMicrographMovieName": paths, "rlnOpticsGroup": np.ones(len(paths), dtype=np.int64)})
    write_star(directory / "movies.star", {"optics": optics, "movies": table})
    truth = directory / "truth"
    metadata = [f"truth/motion/{movie.name}.star" for movie in movies]
    write_star(truth / "movies.star", {"optics": optics, "movies": table.with_columns(rlnMicrographMetadata=pl.Series(metadata))})
    for movie, path in zip(movies, paths, strict=True):
        write_star(truth / "motion" / f"{movie.name}.star", _motion(preset, movie, path))

    of_micrographs = pl.DataFrame(acquisition | {"rlnMicrographPixelSize": [preset.pixel_size]})
    ctfs = {
        "rlnMicrographName": names,
        "rlnOpticsGroup": np.ones(len(names), dtype=np.int64),
        "rlnDefocusU": [movie.specimen.defocus.u for movie in movies],
        "rlnDefocusV": [movie.specimen.defocus.v for movie in movies],
        "rlnCtfAstigmatism": [movie.specimen.defocus.u - movie.specimen.defocus.v for movie in movies],
        "rlnDefocusAngle": [movie.specimen.defocus.angle for movie in movies],
        "rlnPhaseShift": [movie.specimen.defocus.plate for movie in movies],
    }
    write_star(truth / "micrographs_ctf.star", {"optics": of_micrographs, "micrographs": pl.DataFrame(ctfs)})
    of_particles = pl.DataFrame(acquisition | {"rlnImagePixelSize": [preset.pixel_size], "rlnImageDimensionality": [2]})
    write_star(truth / "particles.star", {"optics": of_particles, "particles": _particles(preset, movies, names)})
    if preset.drift_own:
        write_star(truth / "own_motion.star", {"own_motion": _own_motion(movies)})
    found = [(name, item) for movie, name in zip(movies, names, strict=True) for item in movie.specimen.contaminants]
    contaminants = pl.DataFrame(
        {
            "rlnMicrographName": [name for name, _ in found],
            "rlnCoordinateX": [item.x for _, item in found],
            "rlnCoordinateY": [item.y for _, item in found],
            "cryoloomDiameter": [item.diameter for _, item in found],
            "cryoloomKind": [item.kind for _, item in found],
        },
        schema={
            "rlnMicrographName": pl.String,
            "rlnCoordinateX": pl.Float64,
            "rlnCoordinateY": pl.Float64,
            "cryoloomDiameter": pl.Float64,
            "cryoloomKind": pl.String,
        },
    )
    write_star(truth / "contaminants.star", {"contaminants": contaminants})
    numbers = {"cryoloomCover": list(range(1, len(COVERS) + 1)), "cryoloomKind": list(COVERS)}
    write_star(truth / "covers.star", {"covers": pl.DataFrame(numbers)})


def _motion(preset: MoviePreset, movie: MovieTruth, path: str) -> dict[str, Any]:
    coefficients = movie.motion.field.ravel()
    return {
        "general": {
            "rlnImageSizeX": preset.width,
            "rlnImageSizeY": preset.height,
            "rlnImageSizeZ": preset.frames,
            "rlnMicrographMovieName": path,
            "rlnMicrographBinning": 1.0,
            "rlnMicrographOriginalPixelSize": preset.pixel_size,
            "rlnMicrographDoseRate": preset.dose_per_frame,
            "rlnMicrographPreExposure": 0.0,
            "rlnVoltage": preset.voltage,
            "rlnMicrographStartFrame": 1,
            "rlnMotionModelVersion": 1,
        },
        "global_shift": pl.DataFrame(
            {
                "rlnMicrographFrameNumber": np.arange(1, preset.frames + 1),
                "rlnMicrographShiftX": SIGN * movie.motion.path[:, 0],
                "rlnMicrographShiftY": SIGN * movie.motion.path[:, 1],
            }
        ),
        "local_motion_model": pl.DataFrame(
            {"rlnMotionModelCoeffsIdx": np.arange(len(coefficients)), "rlnMotionModelCoeff": SIGN * coefficients}
        ),
    }


def _own_motion(movies: list[MovieTruth]) -> pl.DataFrame:
    """Return a row a particle and frame: what it moved by, px, beside the local motion (the sign is that of the content)."""
    tables = []
    for number, movie in enumerate(movies, start=1):
        assert movie.motion.own is not None
        frames, particles, _ = movie.motion.own.shape
        frame, particle = (axis.ravel() for axis in np.indices((frames, particles)))
        moved = movie.motion.own.reshape(-1, 2)
        tables.append(
            pl.DataFrame(
                {
                    "cryoloomParticleId": number << 20 | particle,
                    "rlnMicrographFrameNumber": frame + 1,
                    "cryoloomMovedX": moved[:, 0],
                    "cryoloomMovedY": moved[:, 1],
                }
            )
        )
    return pl.concat(tables)


def _particles(preset: MoviePreset, movies: list[MovieTruth], names: list[str]) -> pl.DataFrame:
    found = [
        (name, number << 20 | index, movie.specimen.defocus.raised(movie.specimen.rise(particle.x, particle.height)), particle)
        for number, (movie, name) in enumerate(zip(movies, names, strict=True), start=1)
        for index, particle in enumerate(movie.specimen.particles)
    ]
    columns: dict[str, tuple[type[pl.DataType], list[Any]]] = {
        "rlnMicrographName": (pl.String, [name for name, *_ in found]),
        "rlnOpticsGroup": (pl.Int64, [1] * len(found)),
        "cryoloomParticleId": (pl.Int64, [identity for _, identity, *_ in found]),
        "rlnCoordinateX": (pl.Float64, [particle.x for *_, particle in found]),
        "rlnCoordinateY": (pl.Float64, [particle.y for *_, particle in found]),
        "rlnAngleRot": (pl.Float64, [particle.angles[0] for *_, particle in found]),
        "rlnAngleTilt": (pl.Float64, [particle.angles[1] for *_, particle in found]),
        "rlnAnglePsi": (pl.Float64, [particle.angles[2] for *_, particle in found]),
        "rlnOriginXAngst": (pl.Float64, [0.0] * len(found)),
        "rlnOriginYAngst": (pl.Float64, [0.0] * len(found)),
        "rlnDefocusU": (pl.Float64, [defocus.u for *_, defocus, _ in found]),
        "rlnDefocusV": (pl.Float64, [defocus.v for *_, defocus, _ in found]),
        "rlnDefocusAngle": (pl.Float64, [defocus.angle for *_, defocus, _ in found]),
        "rlnPhaseShift": (pl.Float64, [defocus.plate for *_, defocus, _ in found]),
        "rlnClassNumber": (pl.Int64, [particle.phantom % preset.conformations + 1 for *_, particle in found]),
        "cryoloomJunk": (pl.Int64, [int(particle.junk) for *_, particle in found]),
    }
    return pl.DataFrame({name: pl.Series(values, dtype=kind) for name, (kind, values) in columns.items()})
