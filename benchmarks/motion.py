"""Motion against truth, ours and RELION's own: ``python -m benchmarks.motion DATA… [--json]``.

DATA are folders of simulated movies. RELION runs at each B-factor of `B_FACTORS`, for whole frames and in 5 × 5 patches, and the best of each
is compared, so it is given the benefit of knowing the truth. Both programs use one thread and write plain and dose-weighted sums. Seconds a
movie are those of the processor, from reading it to the last sum: on an idle core the wall's, on a shared one still comparable.

Errors are RMSE in px of the movie, per axis, over all frames and movies, the mean over frames removed: of the motion of whole frames, and of
the whole displacement at 5 × 5 places.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.formats.defects import read_defects
from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.motion.correct import Exposure, estimate_motion, sum_frames
from cryoloom.numerics.motion.field import Field, from_relion_polynomial
from cryoloom.numerics.motion.frames import Frames

B_FACTORS = (5, 10, 20, 50, 100, 150, 300)
PATCHES = 5
PLACES = 5
RELION = "relion_run_motioncorr"


def field_of(path: Path) -> Field:
    """Return the motion in a STAR file of RELION's form; its shifts are what lays a frame on the first, minus what its content did."""
    tables = read_star(path)
    shifts = torch.from_numpy(tables["global_shift"].select("rlnMicrographShiftX", "rlnMicrographShiftY").to_numpy().copy())
    local = tables.get("local_motion_model")
    coefficients = torch.zeros(36) if local is None else torch.from_numpy(local["rlnMotionModelCoeff"].to_numpy().astype(np.float64))
    return from_relion_polynomial(coefficients, shifts)


def errors(found: Field, true: Field) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean squares ``(x, y)`` of what the motion of whole frames, and displacements at `PLACES`², are off, means removed."""
    whole = found.motion - true.motion
    side = torch.linspace(-0.4, 0.4, PLACES, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    places = torch.stack([found.at(f, x, y) - true.at(f, x, y) for f in range(len(true.motion))])
    return tuple((off - off.mean(0)).square().reshape(-1, 2).mean(0).numpy() for off in (whole, places))  # pyright: ignore[reportReturnType]


def ours(data: Path, acquisition: dict[str, Any], movies: list[Path], grid: tuple[int, int] | None, out: Path) -> list[Field]:
    """Align and sum every movie as `motion.correlation` does."""
    fields = []
    gain = read_mrc(data / acquisition["gain"]).data.astype(np.float32) if acquisition["gain"] else None
    for path in movies:
        movie = open_movie(path)
        defects = read_defects(data / acquisition["defects"], movie.shape) if acquisition["defects"] else None
        frames = Frames(
            lambda number, movie=movie: movie.raw(number, number + 1)[0],
            movie.frames,
            gain=gain,
            defects=defects,
            seed=0,
            keep=not movie.plain_mrc,
        )
        exposure = Exposure(acquisition["pixel_size"], acquisition["voltage"], acquisition["dose_per_frame"])
        motion = estimate_motion(frames, exposure, reach=100.0 / exposure.pixel_size, grid=grid)
        sums = sum_frames(frames, motion.field, exposure)
        for name, image in (("", sums.plain), ("_DW", sums.weighted)):
            write_mrc(out / f"{path.stem}{name}.mrc", image, exposure.pixel_size)
        fields.append(motion.field)
    return fields


def relions(data: Path, acquisition: dict[str, Any], movies: list[Path], b_factor: int, patches: int, out: Path) -> list[Field] | None:
    """Run RELION's own on the movies of ``movies.star``; None if it fails."""
    command = [
        RELION, "--i", "movies.star", "--o", f"{out}/", "--use_own", "--j", "1", "--bfactor", str(b_factor),
        "--patch_x", str(patches), "--patch_y", str(patches), "--dose_weighting", "--save_noDW",
        "--dose_per_frame", str(acquisition["dose_per_frame"]), "--angpix", str(acquisition["pixel_size"]),
        "--voltage", str(acquisition["voltage"]),
    ]  # fmt: skip
    command += ["--gainref", acquisition["gain"]] if acquisition["gain"] else []
    command += ["--defect_file", acquisition["defects"]] if acquisition["defects"] else []
    subprocess.run(command, cwd=data, capture_output=True, check=False)
    stars = [out / "movies" / f"{path.stem}.star" for path in movies]
    return [field_of(star) for star in stars] if all(star.exists() for star in stars) else None


