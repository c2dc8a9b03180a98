"""Local refinement after automatic refinement, against truth: ``python -m benchmarks.refine_local FOLDER [SET…] [--parameter VALUE…]``.

Ten small simulated sets of different particles, symmetry, noise and pixels are refined by `refine.auto` from their low-passed truth, and gone on with
by `refine.local` from the poses alone. FOLDER keeps what the first step found, so that another call with other parameters repeats the second only.
Both run in one thread of this process.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch

import cryoloom
from cryoloom.app.simulation.particle_set import simulate_particles
from cryoloom.app.simulation.presets import ParticlePreset
from cryoloom.data import Particles, Volume
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.protocols.refine.auto import AutoRefine
from cryoloom.protocols.refine.local import LocalRefine
from cryoloom.spec import Job

SETS: tuple[dict[str, Any], ...] = (
    {"box": 48, "pixel_size": 4.0, "particles": 500, "snr": 0.05, "phantom_diameter": 120.0},
    {"box": 48, "pixel_size": 4.0, "particles": 500, "snr": 0.06, "phantom_diameter": 140.0},
    {"box": 48, "pixel_size": 4.0, "particles": 500, "snr": 0.06, "phantom_diameter": 130.0, "symmetry": "C2"},
    {"box": 52, "pixel_size": 3.5, "particles": 500, "snr": 0.05, "phantom_diameter": 130.0},
    {"box": 48, "pixel_size": 4.0, "particles": 500, "snr": 0.08, "phantom_diameter": 110.0},
    {"box": 48, "pixel_size": 3.5, "particles": 500, "snr": 0.05, "phantom_diameter": 120.0, "symmetry": "D2"},
    {"box": 48, "pixel_size": 4.0, "particles": 600, "snr": 0.06, "phantom_diameter": 130.0},
    {"box": 48, "pixel_size": 3.5, "particles": 500, "snr": 0.06, "phantom_diameter": 115.0, "contrast_spread": 0.2},
    {"box": 48, "pixel_size": 3.5, "particles": 500, "snr": 0.06, "phantom_diameter": 120.0, "symmetry": "C3"},
    {"box": 48, "pixel_size": 4.0, "particles": 500, "snr": 0.07, "phantom_diameter": 130.0, "noise_fraction": 0.1},
)


@dataclass
class Here:
    """A job in this process that remembers nothing."""

    folder: Path
    root: Path
    seed: int = 1
    threads: int = 1
    blocks: Any = None
    open: bool = False
    warnings: list[str] = field(default_factory=list)

    def iterate(self, start: Any, step: Any, *, done: Any, name: str = "", total: int | None = None) -> dict[str, Any]:
        """Step until it is done."""
        state = start()
        while not done(state):
            state = step(state)
        return state

    def output(self, name: str) -> Path:
        """Return a path in the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def warn(self, message: str) -> None:
        """Keep a warning."""
        self.warnings.append(message)

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Tell nobody."""

    def note(self, **numbers: Any) -> None:
        """Tell nobody."""


def compared(folder: Path, number: int, settings: dict[str, str]) -> dict[str, float | str]:
    """Refine one set, or take what there is of it; return figures before and after."""
    preset = ParticlePreset(phantom_seed=101 + number, **SETS[number])
    root = folder / f"set{number}"
    if not root.exists():
        simulate_particles(root, preset, 11 + number, threads=1, progress=lambda *_: None)
    begun, gone_on = (cast(Job, Here(root / step, root)) for step in ("auto", "local"))
    common: dict[str, Any] = {"mask_diameter": 1.15 * float(preset.phantom_diameter or 0.0), "symmetry": preset.symmetry}
    found = root / "auto/particles.parquet"
    place = root / "project"
    project = cryoloom.open_project(place) if place.exists() else cryoloom.create_project(place)
    particles = project.run("import.particles", path=str(root / "particles.star")).outputs.particles.dataset
    assert isinstance(particles, Particles)
    seconds = time.process_time()
    if not found.exists():
        row = pl.DataFrame({"id": [1], "volume_path": ["truth/volume.mrc"], "box_size": [preset.box]})
        reference = Volume(row, root, meta={"pixel_size": preset.pixel_size})
        out = AutoRefine(particles=particles, reference=reference, **common).run(begun)
        out.particles.items.write_parquet(found)
        (root / "auto/resolution").write_text(str(out.fsc.meta["resolution"]))
    before = particles.with_columns(pl.read_parquet(found))
    auto_seconds = time.process_time() - seconds
    after = LocalRefine.model_validate({"particles": before, **common, **settings}).run(gone_on)
    figures: dict[str, float | str] = {"particles": preset.particles, "symmetry": preset.symmetry, "snr": preset.snr}
    figures |= {f"auto_{key}": value for key, value in _judged(before, root, "auto", preset).items()}
    figures["auto_halves_A"] = round(float((root / "auto/resolution").read_text()), 2)
    figures |= {f"local_{key}": value for key, value in _judged(after.particles, root, "local", preset).items()}
    figures["local_halves_A"] = round(float(after.fsc.meta["resolution"]), 2)
    figures |= {"auto_s": round(auto_seconds), "local_s": round(time.process_time() - seconds - auto_seconds)}
    return figures | {"ratio": round(float(figures["local_deg"]) / float(figures["auto_deg"]), 3)}


def _judged(particles: Particles, root: Path, step: str, preset: ParticlePreset) -> dict[str, float]:
    """Return median errors of poses (°, Å), and the resolution against the truth (Å) and area under that curve, of the map in a step's folder."""
    table = read_star(root / "truth/particles.star")["particles"]
    good = (table["cryoloomJunk"] == 0).to_numpy()
    items = particles.to_polars()
    angles = euler_to_matrix(*(items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    true = euler_to_matrix(*(table[f"rlnAngle{name}"].to_numpy() for name in ("Rot", "Tilt", "Psi")))
    origins, true_origins = items.select("origin_x", "origin_y").to_numpy(), table.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy()
    agreement = compare_poses(
        angles[good], origins[good], true[good], true_origins[good], group=point_group(preset.symmetry), either_hand=False
    )
    made = read_mrc(root / step / "unfiltered.mrc").data.astype(np.float32)
    density = resample_volume(torch.from_numpy(read_mrc(root / "truth/volume.mrc").data.astype(np.float32)), len(made)).numpy()
    sphere = spherical_mask(len(made), 0.575 * float(preset.phantom_diameter or 0.0) / preset.pixel_size * len(made) / preset.box, 3.0)
    against = fourier_shell_correlation(made * sphere, density * sphere)
    return {
        "deg": round(float(np.median(agreement.angles)), 3),
        "A": round(float(np.median(agreement.shifts)), 3),
        "truth_A": round(resolution_at(against, 0.5, preset.box, preset.pixel_size), 2),
        "truth_area": round(float(np.clip(against, 0, None).sum()), 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", type=int, default=list(range(len(SETS))))
    known, rest = parser.parse_known_args()
    known.folder.mkdir(parents=True, exist_ok=True)
    wanted = {flag.removeprefix("--").replace("-", "_"): value for flag, value in zip(rest[::2], rest[1::2], strict=True)}
    for place, chosen in enumerate(known.sets or range(len(SETS))):
        line = compared(known.folder, chosen, wanted)
        if place == 0:
            sys.stdout.write("\t".join(("set", *line)) + "\n")
        sys.stdout.write("\t".join((str(chosen), *map(str, line.values()))) + "\n")
        sys.stdout.flush()
