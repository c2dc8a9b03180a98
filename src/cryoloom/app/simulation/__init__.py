"""Simulated experiments with known truth: movies and particle stacks, written in RELION's conventions."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryoloom.app.simulation.local_map import simulate_local_map
from cryoloom.app.simulation.movie_set import simulate_movies
from cryoloom.app.simulation.particle_set import simulate_particles
from cryoloom.app.simulation.presets import PRESETS, MoviePreset, ParticlePreset, preset_named
from cryoloom.files import make_folder
from cryoloom.spec.errors import WrongUse

__all__ = ["PRESETS", "simulate"]


def simulate(
    directory: Path,
    preset: str,
    seed: int,
    *,
    overrides: Mapping[str, Any] | None = None,
    threads: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Write the data set `preset` into `directory`, with its truth in ``directory/truth``.

    The bytes written depend on `preset`, `overrides` and `seed` only.

    Parameters
    ----------
    directory
        New or empty.
    overrides
        Fields of the preset to change; `PRESETS` holds them with their values.
    threads
        How many to compute with; None: as many as there are cores, four at most.
    progress
        Called with how many of how many are done, and of what.

    Returns
    -------
    dict
        The settings, counts and paths relative to `directory`.

    Raises
    ------
    WrongUse
        ``simulate-directory`` if `directory` is not empty; ``simulate-seed``, ``simulate-preset``, ``simulate-override`` ... for what cannot
        be made.
    """
    settings = preset_named(preset, overrides)
    if seed < 0:
        raise WrongUse("simulate-seed", f"simulate: the seed must be zero or more; got {seed}.", "Give another seed.")
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise WrongUse("simulate-directory", f"simulate: {directory} exists and is not an empty folder.", "Name a new folder.")
    make_folder(directory.parent)
    workers = threads or min(4, os.cpu_count() or 1)
    report = progress or (lambda done, total, what: None)
    # The folder appears whole or not at all: what was interrupted can simply be started again.
    with TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as parent:
        work = Path(parent) / "set"
        work.mkdir()
        if isinstance(settings, ParticlePreset):
            result = simulate_particles(work, settings, seed, threads=workers, progress=report)
        elif isinstance(settings, MoviePreset):
            result = simulate_movies(work, settings, seed, threads=workers, progress=report)
        else:
            result = simulate_local_map(work, settings, seed)
        os.replace(work, directory)
    return {"preset": preset, "seed": seed, **result}
