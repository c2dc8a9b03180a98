"""Align and sum movies as `motion.correlation` does, in a process of its own that uses one thread."""

import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.formats.defects import read_defects
from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.motion.correct import Exposure, estimate_motion, sum_frames
from cryoloom.numerics.motion.field import Field
from cryoloom.numerics.motion.frames import Frames


@dataclass(frozen=True)
class Done:
    """Fields of the movies, processor seconds a movie, and the most memory, MiB."""

    fields: list[Field]
    seconds: float
    memory: float


def run(data: Path, grid: tuple[int, int] | None, out: Path) -> Done:
    """Align the movies of `data` and write their sums to `out`: ``NAME.mrc`` and ``NAME_DW.mrc``."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run, data, grid, out).result()


def frames_of(data: Path, path: Path) -> tuple[Frames, Exposure]:
    """Return the frames of a movie of a simulated set."""
    acquisition = json.loads((data / "acquisition.json").read_text())
    movie = open_movie(path)
    gain = read_mrc(data / acquisition["gain"]).data.astype(np.float32) if acquisition["gain"] else None
    defects = read_defects(data / acquisition["defects"], movie.shape) if acquisition["defects"] else None

    def read(number: int) -> NDArray[np.generic]:
        return movie.raw(number, number + 1)[0]

    frames = Frames(read, movie.frames, gain=gain, defects=defects, seed=0, keep=not movie.plain_mrc)
    return frames, Exposure(acquisition["pixel_size"], acquisition["voltage"], acquisition["dose_per_frame"])


def _run(data: Path, grid: tuple[int, int] | None, out: Path) -> Done:
    torch.set_num_threads(1)
    _compile()
    fields: list[Field] = []
    movies = sorted(data.glob(json.loads((data / "acquisition.json").read_text())["pattern"]))
    start = time.process_time()
    for path in movies:
        frames, exposure = frames_of(data, path)
        motion = estimate_motion(frames, exposure, reach=100.0 / exposure.pixel_size, grid=grid)
        sums = sum_frames(frames, motion.field, exposure)
        for name, image in (("", sums.plain), ("_DW", sums.weighted)):
            if image is not None:
                write_mrc(out / f"{path.stem}{name}.mrc", image, exposure.pixel_size)
        fields.append(motion.field)
    seconds = (time.process_time() - start) / len(movies)
    return Done(fields, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _compile() -> None:
    """Have all code compiled before anything is timed."""
    rng = np.random.default_rng(0)
    still = rng.uniform(2, 9, size=(448, 448))
    frames = Frames(lambda _: rng.poisson(still).astype(np.uint8), 4, gain=np.ones(still.shape, np.float32), defects=None, seed=0)
    exposure = Exposure(1.0, 300.0, 1.0)
    local = torch.full((4, 6, 2), 0.5, dtype=torch.float64)
    estimate_motion(frames, exposure, reach=50.0, grid=(3, 3))
    for added in (None, local):
        sum_frames(frames, Field(torch.zeros(4, 2, dtype=torch.float64), added), exposure)
