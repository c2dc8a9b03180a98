"""Write movies and their truth.

``movies/``, ``gain.mrc``, ``defects.txt`` and ``acquisition.json`` are what a microscope gives; ``movies.star`` is the same for RELION.
``truth/`` holds what nobody knows:

- ``movies.star`` and ``motion/NAME.star``: global and local shifts in px of the movie, in RELION's sign and with RELION's local model. They are
  what must be *added* to a frame to lay it on the first, minus the displacement of its content; the first is 0. The aligned sum lies in the
  place of the first frame, and so do all coordinates. (Checked against ``relion_run_motioncorr --use_own``.)
- ``micrographs_ctf.star``; ``particles.star``: centre in px (array order, origin 0), pose, defocus, class, whether broken (``cryoloomJunk``);
- ``own_motion.star``: what particles move by beyond the local motion, px, frame by frame, where they do;
- ``contaminants.star``, and ``masks/NAME.mrc``: every fourth pixel, 1 on contaminants and films; ``covers/NAME.mrc``: the same pixels, numbered by what
  lies there, from 1 in the order of ``covers.star``;
- ``volume.mrc`` (Da/Å³) and ``atoms.npy`` of each conformation.

Memory: about 100 bytes for each pixel of a frame and one movie's counts, for each thread (1.8 GB for 16 frames of 4096²).
"""

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cryoloom.app.simulation.files import count_type, movie_suffix, write_image, write_movie, write_volume
from cryoloom.app.simulation.presets import MoviePreset
from cryoloom.app.simulation.sample import class_suffix, phantoms_of, write_phantoms
from cryoloom.app.simulation.truth import MovieTruth, write_movie_truth
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.simulate.detector import Camera, draw_camera
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.fourier import even_size
from cryoloom.numerics.simulate.motion import draw_motion, draw_own_motion
from cryoloom.numerics.simulate.movie import expose
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.projection import density
from cryoloom.spec.errors import WrongUse

NOTHING = np.empty((0, 0), dtype=np.float32)


