"""Movies as unlike each other as microscopes make them: ``python -m benchmarks.movies.sets FOLDER [NAME…]`` simulates them."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.app.simulation import simulate
from cryoloom.app.simulation.movie_set import recipe_of
from cryoloom.app.simulation.presets import MoviePreset, preset_named
from cryoloom.app.simulation.sample import phantoms_of
from cryoloom.numerics.simulate.field import draw_specimen
from cryoloom.numerics.simulate.motion import Motion
from cryoloom.numerics.simulate.movie import intensities
from cryoloom.numerics.simulate.optics import Microscope

COMMON: dict[str, Any] = {"movies": 2, "format": "mrc1", "astigmatism": 600.0}

SETS: dict[str, dict[str, Any]] = {
    "demo": {"pixel_size": 2.4, "frames": 12, "dose_per_frame": 2.5, "width": 1024, "height": 1024, "particles_per_movie": 80},
    "five-frames": {"pixel_size": 3.0, "frames": 5, "dose_per_frame": 3.0, "width": 640, "height": 768, "drift_global": 12.0},
    "far": {
        "pixel_size": 1.4, "frames": 24, "dose_per_frame": 1.0, "width": 1280, "height": 960, "drift_global": 20.0, "drift_local": 3.0,
    },
    "low-dose": {
        "pixel_size": 1.4, "frames": 40, "dose_per_frame": 0.5, "width": 1024, "height": 1024, "drift_global": 10.0, "gain": 0.0,
        "dead_pixels": 0, "hot_pixels": 0,
    },
    "fine": {
        "pixel_size": 0.8, "frames": 40, "dose_per_frame": 1.0, "width": 1536, "height": 1024, "particles_per_movie": 4,
        "contaminants": 1.0, "drift_global": 15.0, "drift_local": 2.0,
    },
    "faint": {
        "pixel_size": 0.8, "frames": 24, "dose_per_frame": 0.5, "width": 1280, "height": 960, "particles_per_movie": 1, "ice": 0.01,
        "contaminants": 0.0, "drift_global": 6.0, "drift_local": 0.0,
    },
    "few": {
        "pixel_size": 1.4, "frames": 24, "dose_per_frame": 1.0, "width": 1536, "height": 1024, "particles_per_movie": 2, "ice": 0.01,
        "contaminants": 0.0,
    },
    "local": {
        "pixel_size": 1.4, "frames": 24, "dose_per_frame": 1.5, "width": 1024, "height": 1024, "drift_global": 4.0, "drift_local": 8.0,
    },
    "camera": {
        "pixel_size": 1.4, "frames": 12, "dose_per_frame": 1.5, "width": 1024, "height": 1024, "gain": 0.4, "dead_pixels": 400,
        "hot_pixels": 400, "bad_column": True, "drift_global": 5.0,
    },
    "still": {
        "pixel_size": 1.4, "frames": 24, "dose_per_frame": 1.0, "width": 1024, "height": 1024, "drift_global": 0.4, "drift_local": 0.1,
    },
    "no-gain": {
        "pixel_size": 1.4, "frames": 24, "dose_per_frame": 1.5, "width": 1024, "height": 1024, "gain": 0.1, "forget_gain": True,
    },
    "no-gain-slow": {
        "pixel_size": 2.0, "frames": 12, "dose_per_frame": 2.0, "width": 768, "height": 768, "gain": 0.05, "forget_gain": True,
        "drift_global": 2.0, "drift_local": 0.5,
    },
    "small": {"pixel_size": 2.68, "frames": 8, "dose_per_frame": 3.0, "width": 512, "height": 512},
    "micrograph": {"preset": "80s-like", "frames": 24, "dose_per_frame": 1.5},
    "sensor": {"preset": "full", "movies": 1, "frames": 16, "dose_per_frame": 1.5},
}  # fmt: skip
"""Changes to the preset ``tiny``, or the one named. `forget_gain`: the gain reference is there but not applied, so that its pattern stays in
every frame."""


def make(name: str, folder: Path) -> Path:
    """Simulate the set `name` under `folder`, unless it is there, and return its place."""
    place = folder / name
    if not place.exists():
        preset, changes, forget = _settings(name)
        simulate(place, preset, seed_of(name), overrides=changes, threads=1)
        if forget:
            path = place / "acquisition.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"gain": None}, indent=2) + "\n")
    return place


def seed_of(name: str) -> int:
    """Return the seed of a set."""
    return 100 + list(SETS).index(name)


def clean(name: str) -> NDArray[np.float32]:
    """Return what a perfect camera would see of the particles of the first movie of a set, still and undamaged, ``(h, w)``.

    Without ice and contaminants, which no dose damages here.
    """
    preset_name, changes, _ = _settings(name)
    preset = preset_named(preset_name, changes)
    assert isinstance(preset, MoviePreset)
    microscope = Microscope(preset.voltage, preset.cs, preset.amplitude_contrast)
    rng = np.random.default_rng((seed_of(name), 2, 0))
    specimen = draw_specimen(recipe_of(preset), phantoms_of(preset), microscope, rng)
    specimen = replace(specimen, background=np.zeros_like(specimen.background))
    return next(intensities(specimen, Motion(np.zeros((1, 2)), np.zeros((2, 6, 3))), microscope, 0.0))


def _settings(name: str) -> tuple[str, dict[str, Any], bool]:
    changes = COMMON | SETS[name]
    forget = changes.pop("forget_gain", False)
    return changes.pop("preset", "tiny"), changes, forget


if __name__ == "__main__":
    for one in sys.argv[2:] or SETS:
        sys.stdout.write(f"{make(one, Path(sys.argv[1]))}\n")