def measure(data: Path) -> dict[str, Any]:
    """Return the errors and seconds a movie of every way to align the movies of `data`; ``None`` for what RELION fails at."""
    acquisition = json.loads((data / "acquisition.json").read_text())
    movies = sorted(data.glob(acquisition["pattern"]))
    truths = [field_of(data / f"truth/motion/{path.stem}.star") for path in movies]

    def judged(align: Any, *settings: Any) -> dict[str, Any] | None:
        with tempfile.TemporaryDirectory() as folder:
            start = _spent()
            fields = align(data, acquisition, movies, *settings, Path(folder))
            seconds = (_spent() - start) / len(movies)
        if fields is None:
            return None
        found = np.array([errors(field, true) for field, true in zip(fields, truths, strict=True)])
        whole, places = np.sqrt(found.mean(0))
        return {"global_px": whole.tolist(), "places_px": places.tolist(), "seconds": seconds}

    result: dict[str, Any] = {
        "set": data.name,
        "pixel_size": acquisition["pixel_size"],
        "dose_per_frame": acquisition["dose_per_frame"],
        "frames": len(truths[0].motion),
        "movies": len(movies),
        "ours_whole": judged(ours, (1, 1)),
        "ours": judged(ours, None),
    }
    if shutil.which(RELION):
        result["relion_whole"] = {b_factor: judged(relions, b_factor, 1) for b_factor in B_FACTORS}
        result["relion"] = {b_factor: judged(relions, b_factor, PATCHES) for b_factor in B_FACTORS}
    return result


def best(runs: dict[int, dict[str, Any] | None], what: str) -> tuple[int, dict[str, Any]] | None:
    """Return the B-factor and the run with the least `what`."""
    done = [(b_factor, run) for b_factor, run in runs.items() if run is not None]
    return min(done, key=lambda one: np.square(one[1][what]).sum()) if done else None


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table of `measure`'s results."""
    lines = [
        "| set | Å/px, frames × e/Å² | ours x, y | RELION x, y (B) | ours, places | RELION 5 × 5 (B) | ours s, whole / all | RELION s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        mine, alone = one["ours"], one["ours_whole"]
        cells = [one["set"], f"{one['pixel_size']:g}, {one['frames']} × {one['dose_per_frame']:g}"]
        theirs = {key: best(one[run], key) if run in one else None for key, run in (("global_px", "relion_whole"), ("places_px", "relion"))}
        for key in ("global_px", "places_px"):
            peer = theirs[key]
            cells.append(", ".join(f"{value:.3f}" for value in mine[key]))
            cells.append("-" if peer is None else ", ".join(f"{value:.3f}" for value in peer[1][key]) + f" ({peer[0]})")
        cells.append(f"{alone['seconds']:.1f} / {mine['seconds']:.1f}")
        cells.append(" / ".join("-" if peer is None else f"{peer[1]['seconds']:.1f}" for peer in theirs.values()))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.motion", description=__doc__)
    parser.add_argument("data", nargs="+", type=Path, help="folders that `cryoloom simulate` made")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not shutil.which(RELION):
        sys.stderr.write(f"{RELION} is not installed: ours alone.\n")
    _compile()
    results = [measure(data.resolve()) for data in chosen.data]
    sys.stdout.write((json.dumps(results, indent=1) if chosen.json else table(results)) + "\n")


def _spent() -> float:
    """Return the processor seconds of this process and those it ran."""
    return sum(os.times()[:4])


def _compile() -> None:
    """Have all code compiled before anything is timed."""
    rng = np.random.default_rng(0)
    still = rng.normal(size=(448, 448)).astype(np.float32)
    frames = Frames(lambda number: still + rng.normal(size=still.shape).astype(np.float32), 4, gain=None, defects=None, seed=0)
    exposure = Exposure(1.0, 300.0, 1.0)
    local = torch.full((4, 6, 2), 0.5, dtype=torch.float64)
    estimate_motion(frames, exposure, reach=50.0, grid=(3, 3))
    sum_frames(frames, Field(torch.zeros(4, 2, dtype=torch.float64), local), exposure)


if __name__ == "__main__":
    main(sys.argv[1:])
