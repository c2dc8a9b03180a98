"""Movies as unlike each other as microscopes make them: ``python -m benchmarks.motion_sets FOLDER [NAME…]`` simulates them, two of each."""

import json
import sys
from pathlib import Path
from typing import Any

from cryoloom.app.simulation import simulate

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
}  # fmt: skip
"""Changes to the preset ``tiny``. `forget_gain`: the gain reference is there but not applied, so that its pattern stays in every frame."""


def make(name: str, folder: Path, seed: int) -> Path:
    """Simulate the set `name` under `folder`, unless it is there, and return its place."""
    place = folder / name
    if not place.exists():
        changes = COMMON | SETS[name]
        forget = changes.pop("forget_gain", False)
        simulate(place, "tiny", seed, overrides=changes, threads=1)
        if forget:
            path = place / "acquisition.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"gain": None}, indent=2) + "\n")
    return place


if __name__ == "__main__":
    for number, name in enumerate(sys.argv[2:] or SETS):
        sys.stdout.write(f"{make(name, Path(sys.argv[1]), 100 + number)}\n")
