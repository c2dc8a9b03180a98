"""RELION's own alignment of movies, one thread, plain and dose-weighted sums."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.movies.judge import field_of
from cryoloom.numerics.motion.field import Field

RELION = "relion_run_motioncorr"


def there() -> bool:
    """Return whether RELION is installed."""
    return shutil.which(RELION) is not None


def run(data: Path, b_factor: int, patches: int, out: Path) -> tuple[list[Field], float] | None:
    """Align the movies of ``movies.star``; return their fields and the processor seconds a movie, or None if it fails."""
    acquisition = json.loads((data / "acquisition.json").read_text())
    command = [
        RELION, "--i", "movies.star", "--o", f"{out}/", "--use_own", "--j", "1", "--bfactor", str(b_factor),
        "--patch_x", str(patches), "--patch_y", str(patches), "--dose_weighting", "--save_noDW",
        "--dose_per_frame", str(acquisition["dose_per_frame"]), "--angpix", str(acquisition["pixel_size"]),
        "--voltage", str(acquisition["voltage"]),
    ]  # fmt: skip
    command += ["--gainref", acquisition["gain"]] if acquisition["gain"] else []
    command += ["--defect_file", acquisition["defects"]] if acquisition["defects"] else []
    start = sum(os.times()[2:4])
    subprocess.run(command, cwd=data, capture_output=True, check=False)
    spent = sum(os.times()[2:4]) - start
    stars = [out / "movies" / f"{path.stem}.star" for path in sorted(data.glob(acquisition["pattern"]))]
    return ([field_of(star) for star in stars], spent / len(stars)) if all(star.exists() for star in stars) else None