def simulate_movies(
    directory: Path, preset: MoviePreset, seed: int, *, threads: int, progress: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """Write the set into `directory`; return settings, counts and paths.

    Raises
    ------
    WrongUse
        ``simulate-format`` for an unknown movie format, or one that cannot hold the counts; ``simulate-room`` if less than half of the particles find room.
    """
    mean = preset.dose_per_frame * preset.pixel_size**2
    kind = count_type(preset.format, mean)
    phantoms = phantoms_of(preset)
    microscope = Microscope(preset.voltage, preset.cs, preset.amplitude_contrast)
    camera = draw_camera(
        preset.height, preset.width, preset.gain, preset.dead_pixels, preset.hot_pixels, np.random.default_rng((seed, 1)),
        bad_column=preset.bad_column,
    )  # fmt: skip
    recipe = recipe_of(preset)
    for folder in ("movies", "truth/motion", "truth/masks", "truth/covers"):
        (directory / folder).mkdir(parents=True)

    def one(part: slice) -> MovieTruth:
        number = part.start
        rng = np.random.default_rng((seed, 2, number))
        specimen = draw_specimen(recipe, phantoms, microscope, rng)
        if len(specimen.particles) < 0.5 * preset.particles_per_movie and not (
            preset.carbon_fraction or preset.border_fraction or preset.sheets
        ):
            raise WrongUse(
                "simulate-room",
                f"simulate: only {len(specimen.particles)} of {preset.particles_per_movie} particles of {2.0 * phantoms[0].radius:.0f} Å fit into "
                f"{preset.width} x {preset.height} px of {preset.pixel_size:g} Å.",
                "Ask for fewer particles_per_movie, a smaller separation or larger frames.",
            )
        motion = draw_motion(preset.frames, preset.drift_global, preset.drift_local, rng)
        if preset.drift_own:
            places = np.array([(item.x, item.y) for item in specimen.particles]) * preset.pixel_size
            own = draw_own_motion(places, preset.frames, preset.drift_own, preset.drift_reach, np.random.default_rng((seed, 3, number)))
            motion = replace(motion, own=own)
        name = f"movie_{number + 1:04d}"
        counts = np.empty((preset.frames, preset.height, preset.width), dtype=kind)
        for frame, image in enumerate(expose(specimen, motion, microscope, camera, preset.dose_per_frame, rng)):
            counts[frame] = np.minimum(image, np.iinfo(kind).max if kind.kind in "iu" else 65504)
        write_movie(directory / "movies" / f"{name}{movie_suffix(preset.format)}", counts, preset.pixel_size, preset.format)
        for folder, lies in (("masks", specimen.contaminated), ("covers", specimen.covers)):
            write_image(directory / "truth" / folder / f"{name}.mrc", lies[::4, ::4].astype(np.int8), 4.0 * preset.pixel_size)
        # What was drawn is kept, the canvas it was drawn on is not.
        return MovieTruth(name, motion, replace(specimen, background=NOTHING, covers=NOTHING.astype(np.uint8)))

    movies: list[MovieTruth] = []
    for movie in ordered(one, blocks(preset.movies, 1), threads):
        movies.append(movie)
        progress(len(movies), preset.movies, "movies")

    if preset.gain or preset.dead_pixels:
        write_image(directory / "gain.mrc", camera.gain, preset.pixel_size)
    if preset.bad_column:
        _write_defects(directory / "defects.txt", camera)
    box = even_size(1.6 * phantoms[0].radius / preset.pixel_size)
    for index, phantom in enumerate(phantoms, start=1):
        write_volume(directory / "truth" / f"volume{class_suffix(index)}.mrc", density(phantom, box, preset.pixel_size), preset.pixel_size)
    write_phantoms(directory / "truth", phantoms)
    write_movie_truth(directory, preset, movies)
    acquisition = {
        "pixel_size": preset.pixel_size,
        "voltage": preset.voltage,
        "cs": preset.cs,
        "amplitude_contrast": preset.amplitude_contrast,
        "dose_per_frame": preset.dose_per_frame,
        "gain": "gain.mrc" if preset.gain or preset.dead_pixels else None,
        "defects": "defects.txt" if preset.bad_column else None,
        "diameter": 10.0 * float(np.ceil(phantoms[0].radius / 5.0)),
        "movies": preset.movies,
        "pattern": f"movies/*{movie_suffix(preset.format)}",
    }
    (directory / "acquisition.json").write_text(json.dumps(acquisition, indent=2) + "\n")
    return {
        "settings": asdict(preset),
        "movies": len(movies),
        "particles": sum(not particle.junk for movie in movies for particle in movie.specimen.particles),
        "junk": sum(particle.junk for movie in movies for particle in movie.specimen.particles),
        "contaminants": sum(len(movie.specimen.contaminants) for movie in movies),
        "paths": {
            "movies": acquisition["pattern"],
            "gain": acquisition["gain"],
            "acquisition": "acquisition.json",
            "truth": "truth/particles.star",
            "volume": "truth/volume.mrc",
        },
    }


def recipe_of(preset: MoviePreset) -> Recipe:
    """Return what lies in the movies of a preset."""
    shared = {field.name: getattr(preset, field.name) for field in fields(Recipe) if hasattr(preset, field.name)}
    return Recipe(**shared, particles=preset.particles_per_movie, drift=preset.drift_global + preset.drift_local)


def _write_defects(path: Path, camera: Camera) -> None:
    """Write runs of bad pixels as ``x y width height`` lines, MotionCor2's form."""
    dead = camera.dead
    rows, columns = np.nonzero(dead)
    starts = [(int(x), int(y)) for y, x in zip(rows, columns, strict=True) if y == 0 or not dead[y - 1, x]]
    lines = []
    for x, y in sorted(starts):
        alive = np.flatnonzero(~dead[y:, x])
        lines.append(f"{x} {y} 1 {int(alive[0]) if len(alive) else len(dead) - y}\n")
    path.write_text("".join(lines))
