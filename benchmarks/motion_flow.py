"""Optical flow beside patches, against truth: ``python -m benchmarks.motion_flow DATA…``, DATA folders of simulated movies.

Errors are RMSE in px of the movie, per axis, of the displacements at the true particles over all frames and movies, means over frames removed:
of whole frames alone, of `motion.correlation`'s patches and of `motion.optical_flow`. Seconds a movie are the processor's, of one thread, for what
each adds to the alignment of whole frames, which both share.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.movies.judge import field_of
from cryoloom.formats.defects import read_defects
from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.motion.correct import Exposure, frame_spectra
from cryoloom.numerics.motion.field import Field
from cryoloom.numerics.motion.flow import Settings, local_flow
from cryoloom.numerics.motion.frames import Frames
from cryoloom.numerics.motion.local import estimate_local
from cryoloom.numerics.motion.patches import patch_grid
from cryoloom.numerics.motion.rigid import estimate_rigid


def measure(data: Path) -> dict[str, Any]:
    """Return the errors and seconds of all three ways on the movies of `data`."""
    acquisition = json.loads((data / "acquisition.json").read_text())
    particles = read_star(data / "truth/particles.star")["particles"]
    gain = read_mrc(data / acquisition["gain"]).data.astype(np.float32) if acquisition["gain"] else None
    exposure = Exposure(acquisition["pixel_size"], acquisition["voltage"], acquisition["dose_per_frame"])
    squares: dict[str, list[float]] = {"whole": [], "patches": [], "flow": []}
    seconds: dict[str, float] = {"patches": 0.0, "flow": 0.0}
    movies = sorted(data.glob(acquisition["pattern"]))
    first = open_movie(movies[0])
    for path in movies:
        movie = open_movie(path)
        defects = read_defects(data / acquisition["defects"], movie.shape) if acquisition["defects"] else None
        frames = Frames(lambda number, movie=movie: movie.read(number, number + 1)[0], movie.frames, gain=gain, defects=defects, seed=0)
        spectra = frame_spectra(frames, exposure)
        rigid = estimate_rigid(spectra, min(0.25, 0.14 * exposure.pixel_size), 100.0 / exposure.pixel_size)
        fields = {"whole": Field(rigid.motion)}
        for name, find in (
            ("patches", lambda: estimate_local(spectra, rigid, patch_grid(frames.shape))),
            ("flow", lambda: local_flow(spectra, rigid, Settings())),
        ):
            start = time.process_time()
            fields[name] = find().field
            seconds[name] += (time.process_time() - start) / len(movies)
        here = particles.filter(particles["rlnMicrographName"].str.contains(path.stem))
        x, y = (
            torch.from_numpy(here[f"rlnCoordinate{axis}"].to_numpy().astype(float)) / side - 0.5
            for axis, side in zip("XY", movie.shape[::-1], strict=True)
        )
        true = field_of(data / f"truth/motion/{path.stem}.star")
        for name, field in fields.items():
            error = torch.stack([field.at(frame, x, y) - true.at(frame, x, y) for frame in range(len(true.motion))])
            squares[name].append(float((error - error.mean(0)).square().mean()))
    return {
        "set": data.name, "shape": first.shape, "frames": first.frames, "pixel_size": exposure.pixel_size, "dose": exposure.dose_per_frame,
        "errors": {name: float(np.sqrt(np.mean(each))) for name, each in squares.items()}, "seconds": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip


def row(one: dict[str, Any]) -> str:
    """Return a line of the table."""
    height, width = one["shape"]
    errors = " | ".join(f"{one['errors'][name]:.3f}" for name in ("whole", "patches", "flow"))
    seconds = " / ".join(f"{one['seconds'][name]:.1f}" for name in ("patches", "flow"))
    kind = f"{one['frames']} × {width} × {height}, {one['pixel_size']:g} Å/px, {one['dose']:g} e/Å²"
    return f"| {one['set']} | {kind} | {errors} | {seconds} | {one['gigabytes']:.1f} |"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.motion_flow", description=__doc__)
    parser.add_argument("data", nargs="+", type=Path, help="folders that `cryoloom simulate` made")
    torch.set_num_threads(1)
    print("| set | movies | whole frames | patches | flow | s, patches / flow | GiB at most |")
    print("|---|---|---|---|---|---|---|")
    for data in parser.parse_args(arguments).data:
        print(row(measure(data.resolve())), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
